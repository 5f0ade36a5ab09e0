//! Which key of the cluster file a component's complaint comes from: a hint for people, by names that the complaint quotes.

use ha_cluster_file::cluster::Cluster;
use ha_wire::event::Beneath;
use serde_json::Value;

/// Where `clusterConfiguration` has the arguments of each component.
const ARGUMENTS: [(&str, &[&str]); 4] = [
    ("etcd", &["etcd", "local"]),
    ("kube-apiserver", &["apiServer"]),
    ("kube-controller-manager", &["controllerManager"]),
    ("kube-scheduler", &["scheduler"]),
];

/// None if the file says nothing that the complaint quotes.
pub fn key_of(cluster: &Cluster, found: &Beneath) -> Option<String> {
    let kubernetes = &cluster.kubernetes;
    let is_quoted = |name: &&str| found.word.contains(name);
    if found.part == "kubelet" {
        let mut keys = kubernetes.kubelet_config.keys().map(String::as_str);
        let key = keys.find(is_quoted)?;
        return Some(format!("kubernetes.kubeletConfig.{key}"));
    }
    let settings = &kubernetes.cluster_configuration;
    if found.part == "kubeadm" {
        let key = settings.keys().map(String::as_str).find(is_quoted)?;
        return Some(format!("kubernetes.clusterConfiguration.{key}"));
    }
    let (_, path) = ARGUMENTS.iter().find(|(part, _)| *part == found.part)?;
    let whole = Value::Object(settings.clone());
    let arguments = whole.pointer(&format!("/{}/extraArgs", path.join("/")))?;
    let names = arguments.as_array()?.iter();
    let name = names
        .filter_map(|argument| argument.get("name")?.as_str())
        .find(is_quoted)?;
    let path = path.join(".");
    Some(format!(
        "kubernetes.clusterConfiguration.{path}.extraArgs, argument {name}"
    ))
}

#[cfg(test)]
mod tests {
    use ha_test_support::demo;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_complaint_is_led_back_to_the_key_that_it_quotes() {
        let mut cluster = demo();
        let settings = json!({
            "etcd": {"local": {"extraArgs": [{"name": "snapshot-count", "value": "1"}, {"name": "quota-backend-bytes", "value": "8G"}]}},
            "apiServer": {"extraArgs": {"audit-log-path": "/x"}},
        });
        cluster.kubernetes.cluster_configuration = settings.as_object().unwrap().clone();
        let kubelet = json!({"maxPods": "ten"});
        cluster.kubernetes.kubelet_config = kubelet.as_object().unwrap().clone();
        let cases = [
            (
                "etcd",
                "invalid value \"8G\" for flag -quota-backend-bytes: parse error",
                Some(
                    "kubernetes.clusterConfiguration.etcd.local.extraArgs, argument quota-backend-bytes",
                ),
            ),
            ("etcd", "no space left on device", None),
            ("kube-apiserver", "unknown flag: --audit-log-path", None),
            ("kube-scheduler", "unknown flag: --x", None),
            (
                "kubelet",
                "cannot unmarshal string into Go struct field KubeletConfiguration.maxPods of type int32",
                Some("kubernetes.kubeletConfig.maxPods"),
            ),
            (
                "kubeadm",
                "json: cannot unmarshal object into Go struct field APIServer.apiServer.extraArgs of type []v1beta4.Arg",
                Some("kubernetes.clusterConfiguration.apiServer"),
            ),
            ("containerd", "etcd", None),
        ];
        for (part, word, expected) in cases {
            let found = Beneath {
                part: part.to_owned(),
                does: String::new(),
                word: word.to_owned(),
            };
            assert_eq!(key_of(&cluster, &found).as_deref(), expected, "{part}");
        }
    }
}
