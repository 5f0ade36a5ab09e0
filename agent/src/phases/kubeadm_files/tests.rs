use std::path::Path;
use std::process::Command;

use ha_test_support::real;
use ha_wire::settings::Cri;

use super::*;
use crate::kube::testing::{kubeadm_files, test_authority};
use crate::testing;

/// What breaks a file, and whether the half that is left would pass for whole.
const CUTS: [fn(&str) -> String; 3] = [
    |_| String::new(),
    |text| "\0".repeat(text.len()),
    |text| text[..text.len() * 2 / 3].to_owned(),
];

#[test]
fn whatever_is_empty_zeroed_or_cut_short_is_broken() {
    let whole = kubeadm_files(&test_authority("kubernetes"));
    assert_eq!(whole.len(), 14 + 4 + 4 + 7, "every piece is walked");
    assert!(broken_files(&whole).is_empty());
    let of_pieces: usize = all_pieces().iter().map(|p| p.names.len()).sum();
    assert_eq!(whole.len(), of_pieces);
    for name in whole.keys() {
        for cut in CUTS {
            let mut texts = whole.clone();
            let text = cut(&texts[name]);
            // Two thirds of it are whole enough to start a kubelet with.
            if name == KUBELET_CONFIG && text.contains("kind: KubeletConfiguration") {
                continue;
            }
            texts.insert(name.clone(), text);
            assert!(broken_files(&texts).contains(name), "{name}");
        }
    }
}

#[test]
fn a_pair_goes_together_and_what_is_missing_is_not_broken() {
    let whole = kubeadm_files(&test_authority("kubernetes"));
    assert!(broken_files(&BTreeMap::new()).is_empty());
    let [cert, key] = ["crt", "key"].map(|s| pki_file(&format!("apiserver.{s}")));
    let mut texts = whole.clone();
    texts.remove(&key);
    assert_eq!(
        broken_files(&texts),
        std::slice::from_ref(&cert),
        "kill -9 in between"
    );
    texts.insert(
        key.clone(),
        whole[&pki_file("front-proxy-client.key")].clone(),
    );
    assert_eq!(broken_files(&texts), [cert, key], "another's key");
}

#[test]
fn only_what_is_broken_is_removed_and_never_what_ignition_brought() {
    let ca = test_authority("kubernetes");
    let machine = testing::fake_machine(testing::control_plane());
    let whole = kubeadm_files(&ca);
    for (name, text) in &whole {
        machine.file(name, text);
    }
    let brought = ["ca.crt", "ca.key", "sa.key", "sa.pub", "etcd/ca.key"].map(pki_file);
    let broken = [
        KUBELET_ARGUMENTS.to_owned(),
        pod_manifest("etcd"),
        "/var/lib/kubelet/pki/kubelet.crt".to_owned(),
    ];
    for name in brought.iter().chain(&broken) {
        machine.file(name, "");
    }
    let files = &machine.cx.sys.files;
    fix_without_kubeadm(&machine.cx).unwrap();
    assert!(!files.exists(&broken[2]) && !files.exists("/var/lib/kubelet/pki/kubelet.key"));
    assert!(files.exists(&broken[0]) && files.exists(&broken[1]));
    assert!(!are_whole(files, &broken[..1]).unwrap());
    remove_broken(&machine.cx).unwrap();
    for name in &broken {
        assert!(!files.exists(name), "{name}");
    }
    for name in &brought {
        assert!(files.exists(name), "{name}");
    }
    let left: Vec<String> = read_all(files).unwrap().into_keys().collect();
    assert_eq!(left.len(), whole.len() - 4);
    assert!(are_whole(files, &left).unwrap());
    assert!(!are_whole(files, &["/etc/kubernetes/unknown".to_owned()]).unwrap());
}

#[test]
fn the_kubelet_s_own_part_of_its_configuration_is_written_anew() {
    for fix in [fix_without_kubeadm, remove_broken] {
        let mut node = testing::worker();
        node.kubernetes.cri = Cri::Crio;
        let machine = testing::fake_machine(node);
        let now = || machine.cx.sys.files.read(INSTANCE_CONFIG).unwrap();
        fix(&machine.cx).unwrap();
        assert_eq!(now(), None, "before 1.34 there is none");
        machine.file(INSTANCE_CONFIG, "");
        fix(&machine.cx).unwrap();
        let text = "containerRuntimeEndpoint: \"unix:///var/run/crio/crio.sock\"\n";
        assert_eq!(now().as_deref(), Some(text));
    }
}

/// The real kubeadm in a root of its own: it fails at what is empty, and after the sweep it makes all of it anew.
#[test]
#[ignore = "needs root: make test runs it"]
fn the_real_kubeadm_goes_on_after_a_power_cut() {
    let Some(kubeadm) = real::of_kubernetes("kubeadm") else {
        return;
    };
    if !real::is_root("calls kubeadm --rootfs") {
        return;
    }
    let machine = testing::fake_machine(testing::control_plane());
    // kubeadm calls chroot there, with plain names inside.
    let own = real::version_of_kubeadm(&kubeadm);
    machine.file("/kubeadm.yaml", &KUBEADM.replace("VERSION", &own));
    let root = machine.cx.sys.files.path("/");
    let run = |phases: &[&str]| {
        phases
            .iter()
            .all(|words| kubeadm_phase(&kubeadm, &root, words))
    };
    let certificates = ["certs all", "kubeconfig all"];
    let rest = ["control-plane all", "etcd local", "kubelet-start"];
    assert!(run(&certificates) && run(&rest));
    let made = read_all(&machine.cx.sys.files).unwrap();
    // The kubelet's own four are not kubeadm's.
    assert_eq!(made.len(), 14 + 5 + 4 + 3, "{:?}", made.keys());
    assert!(
        broken_files(&made).is_empty(),
        "what kubeadm writes is whole"
    );
    assert_eq!(made[INSTANCE_CONFIG], instance_config(&machine.cx));

    let files = &machine.cx.sys.files;
    let ca = files.read(&pki_file("ca.key")).unwrap();
    for (name, fails) in [
        (pki_file("apiserver.crt"), true),
        // kubeadm looks at the certificate alone, and etcd never starts.
        (pki_file("etcd/peer.key"), false),
        ("/etc/kubernetes/scheduler.conf".to_owned(), true),
    ] {
        std::fs::write(files.path(&name), "").unwrap();
        assert_eq!(run(&certificates), !fails, "an empty {name}");
        assert_eq!(files.read(&name).unwrap().as_deref(), Some(""));
        remove_broken(&machine.cx).unwrap();
        assert!(run(&certificates), "{name}");
        assert!(are_whole(files, &[name]).unwrap());
    }
    assert_eq!(files.read(&pki_file("ca.key")).unwrap(), ca);
}

const KUBEADM: &str = r#"{"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "InitConfiguration",
"localAPIEndpoint": {"advertiseAddress": "10.77.0.12"},
"nodeRegistration": {"name": "node2", "criSocket": "unix:///run/containerd/containerd.sock"}}
---
{"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration", "encryptionAlgorithm": "ECDSA-P256",
"kubernetesVersion": "vVERSION", "controlPlaneEndpoint": "10.77.0.30:6444"}
"#;

fn kubeadm_phase(kubeadm: &Path, root: &Path, words: &str) -> bool {
    let mut command = Command::new(kubeadm);
    command.args(["init", "phase"]).args(words.split(' '));
    command.arg("--rootfs").arg(root);
    command.args(["--config", "/kubeadm.yaml"]);
    command.output().unwrap().status.success()
}
