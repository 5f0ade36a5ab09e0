//! Which key of the cluster file holds what a program of a node refuses.

use ha_cluster_file::cluster::Cluster;
use ha_wire::event::{Beneath, Origin};
use serde_json::{Map, Value};

/// Where `clusterConfiguration` has the arguments of each component.
const ARGUMENTS: [(&str, &[&str]); 4] = [
    ("etcd", &["etcd", "local"]),
    ("kube-apiserver", &["apiServer"]),
    ("kube-controller-manager", &["controllerManager"]),
    ("kube-scheduler", &["scheduler"]),
];

/// None if the origin is not known, or the file does not hold it.
pub fn key_of(cluster: &Cluster, found: &Beneath) -> Option<String> {
    let kubernetes = &cluster.kubernetes;
    let settings = &kubernetes.cluster_configuration;
    match (found.part.as_str(), found.origin.as_ref()?) {
        ("kubelet", Origin::Field { path }) => {
            let key = format!("kubernetes.kubeletConfig.{path}");
            has_setting(&kubernetes.kubelet_config, path).then_some(key)
        }
        ("kubeadm", Origin::Field { path }) => {
            let key = format!("kubernetes.clusterConfiguration.{path}");
            has_setting(settings, path).then_some(key)
        }
        (part, Origin::Argument { name }) => argument_key(settings, part, name),
        _ => None,
    }
}

/// Whether a path like `apiServer.certSANs[0]` leads to something.
fn has_setting(settings: &Map<String, Value>, path: &str) -> bool {
    let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
    let whole = Value::Object(settings.clone());
    whole.pointer(&pointer).is_some()
}

fn argument_key(settings: &Map<String, Value>, part: &str, name: &str) -> Option<String> {
    let (_, path) = ARGUMENTS.iter().find(|(of, _)| *of == part)?;
    let whole = Value::Object(settings.clone());
    let arguments = whole.pointer(&format!("/{}/extraArgs", path.join("/")))?;
    let mut arguments = arguments.as_array()?.iter();
    arguments.find(|argument| argument["name"] == name)?;
    let path = path.join(".");
    Some(format!(
        "kubernetes.clusterConfiguration.{path}.extraArgs, argument {name}"
    ))
}

#[cfg(test)]
mod tests {
    use ha_test_support::demo_cluster;
    use serde_json::json;

    use super::*;

    const ETCD_QUOTA: &str =
        "kubernetes.clusterConfiguration.etcd.local.extraArgs, argument quota-backend-bytes";
    const INFLIGHT: &str =
        "kubernetes.clusterConfiguration.apiServer.extraArgs, argument max-requests-inflight";

    /// What a node says failed: the words are for people, `origin` is for this.
    fn key_behind(part: &str, word: &str, origin: Value) -> Option<String> {
        let mut cluster = demo_cluster();
        let settings = json!({
            "etcd": {"local": {"extraArgs": [{"name": "quota-backend-bytes", "value": "8G"}]}},
            "apiServer": {
                "extraArgs": [{"name": "v", "value": "2"}, {"name": "max-requests-inflight", "value": "many"}],
                "certSANs": ["a b"],
            },
            "scheduler": {"extraArgs": {"x": "y"}},
        });
        cluster.kubernetes.cluster_configuration = settings.as_object().unwrap().clone();
        let kubelet = json!({"maxPods": -5, "authentication": {"webhook": {"enabled": true}}});
        cluster.kubernetes.kubelet_config = kubelet.as_object().unwrap().clone();
        let found = json!({"part": part, "does": "", "word": word, "origin": origin});
        let found: Beneath = serde_json::from_value(found).unwrap();
        key_of(&cluster, &found)
    }

    #[test]
    fn the_key_is_that_of_the_origin_and_never_of_a_word() {
        // `invalid` holds the name of another argument of the file, `v`.
        let word = "invalid argument \"many\" for \"--max-requests-inflight\" flag: parse error";
        let argument = |name: &str| json!({"kind": "argument", "name": name});
        let inflight = key_behind("kube-apiserver", word, argument("max-requests-inflight"));
        assert_eq!(inflight.as_deref(), Some(INFLIGHT));
        let full = "cannot write quota-backend-bytes: no space left on device";
        assert_eq!(
            key_behind("etcd", full, Value::Null),
            None,
            "the origin is not known"
        );
    }

    #[test]
    fn an_origin_that_the_file_does_not_hold_has_no_key() {
        let argument =
            |part, name: &str| key_behind(part, "", json!({"kind": "argument", "name": name}));
        let field = |part, path: &str| key_behind(part, "", json!({"kind": "field", "path": path}));
        let kubernetes = |rest: &str| Some(format!("kubernetes.{rest}"));
        for (seen, expected) in [
            (
                argument("etcd", "quota-backend-bytes"),
                Some(ETCD_QUOTA.to_owned()),
            ),
            (argument("etcd", "quota"), None),
            (argument("kube-scheduler", "x"), None),
            (argument("containerd", "v"), None),
            (
                field("kubelet", "maxPods"),
                kubernetes("kubeletConfig.maxPods"),
            ),
            (field("kubelet", "maxPodz"), None),
            (
                field("kubelet", "authentication.webhook.enabled"),
                kubernetes("kubeletConfig.authentication.webhook.enabled"),
            ),
            (field("kubelet", "authentication.webhook.cacheTTL"), None),
            (
                field("kubeadm", "apiServer.extraArgs"),
                kubernetes("clusterConfiguration.apiServer.extraArgs"),
            ),
            (
                field("kubeadm", "apiServer.certSANs[0]"),
                kubernetes("clusterConfiguration.apiServer.certSANs[0]"),
            ),
            (field("kubeadm", "apiServer.certSANs[7]"), None),
            (field("kubeadm", "maxPods"), None),
            (
                key_behind("etcd", "", json!({"kind": "of-a-newer-agent", "x": 1})),
                None,
            ),
        ] {
            assert_eq!(seen, expected);
        }
    }
}
