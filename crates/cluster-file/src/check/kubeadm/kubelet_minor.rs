//! What of `kubeletConfig` depends on the minor: keys that came later, and keys that need a feature gate of the kubelet's.

use super::given::Given;
use crate::diagnostic::Fault;
use crate::file::Setting;
use crate::minors::Minor;

/// Keys of KubeletConfiguration with the minor that they came with; all others are in 1.34 already
/// (k8s.io/kubelet 0.34.4, 0.35.4, 0.36.3 and 0.37.2, config/v1beta1/types.go).
const SINCE: [(&str, u32); 3] = [
    ("defaultPodSysctls", 37),
    ("memoryReservationPolicy", 36),
    ("tlsCurvePreferences", 36),
];

/// A key that the kubelet refuses without a gate (pkg/kubelet/apis/config/validation/validation.go).
struct Gated {
    key: &'static str,
    gate: &'static str,
    /// The minor that refuses it first.
    since: u32,
    /// The minor from which on the gate is on by default (pkg/features/kube_features.go); none: it never is.
    on_since: Option<u32>,
    /// The value that needs no gate.
    free: Option<&'static str>,
}

const GATED: [Gated; 3] = [
    Gated {
        key: "defaultPodSysctls",
        gate: "DefaultPodSysctls",
        since: 37,
        on_since: None,
        free: None,
    },
    Gated {
        key: "memoryReservationPolicy",
        gate: "MemoryQoS",
        since: 36,
        on_since: Some(37),
        free: Some("None"),
    },
    Gated {
        key: "memoryThrottlingFactor",
        gate: "MemoryQoS",
        since: 37,
        on_since: Some(37),
        free: Some("0.9"),
    },
];

pub(super) fn check_kubelet_minor(settings: &[Setting], minor: &Minor, faults: &mut Vec<Fault>) {
    for (key, since) in SINCE {
        if let Some(at) = Given::find(settings, key).filter(|_| minor.number < since) {
            let message = format!(
                "came with Kubernetes 1.{since}: the kubelet of {} takes no notice of it",
                minor.name()
            );
            let help = format!("leave it out, or take Kubernetes 1.{since}");
            faults.push(at.error(message, help).warning());
        }
    }
    for gated in GATED {
        let found = Given::find(settings, gated.key);
        let needs = |at: &Given<'_>| at.text().is_none() || at.text() != gated.free;
        let Some(at) = found.filter(needs) else {
            continue;
        };
        if minor.number >= gated.since && !is_on(settings, &gated, minor) {
            let message = format!(
                "needs the kubelet's feature gate {}: without it the kubelet of Kubernetes {} ends at once",
                gated.gate,
                minor.name()
            );
            let gate = gated.gate;
            let help = format!("write `featureGates: {{{gate}: true}}` too, or leave it out");
            faults.push(at.error(message, help));
        }
    }
}

fn is_on(settings: &[Setting], gated: &Gated, minor: &Minor) -> bool {
    let written = Given::find(settings, "featureGates").and_then(|gates| gates.get(gated.gate));
    let default = gated.on_since.is_some_and(|since| since <= minor.number);
    written.and_then(|at| at.boolean()).unwrap_or(default)
}
