//! The last words of a launch, as text.

use ha_host_base::exit::error_line;
use ha_host_base::text::{Paint, human_duration, pluralize, printable_line, shown_path};
use ha_providers::Finding;

use super::Printer;
use super::describe::unfinished_node;
use crate::launch::report::{
    BootEnd, End, FailedBeneath, FailureCause, Failures, NodeFailure, Summary, Unfinished,
};

/// So many failed nodes are shown with their words; when more fail, they mostly fail of the same.
const DETAILED: usize = 3;

/// Prints the end: good news to standard output, the rest to standard error.
pub fn print_end(end: &End, printer: &dyn Printer) {
    match end {
        End::Ready(_) | End::AlreadyReady(_) => printer.print(&end_text(end)),
        _ => printer.print_error(&end_text(end)),
    }
}

/// The end as people see it.
pub fn end_text(end: &End) -> String {
    match end {
        End::Ready(summary) => ready_text(summary),
        End::AlreadyReady(s) => format!(
            "{} is ready already: nothing changed\n\n{}",
            s.cluster,
            next_commands(s)
        ),
        End::HostUnfit(findings) => host_unfit_text(findings),
        End::Failed(failures) => failure_text(failures),
        End::TimedOut(unfinished) => timed_out_text(unfinished),
        End::Interrupted(file) => {
            let go_on = format!(
                "\n  go on    run  ha-host launch {}  again",
                shown_path(file)
            );
            error_line("interrupted: everything is left as it is") + &go_on
        }
    }
}

fn ready_text(s: &Summary) -> String {
    let held = s.vip_holder.as_ref();
    let held = held.map_or_else(String::new, |node| format!(", VIP on {node}"));
    let etcd = match s.members {
        0 => String::new(),
        members => format!(", {members} of {} etcd members", s.control_planes),
    };
    let head = format!("{} is ready in {}", s.cluster, human_duration(s.took));
    let head = Paint::stdout().green(&head);
    let stretch = |(name, took): &(&str, _)| {
        let took: &std::time::Duration = took;
        format!("{name} {:.0}", took.as_secs_f32())
    };
    let spent: Vec<String> = s.timings.0.iter().map(stretch).collect();
    let spent = match spent.join(", ") {
        words if words.is_empty() => String::new(),
        words => format!("\n  where the time went: {words}"),
    };
    let dns = match s.dns {
        Some((0, wanted)) if wanted > 0 => {
            format!("\n  CoreDNS: 0 of {wanted} pods serve so far")
        }
        _ => String::new(),
    };
    format!(
        "{head}: {0} of {0} nodes{etcd}{held}{dns}\n\n{1}{spent}",
        s.nodes,
        next_commands(s)
    )
}

fn next_commands(s: &Summary) -> String {
    format!(
        "  kubectl --kubeconfig {} get nodes\n  ha-host status {c}      ha-host logs {c} {} -f      ha-host destroy {c}",
        shown_path(&s.kubeconfig),
        s.first_node,
        c = s.cluster
    )
}

fn host_unfit_text(findings: &[Finding]) -> String {
    let line = |f: &Finding| {
        format!(
            "\n  {}\n           = {}",
            printable_line(&f.message),
            printable_line(&f.remedy)
        )
    };
    let problems = pluralize(findings.len(), "problem");
    let lines: String = findings.iter().map(line).collect();
    error_line(&format!(
        "this machine is not fit for it: {problems}; nothing was made{lines}"
    ))
}

fn timed_out_text(unfinished: &Unfinished) -> String {
    let nodes = unfinished.nodes.iter().map(unfinished_node);
    let missing = nodes.chain(unfinished.missing.iter().cloned());
    let lines: String = missing
        .map(|m| format!("\n  {}", printable_line(&m)))
        .collect();
    let head = format!("not ready after {}", human_duration(unfinished.took));
    let file = shown_path(&unfinished.file);
    // Before the nodes work, nothing goes on without us.
    let way = match unfinished.stopped_at {
        Some(step) => format!(
            "\n  the time was up in: {step}\n  go on    run  ha-host launch {file}  again, with a longer --timeout: it \
             goes on from there"
        ),
        None if unfinished.nodes.iter().any(|n| n.progress.has_failed()) => {
            format!(
                "\n  go on    what failed is tried again and again, and may need you; run  ha-host launch {file}  again to wait on"
            )
        }
        None => format!(
            "\n  go on    it works on by itself; run  ha-host launch {file}  again to wait on"
        ),
    };
    error_line(&head) + &lines + &way
}

