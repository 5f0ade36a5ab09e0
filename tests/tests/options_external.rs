//! `loadBalancer: {mode: external}`: a haproxy that is not a node's stands before three apiservers, outside of the nodes' network,
//! and the cluster is known by a name that no name server knows.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_test_support::real;
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::lab::workspace_root;
use ha_tests::node::ADMIN_KUBECTL;
use ha_tests::outside_address::OutsideAddress;
use ha_tests::plan::{ClusterPlan, VIP};
use ha_tests::probe::Probe;
use ha_tests::process::RunningProcess;
use ha_tests::story::Story;

const NAME: &str = "e2e-options-external";
const ENDPOINT: &str = "k8s-api.example.org";
/// Of the operator's machine, which is the nodes' router.
const ADDRESS: &str = "192.0.2.10";
const PORT: u16 = 6443;
/// A look at the whole cluster.
const LOOK: Duration = Duration::from_secs(60);
/// The balancer asks twice a second, and drops who fails twice.
const SEEN: Duration = Duration::from_secs(8);
/// A node is back, on two cores.
const BACK: Duration = Duration::from_secs(180);
/// Around a power cut.
const BEFORE: Duration = Duration::from_secs(1);

fn external_plan() -> Result<ClusterPlan> {
    let lab_net = fs::read_to_string(workspace_root().join("lab/manifests/lab-net.yaml"))?;
    let manifest = workspace_root().join("target/e2e/lab-net-external.yaml");
    fs::create_dir_all(manifest.with_file_name(""))?;
    let lab_net = lab_net
        .replace(&VIP.to_string(), ADDRESS)
        .replace("\"6444\"", &format!("\"{PORT}\""));
    fs::write(&manifest, lab_net)?;
    Ok(ClusterPlan {
        endpoint: Some(format!("name: {ENDPOINT}, addresses: [{ADDRESS}]")),
        more: "loadBalancer: {mode: external}\n".into(),
        network: Some(format!(
            "proxy: nftables, cni: {{manifests: [{}]}}",
            manifest.display()
        )),
        sysexts: vec!["ha-agent", "kubernetes"],
        ..ClusterPlan::new(NAME, 3, 0)
    })
}

/// Somebody else's balancer.
struct Outside<'a> {
    /// Both end with this.
    _address: OutsideAddress<'a>,
    _haproxy: RunningProcess,
}

impl<'a> Outside<'a> {
    fn start(cluster: &'a Cluster) -> Result<Self> {
        let config = cluster.dir().join("outside.cfg");
        fs::write(&config, outside_config(cluster))?;
        let haproxy = find_haproxy()?;
        let mut command = cluster.operator().command(haproxy);
        command.arg("-db").arg("-f").arg(&config);
        Ok(Self {
            _address: OutsideAddress::new(cluster.operator(), ADDRESS)?,
            _haproxy: RunningProcess::start(command)?,
        })
    }
}

fn find_haproxy() -> Result<PathBuf> {
    real::require_program("haproxy", "haproxy").context("haproxy is not there")
}

/// As docs/cluster-file.md shows it.
fn outside_config(cluster: &Cluster) -> String {
    let mut text = format!(
        "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1h\n  timeout server 1h\n\
         frontend kubernetes-api\n  bind {ADDRESS}:{PORT}\n  default_backend apiservers\n\
         backend apiservers\n  balance roundrobin\n  option redispatch\n  option httpchk GET /readyz\n  http-check expect status 200\n  \
         default-server check check-ssl verify none inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions\n"
    );
    for (name, _, address) in cluster.plan().nodes() {
        text += &format!("  server {name} {address}:6443\n");
    }
    text
}

