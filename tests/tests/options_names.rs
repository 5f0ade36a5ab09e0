//! Nodes with names, interfaces and system extensions of their own. Names have a domain: hostname, Node object, etcd member, certificates, machines and what ha-host says of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::health::nothing_is_wrong;
use ha_tests::kube::all_voters;
use ha_tests::lab::workspace_root;
use ha_tests::plan::ClusterPlan;
use ha_tests::process::run_to_end;
use ha_tests::story::Story;

/// A look at the whole cluster.
const LOOK: Duration = Duration::from_secs(60);
/// A node is back, on two cores.
const BACK: Duration = Duration::from_secs(180);
const PLANE: &str = "node1.kloud.example.test";
const WORKER: &str = "node2.kloud.example.test";

#[test]
#[ignore = "a further launch (half a minute): make test-options"]
fn nodes_have_names_with_a_domain_and_interfaces_of_their_own() {
    let story = Story::new("options_names");
    let dir = tempfile::tempdir().unwrap();
    let tiny = story.step("a system extension is packed", || tiny_sysext(dir.path()));
    let own = format!(
        "interface: lan0, sysexts: {{tiny: {{path: {}}}}}",
        tiny.display()
    );
    let plan = ClusterPlan {
        domain: ".kloud.example.test",
        node_keys: [(WORKER, own)].into(),
        ..ClusterPlan::new("e2e-options-names", 1, 1)
    };
    let cluster = story.step("the lab is there", || Cluster::new(plan));
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step("they are called so by all who have a name for them", || {
        for name in [PLANE, WORKER] {
            let node = cluster.kube().get(&["node", name])?;
            let label = &node["metadata"]["labels"]["kubernetes.io/hostname"];
            ensure!(*label == *name, "{label}");
            let hostname = cluster.node(name).sh("cat /proc/sys/kernel/hostname")?;
            ensure!(hostname.trim() == name, "{hostname}");
            let subject = "openssl x509 -noout -subject -nameopt RFC2253 -in /var/lib/kubelet/pki/kubelet-client-current.pem";
            let subject = cluster.node(name).sh(subject)?;
            let wanted = format!("subject=CN=system:node:{name},O=system:nodes");
            ensure!(subject.trim() == wanted, "{subject}");
        }
        let sans = "openssl x509 -noout -ext subjectAltName -in /etc/kubernetes/pki/apiserver.crt";
        let sans = cluster.node(PLANE).sh(sans)?;
        ensure!(sans.contains(&format!("DNS:{PLANE}")), "{sans}");
        all_voters(&cluster, PLANE, &cluster.control_planes())
    });
    story.step(
        "one node's interface has another name than the other's",
        || {
            for (name, interface) in [(PLANE, "eth0"), (WORKER, "lan0")] {
                let seen = cluster
                    .node(name)
                    .sh("ip -o -4 address show scope global")?;
                ensure!(seen.contains(&format!(" {interface} ")), "{name}: {seen}");
            }
            Ok(())
        },
    );
    story.step("one node has a system extension of its own", || {
        let look = "cat /usr/share/tiny; systemd-sysext list";
        cluster.node(WORKER).sh(look)?;
        let others = cluster
            .node(PLANE)
            .sh("systemd-sysext list; ls /usr/share")?;
        ensure!(!others.contains("tiny"), "{others}");
        Ok(())
    });
    nothing_is_wrong(&story, &cluster, LOOK);
    story.step("the worker is switched off and on", || {
        cluster.node(WORKER).power("off")?;
        cluster.node(WORKER).power("on")?;
        cluster.all_steady(BACK)?;
        wait_until("every node is Ready", BACK, || cluster.kube().all_ready())
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// One file, for whatever system.
fn tiny_sysext(dir: &Path) -> Result<PathBuf> {
    let (tree, image) = (dir.join("tree"), dir.join("tiny.raw"));
    let releases = tree.join("usr/lib/extension-release.d");
    fs::create_dir_all(&releases)?;
    fs::create_dir_all(tree.join("usr/share"))?;
    fs::write(releases.join("extension-release.tiny"), "ID=_any\n")?;
    fs::write(tree.join("usr/share/tiny"), "tiny\n")?;
    let mut pack = Command::new(workspace_root().join("sysext/pack.sh"));
    pack.arg(&tree).arg(&image);
    run_to_end(pack, LOOK)?.ok()?;
    Ok(image)
}
