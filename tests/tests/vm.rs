//! Kubernetes itself in a virtual machine: a control plane goes through its real `kubeadm init` under an emulator, with the
//! kernel, the cgroup v2 tree and the disk of its own that containers do not have. That kernel has IPVS, too.

use std::time::Duration;

use anyhow::ensure;
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::kube::all_voters;
use ha_tests::plan::{ClusterPlan, MachineKind};
use ha_tests::services::KUBE_PROXY_WITH_NODES_PROGRAMS;
use ha_tests::story::Story;

/// An answer from an emulated machine.
const ANSWER: Duration = Duration::from_secs(120);
/// kube-proxy ends without its programs and is tried again with pauses of up to a minute; then it writes its rules, emulated.
const SERVED: Duration = Duration::from_secs(300);
/// The API's service address and port as the kernel shows them.
const API_SERVICE: &str = "0A600001:01BB";
/// No pod network, so a launch ends when the node has joined: an emulated processor is busy enough with the control plane.
/// Nor any election among one: a lease of ten seconds is lost there for no reason.
const NETWORK: &str = r#"proxy: ipvs, cni: none, clusterConfiguration: {
  controllerManager: {extraArgs: [{name: leader-elect, value: "false"}]},
  scheduler: {extraArgs: [{name: leader-elect, value: "false"}]}}"#;

#[test]
#[ignore = "seven minutes of emulation on an idle machine, more than twelve on a slow one: make test-vm"]
fn a_control_plane_is_founded_in_a_virtual_machine() {
    let story = Story::new("vm");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("vm", 1, 0).on(MachineKind::Qemu);
        plan.network = Some(NETWORK.into());
        Cluster::new(plan)
    });
    let done = story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.note(&format!("launch took {:.0} s", done.took.as_secs_f64()));
    let spent = done.stdout.lines().find(|l| l.contains("the time went"));
    story.note(spent.unwrap_or_default().trim());
    story.step(
        "the API answers by the forwarded port, and knows the node",
        || {
            wait_until("kubectl get nodes", ANSWER, || {
                let nodes = cluster.kube().nodes()?;
                ensure!(nodes.contains_key("node1"), "there are {nodes:?}");
                Ok(())
            })
        },
    );
    story.step("etcd has one started voter", || {
        wait_until("etcd answers", ANSWER, || {
            all_voters(&cluster, "node1", &cluster.control_planes())
        })
    });
    story.step("the kubelet lives in a cgroup v2 tree", || {
        let look = "stat -fc %T /sys/fs/cgroup; ls -d /sys/fs/cgroup/kubepods.slice";
        let tree = cluster.node("node1").sh(look)?;
        ensure!(tree.contains("cgroup2fs"), "{tree}");
        Ok(())
    });
    serves_the_api_by_ipvs(&story, &cluster);
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn serves_the_api_by_ipvs(story: &Story, cluster: &Cluster) {
    story.step("kube-proxy is lent the node's programs", || {
        let file = cluster.dir().join("kube-proxy.yaml");
        std::fs::write(&file, KUBE_PROXY_WITH_NODES_PROGRAMS)?;
        let file = file.display().to_string();
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", &file];
        cluster.kube().ctl(&apply)
    });
    story.step("the API's service address answers by IPVS", || {
        wait_until("an answer", SERVED, || {
            let look = "cat /proc/net/ip_vs; curl -sk --max-time 20 https://10.96.0.1/readyz";
            let seen = cluster.node("node1").sh(look)?;
            ensure!(seen.contains(API_SERVICE) && seen.ends_with("ok"), "{seen}");
            Ok(())
        })
    });
}