#[test]
#[ignore = "a launch of its own: make test-options"]
fn a_cluster_behind_somebody_elses_balancer_and_known_by_a_name() {
    let story = Story::new("options_external");
    let cluster = story.step("the lab is there", || Cluster::new(external_plan()?));
    let outside = story.step("somebody else runs a balancer", || Outside::start(&cluster));
    let said = story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step("it names the endpoint, and no VIP", || {
        let text = said.stdout;
        ensure!(
            text.contains(&format!("API at {ENDPOINT}:{PORT}")) && !text.contains("VIP"),
            "{text}"
        );
        Ok(())
    });
    no_node_runs_a_balancer(&story, &cluster);
    the_name_is_everywhere(&story, &cluster);
    status_and_doctor_say_whose_it_is(&story, &cluster);
    a_control_plane_loses_power(&story, &cluster);
    story.step("the balancer goes: status says what is left", || {
        drop(outside);
        let seen = cluster.ha_host(&["status", NAME], LOOK)?;
        ensure!(
            seen.code != Some(0)
                && seen
                    .stdout
                    .contains("the balancer there is not the cluster's"),
            "{}",
            seen.stdout
        );
        Ok(())
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn no_node_runs_a_balancer(story: &Story, cluster: &Cluster) {
    story.step("no node has keepalived or haproxy", || {
        for name in cluster.control_planes() {
            let script = "systemctl list-units --all --plain --no-legend 'keepalived*.service' 'haproxy*.service'; pidof keepalived haproxy; ls /etc/haproxy /etc/keepalived 2>/dev/null; true";
            let seen = cluster.node(&name).sh(script)?;
            ensure!(seen.trim().is_empty(), "{name}: {seen}");
        }
        Ok(())
    });
}

fn the_name_is_everywhere(story: &Story, cluster: &Cluster) {
    let url = format!("server: https://{ENDPOINT}:{PORT}");
    story.step("kubeconfigs name it", || {
        let printed = cluster.ha_host(&["kubeconfig", NAME], LOOK)?.ok()?;
        let in_json = format!("\"server\": \"https://{ENDPOINT}:{PORT}\"");
        ensure!(
            printed.stdout.contains(&in_json),
            "kubeconfig names another server"
        );
        let hint = format!("{ADDRESS} {ENDPOINT}` in /etc/hosts");
        ensure!(printed.stderr.contains(&hint), "{}", printed.stderr);
        let admin = cluster.node("node2").read("/etc/kubernetes/admin.conf")?;
        ensure!(admin.contains(&url), "admin.conf names another server");
        Ok(())
    });
    story.step("a node's kubectl reaches the API by it", || {
        let script = format!("{ADMIN_KUBECTL} get nodes --no-headers | grep -cw Ready");
        let ready = cluster.node("node3").sh(&script)?;
        ensure!(ready.trim() == "3", "{ready} nodes are Ready");
        Ok(())
    });
}

fn status_and_doctor_say_whose_it_is(story: &Story, cluster: &Cluster) {
    story.step(
        "status and doctor find nothing, and say whose it is",
        || {
            let seen = wait_until("exit code 0", LOOK, || {
                cluster.ha_host(&["status", NAME], LOOK)?.ok()
            })?;
            let line = format!("{ENDPOINT}:{PORT} answers, by a balancer outside of the cluster");
            ensure!(seen.stdout.contains(&line), "{}", seen.stdout);
            let own = cluster.node("node1").sh("ha-agent status")?;
            ensure!(own.contains("by a balancer outside"), "{own}");
            let doctor = cluster.ha_host(&["doctor", NAME], LOOK)?.ok()?;
            for words in [&seen.stdout, &own, &doctor.stdout] {
                let ours = ["keepalived", "haproxy", "VRRP", "VIP"];
                ensure!(!ours.iter().any(|word| words.contains(word)), "{words}");
            }
            Ok(())
        },
    );
}

fn a_control_plane_loses_power(story: &Story, cluster: &Cluster) {
    let report = story.step("node1 loses power: the API goes on answering", || {
        let endpoint = SocketAddr::new(ADDRESS.parse()?, PORT);
        let probe = Probe::of_apiserver(&cluster.client()?, endpoint)?;
        thread::sleep(BEFORE);
        cluster.node("node1").power("off")?;
        thread::sleep(SEEN);
        let report = probe.stop()?;
        ensure!(report.gap < SEEN / 2, "{report}");
        Ok(report)
    });
    story.note(&report.to_string());
    story.step("it comes back and the cluster is whole", || {
        cluster.node("node1").power("on")?;
        wait_until("exit code 0", BACK, || {
            cluster.ha_host(&["status", NAME], LOOK)?.ok()
        })
        .map(drop)
    });
}
