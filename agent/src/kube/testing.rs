//! A CA, a server that plays the cluster, and the files of a node that has joined. Tests only.

use std::collections::BTreeMap;

pub use ha_kube::Authority;
pub use ha_kube::testing::{Script, node_identity, run_local, test_authority};

use super::{KUBELET_CONF, KUBELET_CONFIG, KUBELET_PEM, kubeconfig, pki_file, pod_manifest};

/// What kubeadm and the kubelet write on a control plane, by name; of the certificates all are this CA's.
pub fn kubeadm_files(ca: &Authority) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for name in [
        "apiserver",
        "apiserver-kubelet-client",
        "apiserver-etcd-client",
        "front-proxy-client",
        "etcd/server",
        "etcd/peer",
        "etcd/healthcheck-client",
    ] {
        let pair = node_identity(ca, name);
        all.insert(pki_file(&format!("{name}.crt")), pair.cert);
        all.insert(
            pki_file(&format!("{name}.key")),
            pair.key.expose().to_owned(),
        );
    }
    for name in ["admin", "super-admin", "controller-manager", "scheduler"] {
        let me = node_identity(ca, name);
        let text = kubeconfig::render_embedded("https://10.77.0.30:6444", ca.cert(), &me);
        all.insert(
            format!("/etc/kubernetes/{name}.conf"),
            text.expose().to_owned(),
        );
    }
    for name in [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ] {
        all.insert(pod_manifest(name), static_pod(name));
    }
    all.extend(kubelet_files(ca));
    all
}

/// The kubelet's share of them: what every role has.
pub fn kubelet_files(ca: &Authority) -> BTreeMap<String, String> {
    let own = node_identity(ca, "node2").joint_pem();
    let conf = kubeconfig::render_with_file("https://10.77.0.30:6444", ca.cert(), KUBELET_PEM);
    let serving = node_identity(ca, "serving");
    let configuration = "apiVersion: kubelet.config.k8s.io/v1beta1\n\
                         clusterDNS:\n- 10.96.0.10\nkind: KubeletConfiguration\nlogging: {}\n";
    BTreeMap::from(
        [
            (KUBELET_CONF, conf.expose()),
            (KUBELET_PEM, own.expose()),
            (KUBELET_CONFIG, configuration),
            (
                "/var/lib/kubelet/instance-config.yaml",
                "containerRuntimeEndpoint: \"unix:///run/containerd/containerd.sock\"\n",
            ),
            (
                "/var/lib/kubelet/kubeadm-flags.env",
                "KUBELET_KUBEADM_ARGS=\"--hostname-override=node2\"\n",
            ),
            ("/var/lib/kubelet/pki/kubelet.crt", serving.cert.as_str()),
            ("/var/lib/kubelet/pki/kubelet.key", serving.key.expose()),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned())),
    )
}

fn static_pod(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n  - command:\n    - {name}\n    \
         name: {name}\n    volumeMounts:\n    - mountPath: /etc/kubernetes/pki\n      name: certs\n  hostNetwork: true\n  \
         volumes:\n  - hostPath:\n      path: /etc/kubernetes/pki\n    name: certs\nstatus: {{}}\n"
    )
}
