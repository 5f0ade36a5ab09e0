//! The report for a person: a line for each node and for the cluster, and below it what is not well.

use ha_host_base::text::{Paint, pluralize};
use ha_wire::doctor::{Check, Verdict};

use super::{DoctorReport, NodeReport};

pub fn report_as_text(report: &DoctorReport) -> String {
    let nodes = report.nodes.iter().map(|node| node.node.len());
    let width = nodes.max().unwrap_or(0).max("cluster".len());
    let mut text = String::new();
    for node in &report.nodes {
        text += &node_lines(node, width);
    }
    text + &report_section("cluster", width, &report.checks)
}

fn node_lines(node: &NodeReport, width: usize) -> String {
    let (name, error) = (&node.node, &node.error);
    if error.is_empty() {
        return report_section(name, width, &node.checks);
    }
    let word = Paint::stdout().red("not examined");
    format!("{name:<width$}  {word}: {error}\n")
}

/// `node4   31 checks, 2 not well`, then each with its command and remedy.
fn report_section(name: &str, width: usize, checks: &[Check]) -> String {
    let paint = Paint::stdout();
    let is_warning = |check: &&Check| check.verdict == Verdict::Warn;
    let unwell: Vec<&Check> = checks
        .iter()
        .filter(|c| c.verdict != Verdict::Pass)
        .collect();
    let warnings = unwell.iter().copied().filter(is_warning).count();
    let faults = unwell.len() - warnings;
    let state = match (faults, warnings) {
        (0, 0) => paint.green("all well"),
        (0, _) => pluralize(warnings, "warning"),
        (_, 0) => paint.red(&format!("{faults} not well")),
        _ => format!(
            "{}, {}",
            paint.red(&format!("{faults} not well")),
            pluralize(warnings, "warning")
        ),
    };
    let mut text = format!(
        "{name:<width$}  {}, {state}\n",
        pluralize(checks.len(), "check")
    );
    let names = unwell.iter().map(|check| check.name.chars().count());
    let indent = names.max().unwrap_or(0);
    for check in unwell {
        let Check {
            name,
            reason,
            command,
            remedy,
            verdict,
        } = check;
        let mark = if *verdict == Verdict::Warn {
            "warn"
        } else {
            "NOT "
        };
        text += &format!("  {mark}  {name:<indent$}  {reason}\n");
        let lines = [("look", command), ("remedy", remedy)];
        for (what, line) in lines.into_iter().filter(|(_, line)| !line.is_empty()) {
            text += &format!("        {:<indent$}  {what:<6}  {line}\n", "");
        }
    }
    text
}
