//! Kubernetes itself in a virtual machine: a control plane goes through its real `kubeadm init` under an emulator, with the
//! kernel, the cgroup v2 tree and the disk of its own that containers do not have.

use std::time::Duration;

use anyhow::ensure;
use ha_tests::cluster::Cluster;
use ha_tests::kube::all_voters;
use ha_tests::plan::{Kind, Plan};
use ha_tests::story::Story;

/// An answer from an emulated machine.
const ANSWER: Duration = Duration::from_secs(120);

#[test]
fn a_control_plane_is_founded_in_a_virtual_machine() {
    let story = Story::new("vm");
    let cluster = story.step("the lab is there", || {
        Cluster::new(Plan::new("vm", 1, 0).on(Kind::Qemu))
    });
    let done = story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.note(&format!("launch took {:.0} s", done.took.as_secs_f64()));
    for line in done
        .stdout
        .lines()
        .filter(|l| l.contains("where the time went"))
    {
        story.note(line.trim());
    }
    story.step(
        "the API says that the node is Ready, by the forwarded port",
        || cluster.kube().all_ready(),
    );
    story.step("etcd has one started voter", || {
        all_voters(&cluster, "node1", &cluster.control_planes())
    });
    story.step("the kubelet lives in a cgroup v2 tree", || {
        let tree = cluster
            .node("node1")
            .sh("stat -fc %T /sys/fs/cgroup; ls -d /sys/fs/cgroup/kubepods.slice")?;
        ensure!(tree.contains("cgroup2fs"), "{tree}");
        Ok(())
    });
    story.step("status says so, too", || {
        let done = cluster.ha_host(&["status", cluster.name()], ANSWER)?.ok()?;
        ensure!(done.stdout.contains("vm: ready"), "{}", done.stdout);
        Ok(())
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}