/// Every node with its own cause, then once what holds for all of them.
fn failure_text(failures: &Failures) -> String {
    let mut text = String::new();
    for (index, node) in failures.nodes.iter().enumerate() {
        let what = what_failed(&node.cause);
        let beneath = node.beneath.as_ref().map(|b| &b.found);
        let beneath = beneath.map_or_else(String::new, |b| format!(": {} {}", b.part, b.does));
        let head = format!("{} ({}): {what}{beneath}", node.node, node.role.label());
        text += &error_line(&printable_line(&head));
        if index < DETAILED {
            let lines = told_lines(node, failures);
            text.extend(lines.iter().map(|l| format!("\n  {}", printable_line(l))));
            text += &format!("\n  look     {}", look_command(node, failures));
        }
        text.push('\n');
    }
    text += &format!("  others   {}", others_text(failures));
    text.extend(ways_on(&failures.nodes, failures).map(|way| format!("\n  go on    {way}")));
    text
}

/// What failed beneath says more than the output of the program above it, which only waited.
fn told_lines(node: &NodeFailure, failures: &Failures) -> Vec<String> {
    let Some(FailedBeneath { found, key }) = &node.beneath else {
        return node.output.clone();
    };
    let mut lines = vec![format!("{:<8} {}", found.part, found.word)];
    let file = failures.file.display();
    lines.extend(key.iter().map(|key| format!("cause    {key} in {file}")));
    lines
}

/// What happened to a node, after its name.
pub fn what_failed(cause: &FailureCause) -> String {
    match cause {
        FailureCause::MachineNotMade => "its machine could not be made".to_owned(),
        FailureCause::PoweredOff => "its machine went off".to_owned(),
        FailureCause::NeverBooted(BootEnd::IgnitionFailed) => {
            "Ignition failed on its first boot".to_owned()
        }
        FailureCause::NeverBooted(BootEnd::KernelPanic) => "its kernel panicked".to_owned(),
        FailureCause::NeverBooted(BootEnd::EmergencyShell) => {
            "its boot ended in an emergency shell".to_owned()
        }
        FailureCause::NodeFileRefused => "its agent refuses its node file".to_owned(),
        FailureCause::PhaseFailed {
            phase, attempts: 1, ..
        } => format!("{phase} failed"),
        FailureCause::PhaseFailed {
            phase,
            attempts,
            failing,
        } => format!(
            "{phase} failed {attempts} times in {}",
            human_duration(*failing)
        ),
    }
}

/// How the nodes do that did not fail.
pub fn others_text(failures: &Failures) -> String {
    format!(
        "{} of the {} other nodes are Ready",
        failures.others_ready, failures.others
    )
}

/// The command that shows more of a node.
pub fn look_command(node: &NodeFailure, failures: &Failures) -> String {
    let part = node.beneath.as_ref().map(|b| b.found.part.as_str());
    let which = match (node.cause, part) {
        (FailureCause::NodeFileRefused, _)
        | (FailureCause::PhaseFailed { .. }, None | Some("kubeadm")) => {
            " --unit ha-agent".to_owned()
        }
        (FailureCause::PhaseFailed { .. }, Some(unit @ ("kubelet" | "containerd" | "crio"))) => {
            format!(" --unit {unit}")
        }
        (FailureCause::PhaseFailed { .. }, Some(pod)) => format!(" --pod {pod}"),
        _ => String::new(),
    };
    format!("ha-host logs {} {}{which}", failures.cluster, node.node)
}

/// What to do where launching again is not enough; none: it is.
pub fn way_on(node: &NodeFailure, failures: &Failures) -> Option<String> {
    match node.cause {
        FailureCause::NeverBooted(_) | FailureCause::NodeFileRefused => {
            ways_on(std::slice::from_ref(node), failures).next()
        }
        _ => None,
    }
}

