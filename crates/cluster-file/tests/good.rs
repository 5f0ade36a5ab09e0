//! Files that are right, and what comes of them.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use ha_cluster_file::check::{check_cluster_file, render_faults};
use ha_cluster_file::cluster::{
    Accel, Arch, Assets, Cluster, Firmware, Image, LibvirtNetwork, LibvirtOptions, ProviderOptions,
    Sysext, Updates, Vm,
};
use ha_wire::phase::Role;
use ha_wire::settings::{Cni, Cri, KubeProxy, LbMode, Timeouts, Vrrp};
use serde_json::json;

mod least;

use least::{LEAST, valid_cluster};

#[test]
fn the_demo_is_valid() {
    let cluster = valid_cluster(include_str!("../../../examples/demo.yaml"));
    assert_eq!(cluster.name, "demo");
    assert_eq!(cluster.endpoint.authority(), "10.77.0.30:6444");
    assert_eq!(cluster.control_planes().count(), 3);
    assert_eq!(cluster.founder().unwrap().name, "node1");
    assert_eq!(cluster.network.cidr.to_string(), "10.77.0.0/24");
    let ProviderOptions::Nspawn(options) = &cluster.provider else {
        panic!("{:?}", cluster.provider)
    };
    assert_eq!(options.image, Path::new("/base/../lab/out/image"));
    assert_eq!(cluster.sysexts.len(), 4);
}

#[test]
fn six_keys_are_enough_with_ipv6_too() {
    let cluster = valid_cluster(
        &LEAST
            .replace("24, dns: [10.77.0.1]", "64, dns: [\"fd00:77::1\"]")
            .replace("10.77.0.", "fd00:77::"),
    );
    let k8s = &cluster.kubernetes;
    assert_eq!(k8s.pod_cidr.to_string(), "fd00:10:244::/56");
    assert_eq!(k8s.service_cidr.to_string(), "fd00:10:96::/112");
    assert_eq!(cluster.endpoint.authority(), "[fd00:77::30]:6444");
    assert_eq!(cluster.network.cidr.to_string(), "fd00:77::/64");
    assert_eq!(cluster.network.gateway.to_string(), "fd00:77::1");
}

#[test]
fn six_keys_are_enough_and_the_rest_has_defaults() {
    let cluster = valid_cluster(LEAST);
    let k8s = &cluster.kubernetes;
    assert_eq!(k8s.pod_cidr.to_string(), "10.244.0.0/16");
    assert_eq!(k8s.service_cidr.to_string(), "10.96.0.0/12");
    assert_eq!((k8s.cri, k8s.proxy), (Cri::Containerd, KubeProxy::None));
    let cilium = Cni::Cilium {
        version: "1.20.0".to_owned(),
        chart: None,
        values: serde_json::Map::new(),
    };
    assert_eq!(k8s.cni, cilium);
    assert!(
        k8s.cert_sans.is_empty()
            && k8s.kubelet_config.is_empty()
            && k8s.cluster_configuration.is_empty()
    );
    assert_eq!(cluster.endpoint.port, 6444);
    let balancer = &cluster.load_balancer;
    assert_eq!(
        (balancer.mode, &balancer.stats, balancer.advert_interval_ms),
        (LbMode::Native, &None, 100)
    );
    assert_eq!(balancer.timeouts, Timeouts::default());
    assert_eq!((balancer.vrrp, balancer.router_id), (Vrrp::Unicast, None));
    assert!(balancer.extra_ports.is_empty());
    assert_eq!(cluster.network.gateway.to_string(), "10.77.0.1");
    assert_eq!(
        (
            cluster.network.interface.as_str(),
            cluster.network.dns.len()
        ),
        ("eth0", 1)
    );
    let ProviderOptions::Libvirt(options) = &cluster.provider else {
        panic!("{:?}", cluster.provider)
    };
    let vm = Vm {
        memory: 4 << 30,
        cpus: 2,
        disk: 20 << 30,
        cpu: "host".to_owned(),
        arch: Arch::HOST,
        firmware: if Arch::HOST == Arch::Arm64 {
            Firmware::Uefi
        } else {
            Firmware::Bios
        },
        accel: Accel::Auto,
        image: Image::Flatcar {
            channel: "stable".to_owned(),
            version: None,
        },
    };
    let expected = LibvirtOptions {
        uri: "qemu:///system".to_owned(),
        vm,
        network: LibvirtNetwork::Own,
        pool: "default".to_owned(),
        autostart: false,
    };
    assert_eq!(*options, expected);
    assert_eq!(cluster.assets, Assets::Disk { images: Vec::new() });
    assert_eq!(
        (cluster.updates, cluster.network.mtu),
        (Updates::None, None)
    );
    let names: Vec<&str> = cluster.sysexts.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["cilium", "ha-agent", "haproxy", "keepalived", "kubernetes"]
    );
    assert_eq!(cluster.sysexts["ha-agent"], Sysext::Bundled);
    let version = "v1.36.3".to_owned();
    assert_eq!(cluster.sysexts["kubernetes"], Sysext::Bakery { version });
    assert!(cluster.ignition_merge.is_empty() && cluster.authorized_keys.is_empty());
    assert_eq!(cluster.proxy, None);
    assert!(cluster.hooks.before_join.is_empty() && cluster.hooks.after_ready.is_empty());
}

