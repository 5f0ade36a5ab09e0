use super::*;

#[test]
fn control_planes_come_first() {
    let plan = ClusterPlan::new("x", 3, 2);
    assert_eq!(plan.names(Role::ControlPlane), ["node1", "node2", "node3"]);
    assert_eq!(plan.names(Role::Worker), ["node4", "node5"]);
    assert_eq!(plan.nodes()[4].2, IpAddr::V4(Ipv4Addr::new(10, 77, 0, 15)));
}

#[test]
fn the_text_is_a_valid_cluster_file() {
    let mut plan = ClusterPlan::new("e2e-x", 3, 2);
    plan.merge.push("/tmp/x.ign".into());
    let text = plan.text(&Lab::at("/lab/out"));
    let (cluster, warnings) =
        ha_cluster_file::check::check_cluster_file(&text, std::path::Path::new("/"))
            .expect("valid");
    assert_eq!((cluster.nodes.len(), warnings), (5, Vec::new()));
    assert_eq!(cluster.sysexts.len(), 4);
    for kind in [MachineKind::Qemu, MachineKind::Libvirt] {
        let text = plan.clone().on(kind).text(&Lab::at("/lab"));
        let (cluster, _) =
            ha_cluster_file::check::check_cluster_file(&text, std::path::Path::new("/"))
                .expect("valid");
        assert!(cluster.provider.vm().is_some());
    }
    let text = plan
        .clone()
        .on(MachineKind::Qemu)
        .of_flatcar()
        .text(&Lab::at("/lab"));
    let (cluster, _) = ha_cluster_file::check::check_cluster_file(&text, std::path::Path::new("/"))
        .expect("valid");
    assert_eq!(cluster.sysexts.len(), 5, "the bakery's defaults");
    plan.network = Some(crate::plan::CILIUM.into());
    assert!(
        ha_cluster_file::check::check_cluster_file(
            &plan.text(&Lab::at("/lab")),
            std::path::Path::new("/")
        )
        .is_ok()
    );
}
