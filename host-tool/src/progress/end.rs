//! The last words of a launch, as text.

use ha_host_base::text::{Paint, count, home, printable, span};
use ha_providers::Finding;

use super::describe::unfinished_node;
use crate::launch::report::{End, FailureCause, Failures, NodeFailure, Summary, Unfinished};

/// So many failed nodes are shown with their words; when more fail, they mostly fail of the same.
const DETAILED: usize = 3;

/// Prints the end: good news to standard output, the rest to standard error.
pub fn print(end: &End) {
    match end {
        End::Ready(_) | End::AlreadyReady(_) => println!("{}", end_text(end)),
        _ => eprintln!("{}", end_text(end)),
    }
}

/// The end as people see it.
pub fn end_text(end: &End) -> String {
    match end {
        End::Ready(summary) => ready(summary),
        End::AlreadyReady(s) => format!(
            "{} is ready already: nothing changed\n\n{}",
            s.cluster,
            next_commands(s)
        ),
        End::HostUnfit(findings) => host_unfit(findings),
        End::Failed(failures) => failed(failures),
        End::TimedOut(unfinished) => timed_out(unfinished),
        End::Interrupted(file) => {
            let go_on = format!("\n  go on    run  ha-host launch {}  again", file.display());
            error("interrupted: everything is left as it is") + &go_on
        }
    }
}

fn error(head: &str) -> String {
    format!("{} {head}", Paint::stderr().red("error:"))
}

fn ready(s: &Summary) -> String {
    let held = s.vip_holder.as_ref();
    let held = held.map_or_else(String::new, |node| format!(", VIP on {node}"));
    let etcd = match s.members {
        0 => String::new(),
        members => format!(", {members} of {} etcd members", s.control_planes),
    };
    let head = format!("{} is ready in {}", s.cluster, span(s.took));
    let head = Paint::stdout().green(&head);
    let stretch = |(name, took): &(&str, _)| {
        let took: &std::time::Duration = took;
        format!("{name} {:.0}", took.as_secs_f32())
    };
    let spent: Vec<String> = s.timings.0.iter().map(stretch).collect();
    let spent = match spent.join(", ") {
        words if words.is_empty() => String::new(),
        words => format!("\n  where the time went (seconds): {words}"),
    };
    format!(
        "{head}: {0} of {0} nodes{etcd}{held}\n\n{1}{spent}",
        s.nodes,
        next_commands(s)
    )
}

fn next_commands(s: &Summary) -> String {
    format!(
        "  kubectl --kubeconfig {} get nodes\n  ha-host status {c}      ha-host logs {c} {} -f      ha-host destroy {c}",
        home(&s.kubeconfig),
        s.first_node,
        c = s.cluster
    )
}

fn host_unfit(findings: &[Finding]) -> String {
    let line = |f: &Finding| {
        let (seen, cure) = (printable(&f.seen), printable(&f.cure));
        format!("\n  {seen}\n           = {cure}")
    };
    let problems = count(findings.len(), "problem");
    let lines: String = findings.iter().map(line).collect();
    error(&format!(
        "this machine is not fit for it: {problems}; nothing was made{lines}"
    ))
}

fn timed_out(unfinished: &Unfinished) -> String {
    let nodes = unfinished.nodes.iter().map(unfinished_node);
    let missing = nodes.chain(unfinished.missing.iter().cloned());
    let lines: String = missing.map(|m| format!("\n  {}", printable(&m))).collect();
    let head = format!("not ready after {}", span(unfinished.took));
    let file = unfinished.file.display();
    format!(
        "{}{lines}\n  go on    it works on by itself; run  ha-host launch {file}  again to wait on",
        error(&head)
    )
}

/// Every node with its own cause, then once what holds for all of them.
fn failed(failures: &Failures) -> String {
    let mut text = String::new();
    for (index, node) in failures.nodes.iter().enumerate() {
        let what = what_failed(&node.cause);
        let head = format!("{} ({}): {what}", node.node, node.role.words());
        text += &error(&head);
        if index < DETAILED {
            let lines = node.output.iter();
            text.extend(lines.map(|l| format!("\n  {}", printable(l))));
            text += &format!("\n  look     {}", look_command(node, failures));
        }
        text.push('\n');
    }
    text += &format!("  others   {}", others(failures));
    let names: Vec<&str> = failures.nodes.iter().map(|n| n.node.as_str()).collect();
    let mend = format!(
        "mend it and run  ha-host launch {}  again: it continues with {}",
        failures.file.display(),
        names.join(", ")
    );
    let mut anew = failures.nodes.iter();
    let anew = anew.find_map(|n| way_on(&n.cause, failures));
    text + &format!("\n  go on    {}", anew.unwrap_or(mend))
}

/// What happened to a node, after its name.
pub fn what_failed(cause: &FailureCause) -> String {
    match cause {
        FailureCause::MachineNotMade => "its machine could not be made".to_owned(),
        FailureCause::AgentNotRestarted => {
            "its agent gave up earlier and could not be restarted".to_owned()
        }
        FailureCause::PoweredOff => "its machine went off".to_owned(),
        FailureCause::NeverBooted(what) => (*what).to_owned(),
        FailureCause::PhaseFailed {
            phase, attempts: 1, ..
        } => format!("{phase} failed"),
        FailureCause::PhaseFailed {
            phase,
            attempts,
            failing,
        } => format!("{phase} failed {attempts} times in {}", span(*failing)),
    }
}

/// How the nodes do that did not fail.
pub fn others(failures: &Failures) -> String {
    format!(
        "{} of the {} other nodes are Ready",
        failures.others_ready, failures.others
    )
}

/// The command that shows more of a node.
pub fn look_command(node: &NodeFailure, failures: &Failures) -> String {
    let unit = match node.cause {
        FailureCause::PhaseFailed { .. } => " --unit ha-agent",
        _ => "",
    };
    format!("ha-host logs {} {}{unit}", failures.cluster, node.node)
}

/// What to do where launching again is not enough.
pub fn way_on(cause: &FailureCause, failures: &Failures) -> Option<String> {
    matches!(cause, FailureCause::NeverBooted(_)).then(|| {
        format!(
            "nothing of this node ever ran: mend its config (ignition.merge, sysexts), then  ha-host destroy {} --yes  \
             and launch again",
            failures.cluster
        )
    })
}
