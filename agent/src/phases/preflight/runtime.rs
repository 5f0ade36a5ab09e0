//! Whether the container runtime serves what kubelet and kubeadm ask of it: a unit that is active need not.

use ha_wire::event::Beneath;
use ha_wire::node::NodeFile;
use ha_wire::settings::Cri;

use super::check::{Check, Verdict, passing_check};
use crate::phases::FailedBeneath;
use crate::sys::cri::RuntimeAnswer;

/// Said after the name of a runtime that speaks gRPC and does not know CRI.
const SERVES_NO_CRI: &str = "runs and serves no CRI (gRPC status 12)";

/// Nothing to say of one that does not run: its unit's check does.
pub fn check_runtime(node: &NodeFile, answer: &RuntimeAnswer) -> Option<Check> {
    let cri = node.kubernetes.cri;
    let check = passing_check(
        "container runtime",
        &format!("journalctl -u {}", cri.unit()),
    );
    match answer {
        RuntimeAnswer::NotAsked => None,
        RuntimeAnswer::Version => Some(check.says("answers over CRI".into())),
        RuntimeAnswer::NoCri => {
            let reason = format!("{} {SERVES_NO_CRI}", cri.unit());
            Some(check.with(Verdict::Fail, reason, remedy_of_no_cri(cri)))
        }
        RuntimeAnswer::Nothing(why) => {
            let reason = format!("{} runs and does not answer: {why}", cri.unit());
            let remedy = format!("systemctl restart {}", cri.unit());
            Some(check.with(Verdict::Wait, reason, &remedy))
        }
    }
}

/// The same judgement for what cannot begin without it. One that does not answer is not judged here: its unit is preflight's,
/// and the kubelet has its own words for it.
pub fn runtime_refusal(node: &NodeFile, answer: &RuntimeAnswer) -> Option<FailedBeneath> {
    let check = check_runtime(node, answer).filter(|check| check.verdict == Verdict::Fail)?;
    let found = Beneath {
        part: node.kubernetes.cri.name().to_owned(),
        does: SERVES_NO_CRI.to_owned(),
        word: check.remedy,
        origin: None,
    };
    Some(FailedBeneath {
        found,
        is_final: true,
    })
}

fn remedy_of_no_cri(cri: Cri) -> &'static str {
    match cri {
        Cri::Containerd => {
            "take `cri` (io.containerd.grpc.v1.cri; of containerd 2 io.containerd.cri.v1.runtime and .images) out of disabled_plugins \
             in /etc/containerd/config.toml, or remove that file; if it is not there, the journal says why the plugin did not load; then \
             `systemctl restart containerd`"
        }
        Cri::Crio => "systemctl restart crio; another program may serve its socket",
    }
}