#[test]
fn every_key_arrives() {
    let cluster = valid_cluster(include_str!("good/every-key.yaml"));
    let k8s = &cluster.kubernetes;
    assert_eq!(
        (k8s.version.as_str(), k8s.cri, k8s.proxy),
        ("1.35.1", Cri::Crio, KubeProxy::Nftables)
    );
    let Cni::Cilium {
        version,
        chart,
        values,
    } = &k8s.cni
    else {
        panic!("{:?}", k8s.cni)
    };
    assert_eq!(version, "1.19.5");
    assert_eq!(chart.as_deref(), Some("/base/charts/cilium.tgz"));
    assert_eq!(
        values["operator"],
        json!({"replicas": 2, "enabled": true, "note": "007", "share": 0.5, "none": null})
    );
    assert_eq!(
        k8s.cert_sans,
        ["api.example.com", "*.example.com", "203.0.113.7"]
    );
    assert_eq!(k8s.kubelet_config["maxPods"], json!(200));
    assert_eq!(
        k8s.cluster_configuration["networking"],
        json!({"dnsDomain": "k8s.example.com"})
    );
    assert_eq!(cluster.endpoint.authority(), "k8s-api.example.org:7443");
    assert_eq!(cluster.endpoint.socket().to_string(), "192.168.122.30:7443");
    assert_eq!(cluster.endpoint.apiserver_port, 7444);
    let written = json!({
        "mode": "native",
        "stats": {"address": "0.0.0.0", "port": 9000, "user": "admin", "passwordFile": "/base/stats.password"},
        "extraPorts": [
            {"name": "https", "port": 443, "target": 30443, "check": {"http": {"path": "/healthz"}}, "balance": "roundrobin"},
            {"name": "konnectivity", "port": 8132, "target": 8132, "check": "tls"},
        ],
        "advertIntervalMs": 1000,
        "timeouts": {"clientMs": 86_400_000, "serverMs": 86_400_000, "tunnelMs": 86_400_000},
        "vrrp": "multicast", "routerId": 51, "track": ["eth1"],
    });
    assert_eq!(
        serde_json::to_value(&cluster.load_balancer).unwrap(),
        written
    );
    assert_eq!(cluster.vrid(), 51);
    assert_eq!(
        (
            cluster.network.gateway.to_string().as_str(),
            cluster.network.dns.len()
        ),
        ("192.168.122.254", 2)
    );
    assert_eq!(cluster.network.interface, "enp1s0");
    assert_eq!(cluster.authorized_keys.len(), 1);
    let untainted: Vec<_> = cluster.nodes.iter().map(|node| node.untainted).collect();
    assert_eq!(untainted, [false, false, true, false]);
    let worker = cluster
        .nodes
        .iter()
        .find(|node| node.role == Role::Worker)
        .unwrap();
    assert_eq!(
        (
            worker.labels["example.com/rack"].as_str(),
            worker.labels["gpu"].as_str()
        ),
        ("a1", "true")
    );
    assert_eq!(
        worker.annotations["example.com/owner"],
        "team a, second floor"
    );
    assert_eq!(worker.kubelet_config["maxPods"], 60);
    assert_eq!(cluster.flatcar_extensions, ["zfs", "podman"]);
    assert_eq!(worker.flatcar_extensions, ["python"]);
    assert_eq!(
        worker.sysexts["nvidia"],
        Sysext::File("/base/nvidia.raw".into())
    );
    assert_eq!(cluster.network.ntp, ["ntp.example.com", "192.168.122.1"]);
    assert!(cluster.core_kubeconfig);
    assert_eq!(cluster.trusted_cas, [Path::new("/base/certs/ca.pem")]);
    let registries = json!([
        {"host": "docker.io", "mirrors": ["https://mirror.example.com", "https://harbor.example.com:8443/docker.io/"],
         "ca": "/base/certs/registry.pem"},
        {"host": "registry.example.com:5000",
         "auth": {"user": "robot$pull", "passwordFile": "/base/registry.password"}},
    ]);
    assert_eq!(
        serde_json::to_value(&cluster.registries).unwrap(),
        registries
    );
    let etcd = cluster.kubernetes.external_etcd().unwrap();
    assert_eq!(etcd.endpoints[2], "https://192.168.122.43:2379");
    assert_eq!(etcd.key_file, Path::new("/secrets/etcd-client.key"));
    assert_eq!(worker.hooks.before_join, ["modprobe zfs"]);
    let patience = &cluster.kubernetes.timeouts["controlPlaneComponentHealthCheck"];
    assert_eq!(patience, "8m");
    let taints: Vec<_> = worker
        .taints
        .iter()
        .map(|t| (t.key.as_str(), t.value.as_str(), t.effect.as_str()))
        .collect();
    assert_eq!(
        taints,
        [
            ("dedicated", "db", "NoSchedule"),
            ("spot", "", "NoExecute"),
            ("a", "b", "PreferNoSchedule")
        ]
    );
    let ProviderOptions::Qemu(options) = &cluster.provider else {
        panic!("{:?}", cluster.provider)
    };
    let kernel = ha_cluster_file::cluster::Kernel {
        path: "/base/vmlinuz".into(),
        initrd: "/base/initrd.img".into(),
        append: "root=LABEL=ROOT".to_owned(),
    };
    let image = Image::File {
        path: "/base/flatcar.img".into(),
        kernel: Some(kernel),
    };
    assert_eq!(options.vm.image, image);
    assert_eq!((options.vm.memory, options.vm.cpus), (8 << 30, 4));
    assert_eq!(
        (options.vm.arch, options.vm.firmware, options.vm.accel),
        (Arch::Arm64, Firmware::Uefi, Accel::Tcg)
    );
    let images = vec!["/base/images.tar".into()];
    assert_eq!(cluster.assets, Assets::Disk { images });
    assert_eq!(
        (cluster.updates, cluster.network.mtu),
        (Updates::Sysupdate, Some(9000))
    );
    assert_eq!(worker.mac.unwrap().to_string(), "52:54:00:00:00:34");
    assert_eq!(worker.interface_in(&cluster.network), "lan0");
    let [nic] = worker.interfaces.as_slice() else {
        panic!("{:?}", worker.interfaces)
    };
    assert_eq!(nic.address.unwrap().to_string(), "10.9.0.34/24");
    let version = "v3.0.0".to_owned();
    assert_eq!(cluster.sysexts["haproxy"], Sysext::Bakery { version });
    let Sysext::Url { sha256, .. } = &cluster.sysexts["kubernetes"] else {
        panic!("{:?}", cluster.sysexts)
    };
    assert_eq!(*sha256, "9f2c".repeat(16));
    assert_eq!(
        cluster.sysexts["ha-agent"],
        Sysext::File("/base/ha-agent.raw".into())
    );
    let proxy = cluster.proxy.as_ref().unwrap();
    let [http, https] = [&proxy.http, &proxy.https].map(|url| url.as_ref().unwrap().expose());
    assert_eq!(http, "http://proxy.example.com:3128");
    assert_eq!(https, "http://me:p%40ss@192.168.122.5:3128");
    assert_eq!(
        (proxy.except.len(), proxy.except[3].as_str()),
        (4, "198.51.100.7:5000")
    );
    assert_eq!(cluster.ignition_merge, [Path::new("/etc/mine.ign")]);
    assert_eq!(
        (
            cluster.hooks.before_join.len(),
            cluster.hooks.after_ready.len()
        ),
        (1, 2)
    );
}

