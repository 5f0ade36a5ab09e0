//! Labels that a kubelet may not give its own node (NodeRestriction). The operator's program signs them when it makes the node's
//! config, the node asks for them on its own Node object, and any control plane sets what is signed: whoever holds a worker can ask
//! for nothing that the operator did not want for that very node.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Secret;

/// The label by which a node that asks is found; a kubelet may set it.
pub const ASKING: &str = "ha-agent/asks-for-labels";
/// The annotation that holds [`SignedLabels`] as JSON.
pub const REQUEST: &str = "ha-agent/asks-for-labels";
/// What is signed begins so: no other use of the key gives the same signature.
const PURPOSE: &str = "flatcar-ha labels of a node, version 1";

/// A node's labels with the operator's word for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedLabels {
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// HMAC-SHA256 in base64.
    pub signature: String,
}

impl SignedLabels {
    /// Signs with the key of the cluster's CA: the operator and the control planes have it, workers do not.
    pub fn sign(ca: &Secret, cluster: &str, node: &str, labels: BTreeMap<String, String>) -> Self {
        let tag = hmac::sign(
            &hmac_key(ca),
            signed_statement(cluster, node, &labels).as_bytes(),
        );
        let signature = STANDARD.encode(tag);
        Self { labels, signature }
    }

    /// Whether they were signed for this node of this cluster.
    pub fn are_genuine(&self, ca: &Secret, cluster: &str, node: &str) -> bool {
        let said = signed_statement(cluster, node, &self.labels);
        let tag = STANDARD.decode(&self.signature);
        tag.is_ok_and(|tag| hmac::verify(&hmac_key(ca), said.as_bytes(), &tag).is_ok())
    }
}

fn hmac_key(ca: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, ca.expose().as_bytes())
}

fn signed_statement(cluster: &str, node: &str, labels: &BTreeMap<String, String>) -> String {
    format!("{PURPOSE}\n{cluster}\n{node}\n{}", json!(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels_of_role(role: &str) -> BTreeMap<String, String> {
        [(format!("node-role.kubernetes.io/{role}"), String::new())].into()
    }

    #[test]
    fn a_signature_is_good_for_these_labels_of_this_node_of_this_cluster() {
        let ca = Secret::new("the CA's key".to_owned());
        let signed = SignedLabels::sign(&ca, "demo", "node4", labels_of_role("worker"));
        assert!(signed.are_genuine(&ca, "demo", "node4"));
        assert!(!signed.are_genuine(&ca, "demo", "node5"));
        assert!(!signed.are_genuine(&ca, "prod", "node4"));
        let other_ca = Secret::new("another".to_owned());
        assert!(!signed.are_genuine(&other_ca, "demo", "node4"));
        let (more, signature) = (labels_of_role("storage"), signed.signature.clone());
        let labels = more;
        assert!(!SignedLabels { labels, signature }.are_genuine(&ca, "demo", "node4"));
        let none = SignedLabels {
            signature: String::new(),
            ..signed
        };
        assert!(!none.are_genuine(&ca, "demo", "node4"));
    }

    /// Nodes that stand have it from an older program.
    #[test]
    fn a_signature_is_frozen() {
        let ca = Secret::new("the CA's key".to_owned());
        let signed = SignedLabels::sign(&ca, "demo", "node4", labels_of_role("worker"));
        let frozen = "s+/eBvtODDXZ0ndfDS4c5C39VqGWFoiYbuyJZFlw7QI=";
        assert_eq!(signed.signature, frozen);
    }
}