/// One way on for all nodes that need the same.
fn ways_on(nodes: &[NodeFailure], failures: &Failures) -> impl Iterator<Item = String> {
    let (mut unignited, mut unbooted, mut refusing, mut others) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for node in nodes {
        match node.cause {
            FailureCause::NeverBooted(BootEnd::IgnitionFailed) => unignited.push(node),
            FailureCause::NeverBooted(_) => unbooted.push(node),
            FailureCause::NodeFileRefused => refusing.push(node),
            _ => others.push(node),
        }
    }
    let ways = [
        launch_anew(&unignited, failures),
        boot_again(&unbooted, failures),
        take_agent(&refusing, failures),
        launch_again(&others, failures),
    ];
    ways.into_iter().flatten()
}

fn launch_anew(nodes: &[&NodeFailure], failures: &Failures) -> Option<String> {
    let file = failures.file.display();
    node_names(nodes).map(|names| {
        format!(
            "nothing of {names} ever ran: mend the config (ignition.merge, sysexts) and run  ha-host launch {file}  again: it makes \
             {names} anew"
        )
    })
}

fn boot_again(nodes: &[&NodeFailure], failures: &Failures) -> Option<String> {
    let (cluster, file) = (&failures.cluster, failures.file.display());
    node_names(nodes).map(|names| {
        format!(
            "mend what the console says, then  ha-host power {cluster} NODE off  and  ha-host launch {file}  again: it boots {names} \
             again"
        )
    })
}

fn take_agent(nodes: &[&NodeFailure], failures: &Failures) -> Option<String> {
    let (cluster, file) = (&failures.cluster, shown_path(&failures.file));
    let standing = match failures.others_ready {
        0 => format!(
            "; a machine keeps the agent that it was made with, until  ha-host destroy {cluster}"
        ),
        _ => String::new(),
    };
    node_names(nodes).map(|names| {
        format!(
            "take the ha-agent sysext of this ha-host's release, or build it anew (make sysext), for {names} and run  ha-host \
             launch {file}  again{standing}"
        )
    })
}

fn launch_again(nodes: &[&NodeFailure], failures: &Failures) -> Option<String> {
    let file = shown_path(&failures.file);
    node_names(nodes).map(|names| {
        format!("mend it and run  ha-host launch {file}  again: it continues with {names}")
    })
}

