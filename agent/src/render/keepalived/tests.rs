use std::process::Command;

use ha_test_support::real;
use ha_wire::node::Peer;

use super::*;
use crate::render::testing::{assert_golden, balancer_nodes};
use crate::render::validators::assert_keepalived_accepts;

#[test]
fn golden_files() {
    for (name, node) in balancer_nodes() {
        assert_golden(&format!("{name}.keepalived.conf"), &render_config(&node));
    }
}

#[test]
fn no_node_is_told_to_be_its_own_peer() {
    for (name, node) in balancer_nodes() {
        let text = render_config(&node);
        let own = format!("        {}\n", node.address);
        assert!(!text.contains(&own), "{name}");
        let unicast = node.load_balancer.vrrp == Vrrp::Unicast;
        assert_eq!(
            text.contains("unicast_peer"),
            unicast && node.vip_candidates().len() > 1,
            "{name}"
        );
    }
}

#[test]
fn no_two_backups_take_the_vip_at_the_same_moment() {
    let (_, node) = balancer_nodes()
        .into_iter()
        .find(|(_, n)| n.control_planes.len() == 3)
        .unwrap();
    let priority_of = |name: &str| {
        let mut node = node.clone();
        name.clone_into(&mut node.name);
        let text = render_config(&node);
        let line = text
            .lines()
            .find_map(|l| l.trim().strip_prefix("priority "));
        line.unwrap().parse::<f64>().unwrap()
    };
    let waits: Vec<f64> = node
        .control_planes
        .iter()
        .map(|p| (256.0 - priority_of(&p.name)) / 256.0 * 100.0)
        .collect();
    assert!(waits.is_sorted_by(|a, b| b - a > 5.0), "{waits:?} ms");
}

#[test]
fn keepalived_takes_it() {
    let texts = balancer_nodes()
        .into_iter()
        .map(|(name, node)| (name.into(), render_config(&node)));
    assert_keepalived_accepts(&texts.collect());
}

/// How often a node is cut off: where only the winner can mend it, it does in every second round.
const PARTITIONS: usize = 5;

/// Two real keepalived, each thinking that it holds the VIP. Whoever asks finds the one who still does, at once: the winner's
/// refresh is set aside here.
#[test]
#[ignore = "needs root: make test runs it"]
fn a_healed_partition_leaves_nobody_with_the_loser_s_address() {
    let needed = (
        real::require_program("keepalived", "keepalived"),
        real::require_program("ip", "iproute2"),
        real::require_program("unshare", "util-linux"),
        real::require_program("bash", "bash"),
    );
    let (Some(keepalived), Some(_), Some(unshare), Some(bash)) = needed else {
        return;
    };
    if !real::is_root("makes network namespaces") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let peers = [12, 13].map(|i| Peer {
        name: format!("node{i}"),
        address: IpAddr::from([10, 77, 0, i]),
    });
    for (peer, i) in peers.iter().zip([12, 13]) {
        let mut node = crate::testing::control_plane();
        (node.name, node.address) = (peer.name.clone(), peer.address);
        // The second is named first, so it wins.
        node.control_planes = peers.iter().rev().cloned().collect();
        let health = dir.path().join(format!("{i}.health"));
        let text = render_config(&node)
            .replace(paths::HEALTH_FILE, health.to_str().unwrap())
            .replace(AGENT, "/bin/true")
            .replace("garp_master_refresh 1\n", "garp_master_refresh 60\n");
        std::fs::write(dir.path().join(format!("{i}.conf")), text).unwrap();
    }
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/render/keepalived/partition.sh"
    );
    let mut command = Command::new(unshare);
    command.args(["-n", "-m"]).arg(bash).arg(script);
    command.arg(keepalived).arg(PARTITIONS.to_string());
    let out = command.current_dir(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let wanted = "13\n".repeat(PARTITIONS);
    assert_eq!(said, wanted, "{}", String::from_utf8_lossy(&out.stderr));
}
