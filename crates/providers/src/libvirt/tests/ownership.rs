//! What lies there already, by whomever, stays as it is.

use super::*;

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn what_is_not_ours_stays() {
    operator_machine::run_in_operator_machine(true, || {
        let fixture = LibvirtFixture::with_tiny_image("");
        let provider = &fixture.provider;
        define_foreign(
            "net-define",
            "<network><name>ha-t</name><ip address='10.9.9.1' netmask='255.255.255.0'/></network>",
        );
        define_foreign(
            "define",
            "<domain type='qemu'><name>t-one</name><memory>1024</memory><os><type>hvm</type></os></domain>",
        );
        let before = list_everything();
        let seen: Vec<String> = bad_findings(provider)
            .into_iter()
            .map(|finding| finding.message)
            .collect();
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(
            seen[0].contains("domain t-one that this cluster did not make"),
            "{seen:?}"
        );
        assert!(
            seen[1].contains("network ha-t that this cluster did not make"),
            "{seen:?}"
        );
        assert!(
            provider
                .prepare()
                .unwrap_err()
                .to_string()
                .contains("network ha-t")
        );
        assert!(
            fixture
                .ensure(0)
                .unwrap_err()
                .to_string()
                .contains("domain t-one")
        );
        assert_eq!(provider.state(fixture.node(0)).unwrap(), Machine::Absent);
        assert!(provider.power(fixture.node(0), Power::Off).is_err());
        provider.remove(fixture.node(0)).unwrap();
        provider.destroy().unwrap();
        assert_eq!(list_everything(), before);
        run_virsh("undefine t-one");
        run_virsh("net-undefine ha-t");
        two_of_a_name(&fixture);
    });
}

/// A second state directory with a cluster of the same name shares the image, and nothing else.
fn two_of_a_name(fixture: &LibvirtFixture) {
    let elsewhere = tempfile::tempdir_in(operator_machine::shared_dir()).unwrap();
    let second = libvirt_provider(&fixture.cluster, elsewhere.path());
    fixture.provider.prepare().unwrap();
    fixture.ensure(0).unwrap();
    assert!(
        second
            .prepare()
            .unwrap_err()
            .to_string()
            .contains("another state directory")
    );
    second.destroy().unwrap();
    assert_eq!(
        fixture.provider.state(fixture.node(0)).unwrap(),
        Machine::Running
    );
    let other = libvirt_cluster(
        &format!("{{path: {}}}", write_tiny_image().display()),
        ", network: default",
    );
    let other = Cluster {
        name: "u".into(),
        ..other
    };
    let third = tempfile::tempdir_in(operator_machine::shared_dir()).unwrap();
    let third = libvirt_provider(&other, third.path());
    let host = &third.hosts["qemu:///system"];
    third.remember().unwrap();
    third.share_unless_among(host, &BTreeSet::new()).unwrap();
    let images = || {
        run_virsh("vol-list default")
            .matches("ha-host.image.")
            .count()
            / 2
    };
    assert_eq!(images(), 1, "uploaded once for both");
    third.destroy().unwrap();
    assert_eq!(images(), 1, "in use");
    fixture.provider.destroy().unwrap();
    assert_eq!(list_everything(), "default");
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn networks_that_are_there() {
    operator_machine::run_in_operator_machine(true, || {
        let fixture = LibvirtFixture::with_tiny_image(", network: lan");
        let provider = &fixture.provider;
        let one = || {
            let mut bad = bad_findings(provider);
            assert!(!bad.is_empty());
            bad.remove(0)
        };
        assert!(one().message.contains("has no network lan"), "{:?}", one());
        let net = |range: &str| {
            define_foreign(
                "net-define",
                &format!(
                    "<network><name>lan</name><bridge name='lan0'/>\
                <ip address='10.79.0.1' prefix='24'><dhcp><range start='10.79.0.{range}' end='10.79.0.99'/></dhcp></ip></network>"
                ),
            );
        };
        net("12");
        assert!(
            one().message.contains("is not started") && one().remedy.contains("net-start lan"),
            "{:?}",
            one()
        );
        run_virsh("net-start lan");
        let seen: Vec<String> = bad_findings(provider)
            .into_iter()
            .map(|finding| finding.message)
            .collect();
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(
            seen[0].contains("two 10.79.0.12 lies in the DHCP range 10.79.0.12 to 10.79.0.99"),
            "{seen:?}"
        );
        assert!(seen[1].contains("the VIP 10.79.0.30"), "{seen:?}");
        assert!(provider.prepare().is_err());
        run_virsh("net-destroy lan");
        run_virsh("net-undefine lan");
        net("90");
        run_virsh("net-start lan");
        assert_eq!(bad_findings(provider), []);
        provider.prepare().unwrap();
        assert_eq!(fixture.ensure(0).unwrap(), NEW);
        provider.destroy().unwrap();
        assert!(
            list_everything().contains("lan"),
            "somebody else's network stays"
        );
    });
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn a_bridge_that_is_missing() {
    operator_machine::run_in_operator_machine(true, || {
        let fixture = LibvirtFixture::with_tiny_image(", network: {bridge: nobr0}");
        fixture.provider.prepare().unwrap();
        let message = format!("{:#}", fixture.ensure(0).unwrap_err());
        assert!(
            message.contains("virsh start t-one") && message.contains("nobr0"),
            "{message}"
        );
        assert_eq!(
            fixture.provider.state(fixture.node(0)).unwrap(),
            Machine::Absent
        );
        assert!(
            !run_virsh("vol-list default").contains("t.one."),
            "nothing of a node that never ran"
        );
        let added = Command::new("ip")
            .args(["link", "add", "nobr0", "type", "bridge"])
            .status();
        assert!(added.unwrap().success());
        assert_eq!(fixture.ensure(0).unwrap(), NEW);
        fixture.provider.destroy().unwrap();
    });
}
