//! The same scenario on the machines of every provider: boot, VIP, a lost holder, an operator who gives up and comes
//! back. Kubernetes itself is not begun: under an emulator that takes minutes (`vm.rs` has it once).

use ha_tests::busy::busy_nodes_keep_the_holder;
use ha_tests::cluster::Cluster;
use ha_tests::plan::MachineKind;
use ha_tests::scenario;
use ha_tests::story::Story;

#[test]
fn launch_and_destroy_nspawn() {
    from_launch_to_destroy("machines-nspawn", MachineKind::Nspawn, 3);
}

#[test]
fn launch_and_destroy_qemu() {
    from_launch_to_destroy("machines-qemu", MachineKind::Qemu, 3);
}

#[test]
fn launch_and_destroy_libvirt() {
    from_launch_to_destroy("machines-libvirt", MachineKind::Libvirt, 1);
}

fn from_launch_to_destroy(name: &str, kind: MachineKind, control_planes: u8) {
    let story = Story::new(name);
    let cluster = story.step("the lab is there", || {
        Cluster::new(scenario::balancer_plan(name, kind, control_planes)?)
    });
    let launch = scenario::every_node_boots(&story, &cluster);
    scenario::are_made_of_their_ignition(&story, &cluster);
    let web = scenario::carries_the_vip(&story, &cluster);
    if kind == MachineKind::Nspawn {
        busy_nodes_keep_the_holder(&story, &cluster);
    }
    scenario::are_found_again(&story, &cluster, launch);
    if control_planes > 1 {
        scenario::is_partitioned(&story, &cluster, &web);
        scenario::loses_the_holder(&story, &cluster, &web);
    }
    story.step("destroy leaves nothing", || cluster.destroy());
}
