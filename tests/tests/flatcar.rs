//! The whole on real Flatcar images with the bakery's system extensions and the real Cilium: for machines with KVM and a
//! way to Flatcar's servers. `make test-flatcar` looks for both before it calls these tests.

use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::kube::all_voters;
use ha_tests::plan::{ClusterPlan, MachineKind};
use ha_tests::story::Story;

/// From a lost holder to an API that says so, and from power-on to Ready.
const HEAL: Duration = Duration::from_secs(300);

#[test]
#[ignore = "needs KVM and Flatcar's servers: make test-flatcar"]
fn flatcar_on_qemu() {
    from_nothing_to_a_cluster_that_loses_a_node("flatcar-qemu", MachineKind::Qemu);
}

#[test]
#[ignore = "needs KVM, libvirt and Flatcar's servers: make test-flatcar"]
fn flatcar_on_libvirt() {
    from_nothing_to_a_cluster_that_loses_a_node("flatcar-libvirt", MachineKind::Libvirt);
}

fn from_nothing_to_a_cluster_that_loses_a_node(name: &str, kind: MachineKind) {
    let story = Story::new(name);
    let cluster = story.step("a cluster file of defaults", || {
        Cluster::new(ClusterPlan::new(name, 3, 2).on(kind).of_flatcar())
    });
    let done = story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.note(&format!("launch took {:.1} s", done.took.as_secs_f64()));
    story.step("every node is Ready", || cluster.kube().all_ready());
    story.step("etcd has three started voters", || {
        all_voters(&cluster, "node1", &cluster.control_planes())
    });
    story.step("it is Flatcar", || {
        let os = cluster.node("node1").read("/etc/os-release")?;
        ensure!(os.contains("ID=flatcar"), "it is {os}");
        Ok(())
    });
    story.step("a restart of networkd does not take the VIP away", || {
        let holder = cluster.vip_holder()?;
        cluster
            .node(&holder)
            .sh("systemctl restart systemd-networkd && networkctl reload")?;
        ensure!(cluster.vip_holder()? == holder, "it moved");
        Ok(())
    });
    story.step(
        "the holder loses power: the API answers through the VIP",
        || loses_its_holder(&cluster),
    );
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn loses_its_holder(cluster: &Cluster) -> Result<()> {
    let holder = cluster.vip_holder()?;
    cluster.node(&holder).power("off")?;
    wait_until("another node holds it and the API answers", HEAL, || {
        let holders = cluster.vip_holders()?;
        ensure!(
            holders.len() == 1 && holders[0] != holder,
            "it is on {holders:?}"
        );
        cluster.kube().nodes().map(drop)
    })?;
    cluster.node(&holder).power("on")?;
    wait_until("every node is Ready again", HEAL, || {
        cluster.kube().all_ready()
    })
}
