use super::*;

fn new_domain() -> NewDomain {
    NewDomain {
        name: "demo-node1".into(),
        mark: Mark {
            cluster: "demo".into(),
            node: "node1".into(),
            state: "0123456789abcdef".into(),
        },
        kvm: true,
        arch: Arch::X86_64,
        cpu: "host".into(),
        cpus: 2,
        memory: 4 << 30,
        firmware: Firmware::Bios,
        boot: None,
        ignition: "/pool/demo.node1.0123456789abcdef.ign".into(),
        disk: "/pool/demo.node1.0123456789abcdef.qcow2".into(),
        assets: Some("/pool/demo.assets.0123456789abcdef.ff.img".into()),
        plug: InterfaceSource::Network("ha-demo".into()),
        macs: vec![
            "52:54:00:00:00:01".parse().unwrap(),
            "52:54:00:00:00:02".parse().unwrap(),
        ],
        mtu: None,
        events: "/home/o'neill/state/events.jsonl".into(),
        console: "/home/o'neill/state/console.log".into(),
    }
}

/// Byte for byte; HA_GOLDEN=1 writes it anew.
fn assert_golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/libvirt/xml/golden")
        .join(name);
    if std::env::var_os("HA_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap_or_default(),
        text,
        "{}",
        path.display()
    );
}

#[test]
fn an_ordinary_node() {
    assert_golden("kvm.xml", &new_domain().to_string());
}

#[test]
fn uefi_on_arm_in_a_bridge() {
    let node = NewDomain {
        arch: Arch::Arm64,
        firmware: Firmware::Uefi,
        plug: InterfaceSource::Bridge("br0".into()),
        mtu: Some(9000),
        assets: None,
        ..new_domain()
    };
    assert_golden("arm64-uefi.xml", &node.to_string());
}

#[test]
fn a_kernel_of_its_own_without_kvm() {
    let boot = Boot {
        kernel: "/pool/k".into(),
        initrd: "/pool/i".into(),
        append: "root=LABEL=ROOT rw quiet \"a<b\"".into(),
    };
    let node = NewDomain {
        kvm: false,
        cpu: "max".into(),
        boot: Some(boot),
        ..new_domain()
    };
    assert_golden("tcg-kernel.xml", &node.to_string());
}

#[test]
fn processor_elements() {
    assert_eq!(
        cpu_element("host"),
        "<cpu mode='host-passthrough' check='none'></cpu>"
    );
    assert_eq!(
        cpu_element("max"),
        "<cpu mode='maximum' check='none'></cpu>"
    );
    assert_eq!(
        cpu_element("Nehalem,+aes,-avx,vmx=on,x2apic=off"),
        "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>Nehalem</model>\
         <feature policy='require' name='aes'/><feature policy='disable' name='avx'/>\
         <feature policy='require' name='vmx'/><feature policy='disable' name='x2apic'/></cpu>"
    );
}

#[test]
fn what_we_define_is_known_again() {
    let node = new_domain();
    let domain = Domain::read(&node.to_string(), "demo-node1").unwrap();
    assert_eq!(domain.mark, Some(node.mark));
    assert!(!domain.active);
    assert_eq!(
        domain.events.as_deref(),
        Some("/home/o'neill/state/events.jsonl")
    );
    assert_eq!(
        domain.console.as_deref(),
        Some("/home/o'neill/state/console.log")
    );
    let running = Domain::read("<domain type='kvm' id='3'><name>x</name></domain>", "x").unwrap();
    assert!(running.active && running.mark.is_none());
}

#[test]
#[ignore = "needs root and the lab's operator"]
fn libvirts_own_schema_takes_every_golden_file() {
    if !ha_test_support::real::is_root("enters the root of the lab's operator") {
        return;
    }
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/libvirt/xml/golden");
    for entry in std::fs::read_dir(&dir).unwrap() {
        let name = entry.unwrap().file_name();
        let validate = "/usr/bin/virt-xml-validate";
        let Some(mut validate) = ha_test_support::real::in_operators_root(validate, &dir) else {
            return;
        };
        let file = std::path::Path::new("/mnt").join(&name);
        let said = validate.arg(file).arg("domain").output().unwrap();
        let words = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{}: {words}", name.display());
    }
}
