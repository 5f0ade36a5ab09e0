//! Feature gates of the kubelet and of the control plane's programs: one that a program does not know, and one that is locked to
//! another value, end it as it starts.

use super::arguments::{Argument, Flag, Program};
use super::given::Given;
use super::go_values::parse_bool;
use crate::diagnostic::{Fault, Severity};
use crate::file::{ClusterFile, Setting};
use crate::minors::Minor;
use crate::suggest::did_you_mean;
use crate::version::version_parts;

/// What stands before a gate where somebody names the component that it is for.
const COMPONENT: &str = "kube:";
/// Has a program behave as an older one, which knows and locks others.
const EMULATION: &str = "emulated-version";

/// The gates of all tested minors. The type is `free`, or the one value that a gate takes, from a later minor on: `true@1.36`.
fn known_gates() -> impl Iterator<Item = Flag> {
    Flag::list(include_str!("flags/gates.txt"))
}

/// The form of a feature gate's name.
pub(super) fn is_gate(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

pub(super) fn check_kubelet_gates(
    settings: &[Setting],
    file: &ClusterFile,
    minor: &Minor,
    faults: &mut Vec<Fault>,
) {
    let gates = Given::find(settings, "featureGates");
    for (key, value) in gates.map_or_else(Vec::new, |gates| gates.entries()) {
        let fault = if is_gate(&key.name) {
            let refused = refusal_of_gate("the kubelet", &key.name, value.boolean(), file, minor);
            refused.map(|why| Fault {
                severity: why.severity,
                ..value.error(why.message, why.help)
            })
        } else {
            let help = "write e.g. `NodeSwap: true`";
            Some(value.error("is not a feature gate's name", help))
        };
        let place = key.place;
        faults.extend(fault.map(|fault| Fault { place, ..fault }));
    }
}

/// `Name=true,Other=false`.
pub(super) fn check_argument_gates(
    file: &ClusterFile,
    arguments: &[Argument<'_>],
    minor: &Minor,
    faults: &mut Vec<Fault>,
) {
    let emulates = arguments.iter().any(|a| a.name == EMULATION);
    for argument in arguments.iter().filter(|a| a.name == "feature-gates") {
        for written in argument.text.split(',').map(str::trim) {
            let plain = written.strip_prefix(COMPONENT).unwrap_or(written);
            let gate = plain.split_once('=').filter(|(name, _)| is_gate(name));
            let Some((name, Some(on))) = gate.map(|(name, on)| (name, parse_bool(on))) else {
                let message = format!("is not a list of feature gates: `{written}`");
                let help = "write e.g. MemoryQoS=true,OtherGate=false";
                faults.push(argument.error(message, help));
                continue;
            };
            // etcd has gates of its own.
            if argument.program == Program::Etcd || emulates {
                continue;
            }
            if let Some(why) = refusal_of_gate(argument.program.name(), name, Some(on), file, minor)
            {
                let message = format!("has {name}, which {}", why.message);
                faults.push(Fault {
                    severity: why.severity,
                    ..argument.error(message, why.help)
                });
            }
        }
    }
}

/// Why a program does not take a gate. The message goes on after the gate's name.
struct Refusal {
    message: String,
    help: String,
    severity: Severity,
}

/// `on`: none if it is neither true nor false, of which another rule speaks.
fn refusal_of_gate(
    program: &str,
    name: &str,
    on: Option<bool>,
    file: &ClusterFile,
    minor: &Minor,
) -> Option<Refusal> {
    // Nobody asked the others for their gates.
    let tested = minor.tested?;
    let called = format!("{program} of Kubernetes {}", minor.name());
    let error = |message, help: &str| Refusal {
        message,
        help: help.to_owned(),
        severity: Severity::Error,
    };
    let Some(gate) = known_gates().find(|gate| gate.name == name) else {
        let known = known_gates().filter(|gate| gate.is_in(minor.number));
        let meant = did_you_mean(name, known.map(|gate| gate.name));
        let message = format!("is not known to {called}{meant}: it ends at once");
        let help = "leave it out, or write it as Kubernetes' list of feature gates does";
        // A later patch release may have brought it.
        let version = file.kubernetes.version.as_ref();
        let version = version.and_then(|version| version_parts(&version.value));
        let certain = version <= version_parts(tested);
        let severity = if certain {
            Severity::Error
        } else {
            Severity::Warning
        };
        return Some(Refusal {
            severity,
            ..error(message, help)
        });
    };
    if let Some(since) = gate.since.filter(|since| minor.number < *since) {
        let message = format!("came with Kubernetes 1.{since}: {called} ends at once");
        return Some(error(
            message,
            &format!("leave it out, or take Kubernetes 1.{since}"),
        ));
    }
    if let Some(until) = gate.until.filter(|until| *until < minor.number) {
        let message = format!("is gone: {called} ends at once, 1.{until} was the last to know it");
        let help = "leave it out: what it turned on is always on, or went with it";
        return Some(error(message, help));
    }
    let locked = locked_value(&gate, minor.number).filter(|locked| on == Some(!locked))?;
    let message = format!("is locked to {locked}: {called} ends at once");
    Some(error(message, "leave it out"))
}

/// The one value that a gate takes in a minor; none: either.
fn locked_value(gate: &Flag, minor: u32) -> Option<bool> {
    let (value, since) = gate.kind.split_once("@1.").unwrap_or((gate.kind, "0"));
    let locked = since.parse::<u32>().is_ok_and(|since| since <= minor);
    value.parse().ok().filter(|_| locked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_holds_from_its_minor_on() {
        let locked = |kind, minor| {
            let (name, since, until) = ("Gate", None, None);
            locked_value(
                &Flag {
                    name,
                    kind,
                    since,
                    until,
                },
                minor,
            )
        };
        assert_eq!(locked("free", 37), None);
        assert_eq!(locked("true", 34), Some(true));
        assert_eq!(locked("false@1.36", 36), Some(false));
        assert_eq!(locked("false@1.36", 35), None);
    }

    #[test]
    fn every_line_is_a_gate() {
        for gate in known_gates() {
            let kind = gate.kind.split('@').next().unwrap();
            assert!(
                is_gate(gate.name) && ["free", "true", "false"].contains(&kind),
                "{gate:?}"
            );
        }
        assert!(known_gates().count() > 100);
    }
}
