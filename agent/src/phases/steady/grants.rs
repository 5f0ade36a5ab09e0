//! Sets the labels that workers ask for and may not set themselves, if the operator signed them for that node. Any control plane does
//! it, without a Lease: twice the same patch is once the patch.

use anyhow::{Context as _, Result, bail};
use ha_kube::objects::Node;
use ha_kube::signed_labels::{ASKING, REQUEST, SignedLabels};
use ha_kube::{Client, Secret};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::context::Context;
use crate::kube::{self, pki_file};

/// A part of each steady look of a control plane.
#[derive(Debug)]
pub struct LabelGrants<'a> {
    cx: &'a Context,
    /// What went wrong at the last look, each told once.
    told: Vec<String>,
}

impl<'a> LabelGrants<'a> {
    /// Nothing is looked at yet.
    pub fn begin(cx: &'a Context) -> Self {
        let told = Vec::new();
        Self { cx, told }
    }

    /// One look. Whatever it finds is no fault of this node.
    pub async fn advance(&mut self) {
        let wrong = match self.grant_all().await {
            Ok(wrong) => wrong,
            Err(error) => vec![format!("{error:#}")],
        };
        for words in wrong.iter().filter(|words| !self.told.contains(words)) {
            warn!("labels of workers: {words}");
        }
        self.told = wrong;
    }

    /// What was wrong with single nodes.
    async fn grant_all(&self) -> Result<Vec<String>> {
        let client = kube::as_admin(self.cx)?;
        let mut wrong = Vec::new();
        for node in client.nodes_asking_for_labels().await? {
            if let Err(error) = self.grant(&client, &node).await {
                wrong.push(format!("{}: {error:#}", node.metadata.name));
            }
        }
        Ok(wrong)
    }

    async fn grant(&self, client: &Client, node: &Node) -> Result<()> {
        let name = &node.metadata.name;
        let request = node.metadata.annotations.get(REQUEST);
        let request = request.with_context(|| format!("it has no annotation {REQUEST}"))?;
        let asked: SignedLabels = serde_json::from_str(request).context(REQUEST)?;
        let key = pki_file("ca.key");
        let pem = self.cx.sys.files.read(&key)?.map(Secret::new);
        let pem = pem.with_context(|| format!("{key} is missing"))?;
        if !asked.are_genuine(&pem, &self.cx.node.cluster, name) {
            bail!("it asks for labels that the operator did not sign for it: it does not get them");
        }
        let mut labels = json!(asked.labels);
        labels[ASKING] = Value::Null;
        let metadata = json!({"labels": labels, "annotations": {REQUEST: null}});
        client.mark_node(name, &metadata).await?;
        info!(
            "{name} has the labels that it asked for: {:?}",
            asked.labels
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::testing::{Script, run_local, test_authority};
    use crate::testing;

    const PATCH: &str = "PATCH /api/v1/nodes/node4";

    /// What is patched when node4 asks with these words, signed for `signed_for`, in two looks.
    fn patches_for_request(net: u8, signed_for: &str) -> Vec<String> {
        let mut patched = Vec::new();
        run_local(async {
            let ca = test_authority("kubernetes");
            let mut node = testing::control_plane();
            node.endpoint.vip = [127, net, 0, 30].into();
            let machine = testing::fake_machine(node);
            machine.file(&pki_file("ca.crt"), ca.cert());
            machine.file(&pki_file("ca.key"), ca.key().expose());
            let labels = [("node-role.kubernetes.io/worker".to_owned(), String::new())];
            let asked = SignedLabels::sign(ca.key(), "demo", signed_for, labels.into());
            let node4 = json!({"metadata": {"name": "node4", "labels": {ASKING: ""},
                "annotations": {REQUEST: json!(asked).to_string()}}});
            let api = Script::default();
            let list = "GET /api/v1/nodes?labelSelector=ha-agent%2Fasks-for-labels";
            api.on(list, 200, &json!({"items": [node4]}).to_string());
            api.on(list, 200, r#"{"items": []}"#);
            api.on(PATCH, 200, "{}");
            api.serve_at(&ca, &format!("127.{net}.0.30:6444")).await;
            let mut grants = LabelGrants::begin(&machine.cx);
            grants.advance().await;
            assert_eq!(
                grants.told.is_empty(),
                signed_for == "node4",
                "{:?}",
                grants.told
            );
            grants.advance().await;
            patched = api.asked(PATCH);
        });
        patched
    }

    #[test]
    fn a_worker_gets_what_the_operator_signed_for_it_and_nothing_else() {
        let wanted = r#"{"metadata":{"annotations":{"ha-agent/asks-for-labels":null},"labels":{"ha-agent/asks-for-labels":null,"node-role.kubernetes.io/worker":""}}}"#;
        assert_eq!(
            patches_for_request(196, "node4"),
            [format!("{PATCH} {wanted}")]
        );
        assert_eq!(patches_for_request(197, "node5"), [""; 0]);
    }
}