fn node_names(nodes: &[&NodeFailure]) -> Option<String> {
    let names: Vec<&str> = nodes.iter().map(|n| n.node.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ha_wire::event::{Beneath, Event};
    use ha_wire::phase::{Phase, Role};

    use super::*;
    use crate::launch::node_progress::NodeProgress;
    use crate::launch::report::UnfinishedNode;

    fn failures_of(nodes: Vec<NodeFailure>) -> Failures {
        Failures {
            cluster: "demo".to_owned(),
            file: "demo.yaml".into(),
            nodes,
            others_ready: 1,
            others: 2,
        }
    }

    #[test]
    fn one_node_that_failed_is_shown_with_its_words() {
        let cause = FailureCause::PhaseFailed {
            phase: Phase::Join,
            attempts: 5,
            failing: Duration::from_secs(96),
        };
        let node = NodeFailure {
            node: "node3".to_owned(),
            role: Role::ControlPlane,
            cause,
            output: vec!["dial tcp: i/o timeout".to_owned()],
            beneath: None,
        };
        assert_eq!(
            failure_text(&failures_of(vec![node])),
            "error: node3 (control plane): join failed 5 times in 96 s\n  dial tcp: i/o timeout\n  \
             look     ha-host logs demo node3 --unit ha-agent\n  \
             others   1 of the 2 other nodes are Ready\n  \
             go on    mend it and run  ha-host launch demo.yaml  again: it continues with node3"
        );
    }

    fn failed_beneath(part: &str, does: &str, word: &str, key: Option<&str>) -> NodeFailure {
        NodeFailure {
            node: "node1".to_owned(),
            role: Role::ControlPlane,
            cause: FailureCause::PhaseFailed {
                phase: Phase::Init,
                attempts: 1,
                failing: Duration::ZERO,
            },
            output: vec!["To see the stack trace".to_owned()],
            beneath: Some(FailedBeneath {
                found: Beneath {
                    part: part.to_owned(),
                    does: does.to_owned(),
                    word: word.to_owned(),
                    origin: None,
                },
                key: key.map(str::to_owned),
            }),
        }
    }

    #[test]
    fn what_failed_beneath_is_told_with_its_key_and_its_own_log() {
        let key =
            "kubernetes.clusterConfiguration.etcd.local.extraArgs, argument quota-backend-bytes";
        let does = "exits at its start, 3 times in 21 s";
        let node = failed_beneath("etcd", does, "invalid value \"8G\"", Some(key));
        assert_eq!(
            failure_text(&failures_of(vec![node])),
            "error: node1 (control plane): init failed: etcd exits at its start, 3 times in 21 s\n  \
             etcd     invalid value \"8G\"\n  \
             cause    kubernetes.clusterConfiguration.etcd.local.extraArgs, argument quota-backend-bytes in demo.yaml\n  \
             look     ha-host logs demo node1 --pod etcd\n  \
             others   1 of the 2 other nodes are Ready\n  \
             go on    mend it and run  ha-host launch demo.yaml  again: it continues with node1"
        );
        for (part, look) in [
            ("kubelet", "--unit kubelet"),
            ("containerd", "--unit containerd"),
            ("kubeadm", "--unit ha-agent"),
        ] {
            let node = failed_beneath(part, "exits", "word", None);
            let text = failure_text(&failures_of(vec![node]));
            assert!(text.contains(&format!("{look}\n")), "{text}");
            assert!(
                !text.contains("cause ") && !text.contains("stack trace"),
                "{text}"
            );
        }
    }

    /// Nodes are Ready when a CNI file is there: Cilium's agents may compile for minutes before the first pod runs.
    #[test]
    fn dns_that_only_starts_is_told_beside_ready() {
        let text = |dns| {
            let mut summary = crate::progress::tests::ends::demo_summary();
            summary.dns = dns;
            ready_text(&summary)
        };
        let told = text(Some((0, 2)));
        let line = "\n  CoreDNS: 0 of 2 pods serve so far\n\n";
        assert!(told.contains(line), "{told}");
        for quiet in [None, Some((1, 2)), Some((2, 2)), Some((0, 0))] {
            assert!(!text(quiet).contains("CoreDNS"), "{quiet:?}");
        }
    }

    #[test]
    fn it_works_on_by_itself_is_said_only_where_nothing_has_failed() {
        let now = std::time::Instant::now();
        let mut progress = NodeProgress::new(&ha_test_support::demo_cluster().nodes[0], now);
        let text = |progress: &NodeProgress| {
            timed_out_text(&Unfinished {
                took: Duration::from_secs(900),
                nodes: vec![UnfinishedNode {
                    progress: progress.clone(),
                    journal: String::new(),
                }],
                missing: Vec::new(),
                stopped_at: None,
                file: "demo.yaml".into(),
            })
        };
        assert!(text(&progress).contains("it works on by itself"));
        let failed = r#"{"version":1,"seq":1,"timeMs":0,"node":"node1","event":"failed","phase":"init","attempt":1,
            "error":"boom","tail":[],"retryMs":500}"#;
        progress.apply(&Event::parse(failed).unwrap(), now);
        let text = text(&progress);
        assert!(!text.contains("by itself"), "{text}");
        assert!(text.contains("may need you"), "{text}");
    }

    #[test]
    fn of_many_nodes_that_failed_the_first_are_shown_with_their_words() {
        let node = |number: usize| NodeFailure {
            node: format!("node{number}"),
            role: Role::Worker,
            cause: FailureCause::NeverBooted(BootEnd::KernelPanic),
            output: vec![format!("panic {number}")],
            beneath: None,
        };
        let text = failure_text(&failures_of((1..=5).map(node).collect()));
        assert_eq!(text.matches("its kernel panicked").count(), 5);
        assert!(
            text.contains("panic 3") && !text.contains("panic 4"),
            "{text}"
        );
        assert!(
            text.contains("again: it boots node1, node2, node3, node4, node5 again"),
            "{text}"
        );
    }
}