/// Anchors, merge keys and aliases are plain YAML and work.
#[test]
fn anchors_work() {
    let text = format!(
        "{LEAST}  - &worker {{name: node4, role: worker, address: 10.77.0.14, labels: &labels {{rack: a1}}}}
  - {{<<: *worker, name: node5, address: 10.77.0.15}}
  - {{name: node6, role: worker, address: 10.77.0.16, labels: *labels}}\n"
    );
    let cluster = valid_cluster(&text);
    for node in &cluster.nodes[3..] {
        assert_eq!(
            (node.role, node.labels["rack"].as_str()),
            (Role::Worker, "a1"),
            "{}",
            node.name
        );
    }
}

#[test]
fn a_choice_without_options_is_a_word() {
    for (provider, name) in [
        ("libvirt", "libvirt"),
        ("{qemu: {}}", "qemu"),
        ("none", "none"),
        ("{none: }", "none"),
    ] {
        assert_eq!(
            valid_cluster(&format!("{LEAST}provider: {provider}\n"))
                .provider
                .name(),
            name
        );
    }
    let text = LEAST.replace("1.36.3", "1.36.3, proxy: iptables, cni: none");
    assert_eq!(valid_cluster(&text).kubernetes.cni, Cni::None);
    let text = LEAST.replace(
        "1.36.3",
        "1.36.3, proxy: nftables, cni: {manifests: [a.yaml, /b.yaml, \"https://c/d\"]}",
    );
    let sources = ["/base/a.yaml", "/b.yaml", "https://c/d"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(
        valid_cluster(&text).kubernetes.cni,
        Cni::Manifests { sources }
    );
}

#[test]
fn sysexts_are_the_bakerys_or_those_that_the_file_names() {
    let text = format!("{LEAST}sysexts: {{haproxy: {{path: h.raw}}}}\n");
    let (named, warnings) = check_cluster_file(&text, Path::new("/base")).unwrap();
    assert_eq!(named.sysexts.len(), 1, "as it is written");
    let told = render_faults(&warnings, &text, "file");
    assert!(told.contains("sysexts does not list `ha-agent`"), "{told}");
}

#[test]
fn the_image_may_have_the_sysexts() {
    assert!(
        valid_cluster(&format!("{LEAST}sysexts: none\n"))
            .sysexts
            .is_empty()
    );
    assert!(
        valid_cluster(&format!("{LEAST}provider: none\n"))
            .sysexts
            .is_empty()
    );
}

#[test]
fn the_virtual_router_id_is_frozen() {
    // Another id on a running cluster's new node would be a second router: this number must never change.
    assert_eq!(valid_cluster(LEAST).vrid(), 42);
}

/// The budget of `ha-host render` for 5,000 nodes is 2 s; a quadratic rule would show here as minutes.
#[test]
fn five_thousand_nodes_are_read() {
    let mut text = "name: big\nkubernetes: {version: 1.36.3, podCIDR: 100.64.0.0/11}\nendpoint: {vip: 10.8.0.30}\nnetwork: {prefix: 16, dns: [10.8.255.1]}\nnodes:\n".to_owned();
    for i in 0..5000 {
        let role = if i < 3 { "control-plane" } else { "worker" };
        let address = format!("10.8.{}.{}", 1 + i / 250, 1 + i % 250);
        text += &format!(
            "  - {{name: node{i}, role: {role}, address: {address}, labels: {{rack: r{}}}}}\n",
            i % 40
        );
    }
    assert_eq!(valid_cluster(&text).nodes.len(), 5000);
}

/// As editors on other systems write it.
#[test]
fn line_ends_and_byte_order_marks_do_not_matter() {
    let windows = format!("\u{feff}{}", LEAST.trim_start().replace('\n', "\r\n"));
    assert_eq!(valid_cluster(&windows), valid_cluster(LEAST));
    let bad = windows.replace("10.77.0.12", "10.77.0.999");
    let faults = check_cluster_file(&bad, Path::new("/base")).unwrap_err();
    let told = render_faults(&faults, &bad, "file");
    assert!(
        told.contains("file:7:49") && told.contains("^^^^^^^^^^^\n"),
        "{told}"
    );
}

/// Nothing that kubeadm and the kubelet take is complained about.
#[test]
fn what_is_handed_on_may_say_what_kubeadm_takes() {
    let cluster = valid_cluster(include_str!("good/handed-on.yaml"));
    assert_eq!(cluster.kubernetes.kubelet_config["maxPods"], 400);
    assert_eq!(cluster.nodes[3].interfaces.len(), 1);
}

/// A key that is taken away by an empty value has no type.
#[test]
fn an_empty_value_takes_a_key_away() {
    let text = LEAST.replace(
        "1.36.3",
        "1.36.3, kubeletConfig: {evictionHard: ~, maxPods: }, clusterConfiguration: {apiServer: , etcd: {local: null}}",
    );
    assert_eq!(valid_cluster(&text).kubernetes.kubelet_config.len(), 2);
}

/// A proxy's URL may hold a password.
#[test]
fn a_proxys_password_is_not_shown() {
    let text = format!("{LEAST}proxy: {{https: \"http://me:hush@10.77.0.5:3128\"}}\n");
    let cluster = valid_cluster(&text);
    assert!(!format!("{cluster:?}").contains("hush"), "{cluster:?}");
    let kept = serde_json::to_string(&cluster).unwrap();
    assert_eq!(serde_json::from_str::<Cluster>(&kept).unwrap(), cluster);
}
