//! Containers of the system's pods on this node that its container runtime does not start, with what it said to the kubelet.

use ha_kube::objects::{ContainerStatus, Pod};

use crate::context::Context;
use crate::kube;
use crate::phases::preflight::check::{Check, Verdict, passing_check};

use super::QUESTION;

/// The kubelet's reasons for a container that the runtime refused to make or to start (`pkg/kubelet/kuberuntime`), and for one whose
/// image it has not got.
const REFUSED: [&str; 4] = [
    "CreateContainerError",
    "RunContainerError",
    "ErrImagePull",
    "ImagePullBackOff",
];

/// None where the API does not answer: that is said elsewhere.
pub async fn check_containers(cx: &Context) -> Option<Check> {
    let client = kube::as_node(cx).ok()?.within(QUESTION);
    let pods = client.pods_on_node(&cx.node.name, "").await.ok()?;
    Some(evaluate_containers(&pods, cx.node.kubernetes.cri.unit()))
}

fn evaluate_containers(pods: &[Pod], runtime: &str) -> Check {
    let check = passing_check(
        "system containers",
        &format!("journalctl -u {runtime} -u kubelet"),
    );
    let refused: Vec<String> = pods.iter().flat_map(container_refusals).collect();
    match refused.first() {
        None => check,
        Some(first) => {
            let reason = match refused.len() {
                1 => first.clone(),
                all => format!("{first}; and {} more", all - 1),
            };
            let remedy = "the container runtime refuses it: its journal and the kubelet's say why";
            check.with(Verdict::Fail, reason, remedy)
        }
    }
}

fn container_refusals(pod: &Pod) -> impl Iterator<Item = String> {
    let status = &pod.status;
    let all = status.init_container_statuses.iter();
    let all = all.chain(&status.container_statuses);
    all.filter_map(|container| container_refusal(&pod.metadata.name, container))
}

fn container_refusal(pod: &str, container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.waiting.as_ref()?;
    let refused = REFUSED.contains(&waiting.reason.as_str());
    let said = waiting.message.trim();
    refused.then(|| {
        format!(
            "{pod}, container {}: {}: {said}",
            container.name, waiting.reason
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A review's finding 7 of CRI-O: every check was well while it refused every container for two minutes.
    #[test]
    fn what_the_runtime_refuses_is_said_and_what_only_starts_is_not() {
        let pod = |reason: &str, message: &str| -> Pod {
            let waiting = serde_json::json!({"reason": reason, "message": message});
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": "etcd-node1"},
                "status": {"containerStatuses": [{"name": "etcd", "state": {"waiting": waiting}}]},
            }))
            .unwrap()
        };
        let judge = |pods: &[Pod]| evaluate_containers(pods, "crio.service");
        let starts = pod("ContainerCreating", "");
        assert_eq!(judge(&[starts]).verdict, Verdict::Pass);
        let said =
            "container create failed: write to `/proc/self/oom_score_adj`: Permission denied\n";
        let refused = pod("CreateContainerError", said);
        let check = judge(&[refused.clone(), refused]);
        assert_eq!(check.verdict, Verdict::Fail);
        assert_eq!(
            check.reason,
            "etcd-node1, container etcd: CreateContainerError: container create failed: write to `/proc/self/oom_score_adj`: \
             Permission denied; and 1 more"
        );
        assert_eq!(check.command, "journalctl -u crio.service -u kubelet");
    }
}
