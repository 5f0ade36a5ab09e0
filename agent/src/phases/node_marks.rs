//! Labels and annotations of this node's Node object beyond what its kubelet's arguments bring. A control plane sets them itself. A
//! worker may annotate its own object, and asks for the labels that it may not set (`ha_kube::signed_labels`).

use anyhow::{Context as _, Result, bail};
use ha_kube::objects::Node;
use ha_kube::signed_labels::{ASKING, REQUEST, SignedLabels};
use ha_wire::node::NodeFile;
use serde_json::{Value, json};
use tracing::warn;

use crate::context::Context;
use crate::kube;

/// Sets what this node may set, and asks for the rest.
pub async fn set_own(cx: &Context) -> Result<()> {
    let metadata = metadata_of(&cx.node);
    if metadata == json!({"labels": {}, "annotations": {}}) {
        return Ok(());
    }
    let client = kube::as_best(cx)?;
    let set = client.mark_node(&cx.node.name, &metadata).await;
    set.context("labels and annotations")
}

fn metadata_of(node: &NodeFile) -> Value {
    let labels = node.restricted_labels();
    let mut metadata = json!({"labels": {}, "annotations": node.annotations});
    if node.is_control_plane() {
        metadata["labels"] = json!(labels);
    } else if let Some(signature) = &node.label_signature {
        let signature = signature.clone();
        let request = json!(SignedLabels { labels, signature });
        metadata["labels"][ASKING] = json!("");
        metadata["annotations"][REQUEST] = json!(request.to_string());
    } else if !labels.is_empty() {
        let keys: Vec<&String> = labels.keys().collect();
        warn!("labels {keys:?}: a worker may not set these labels; set them with kubectl");
    }
    metadata
}

/// A node whose labels nobody has set yet says so: a control plane's agent does it within seconds.
pub fn check_labels_granted(node: &Node) -> Result<()> {
    if node.metadata.labels.contains_key(ASKING) {
        bail!("no control plane's agent has set yet the labels that this node asks for");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_control_plane_labels_itself_and_a_worker_asks() {
        let restricted = ("node-role.kubernetes.io/infra".to_owned(), "yes".to_owned());
        let own = ("disk".to_owned(), "ssd".to_owned());
        for mut node in [testing::control_plane(), testing::worker()] {
            node.labels = [restricted.clone(), own.clone()].into();
            node.annotations = [("example.com/owner".to_owned(), "a".to_owned())].into();
            node.label_signature = (!node.is_control_plane()).then(|| "c2ln".to_owned());
            let seen = metadata_of(&node);
            assert_eq!(seen["annotations"]["example.com/owner"], "a");
            if node.is_control_plane() {
                assert_eq!(
                    seen["labels"],
                    json!({"node-role.kubernetes.io/infra": "yes"})
                );
                continue;
            }
            assert_eq!(seen["labels"], json!({ASKING: ""}));
            let request = seen["annotations"][REQUEST].as_str().unwrap();
            let request: SignedLabels = serde_json::from_str(request).unwrap();
            assert_eq!(
                (request.labels, request.signature),
                ([restricted.clone()].into(), "c2ln".into())
            );
        }
    }
}
