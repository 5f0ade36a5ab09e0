use super::*;
use crate::kube::testing::{kubelet_files, node_identity, test_authority};
use crate::kube::{KUBELET_CONF, KUBELET_PEM, kubeconfig, pki_file};
use crate::testing;

#[test]
fn temporary_files_of_a_killed_agent_are_wiped() {
    let machine = testing::fake_machine(testing::worker());
    let kept = [
        "/etc/kubernetes/manifests/etcd.yaml",
        "/etc/ha-agent/node.json",
        "/run/ha-agent/status.json",
    ];
    let wiped = [
        "/etc/.ha-agent.a1b2c3",
        "/etc/ha-agent/.ha-agent.a1b2c3",
        "/etc/kubernetes/.ha-agent.a1b2c3",
        "/run/ha-agent/kubeadm.yaml.init",
        "/run/ha-agent/kubeadm.yaml.join-prepare",
    ];
    for name in kept.iter().chain(&wiped) {
        machine.file(name, "secret");
    }
    clear_leftovers(&machine.cx);
    let exists = |name: &&str| machine.cx.sys.files.exists(name);
    assert!(!wiped.iter().any(exists));
    // A manifest of this text is no pod: the node is not settled.
    assert!(kept[1..].iter().all(exists));
}

/// Seen in the lab: CoreDNS stayed away for good, "cached result: decoding version from network config: unexpected end of JSON input".
#[test]
fn what_a_power_cut_left_of_pods_networks_keeps_no_pod_from_being_stopped() {
    let machine = testing::fake_machine(testing::worker());
    let results = ["lab-1-eth0", "lab-2-eth0", "lab-3-eth0"];
    let results = results.map(|name| format!("/var/lib/cni/results/{name}"));
    for (name, text) in results
        .iter()
        .zip(["", "{\"kind\": \"cniCa", "{\"kind\": \"cniCacheV1\"}"])
    {
        machine.file(name, text);
    }
    clear_leftovers(&machine.cx);
    let exists = results.map(|name| machine.cx.sys.files.exists(&name));
    assert_eq!(exists, [false, false, true]);
}

/// kubeadm looks for its own user in it, and fails at any other.
#[test]
fn the_kubeconfig_that_kubeadm_made_for_the_founder_stays() {
    let ca = test_authority("kubernetes");
    let machine = testing::fake_machine(testing::founder());
    machine.file(&pki_file("ca.crt"), ca.cert());
    let first = node_identity(&ca, "node1");
    machine.file(paths::IDENTITY_CERT, &first.cert);
    machine.file(paths::IDENTITY_KEY, first.key.expose());
    let of_kubeadm = node_identity(&ca, "node1");
    machine.file(KUBELET_PEM, of_kubeadm.joint_pem().expose());
    let conf = kubeconfig::render_embedded("https://10.77.0.11:6443", ca.cert(), &of_kubeadm);
    machine.file(KUBELET_CONF, conf.expose());
    clear_leftovers(&machine.cx);
    let left = machine.cx.sys.files.read(KUBELET_CONF).unwrap();
    assert_eq!(left.as_deref(), Some(conf.expose()));
    machine.file(KUBELET_CONF, "");
    clear_leftovers(&machine.cx);
    assert!(
        !machine.cx.sys.files.exists(KUBELET_CONF),
        "kubeadm makes it"
    );
}

/// The kubelet of a node whose first boot was cut off for a day starts before the cluster answers: it may be the cluster.
#[test]
fn the_first_identity_is_out_of_the_kubeconfig_before_anybody_is_asked() {
    let ca = test_authority("kubernetes");
    let machine = testing::fake_machine(testing::control_plane());
    machine.file(&pki_file("ca.crt"), ca.cert());
    let first = node_identity(&ca, "node2");
    machine.file(paths::IDENTITY_CERT, &first.cert);
    machine.file(paths::IDENTITY_KEY, first.key.expose());
    let embedded = kubeconfig::render_embedded("https://10.77.0.30:6444", ca.cert(), &first);
    for pem in [&first.joint_pem(), &node_identity(&ca, "node2").joint_pem()] {
        machine.file(KUBELET_CONF, embedded.expose());
        machine.file(KUBELET_PEM, pem.expose());
        clear_leftovers(&machine.cx);
        let conf = machine.cx.sys.files.read(KUBELET_CONF).unwrap().unwrap();
        let own = *pem != first.joint_pem();
        assert_eq!(kubeconfig::holds_private_key(&conf), !own);
        assert!(conf.contains("https://10.77.0.30:6444"), "not joined yet");
    }
}

#[test]
fn a_settled_node_keeps_all_but_what_the_kubelet_makes_itself() {
    let ca = test_authority("kubernetes");
    let machine = testing::fake_machine(testing::control_plane());
    machine.file(&pki_file("ca.crt"), ca.cert());
    for (name, text) in kubelet_files(&ca) {
        machine.file(&name, &text);
    }
    let files = &machine.cx.sys.files;
    for name in [
        "/var/lib/kubelet/pki/kubelet.key",
        "/var/lib/kubelet/config.yaml",
        KUBELET_CONF,
    ] {
        machine.file(name, "");
    }
    clear_leftovers(&machine.cx);
    assert!(!files.exists("/var/lib/kubelet/pki/kubelet.crt"));
    assert!(files.exists("/var/lib/kubelet/config.yaml"));
    let conf = files.read(KUBELET_CONF).unwrap().unwrap();
    assert!(conf.contains("https://10.77.0.12:6443"), "{conf}");
}
