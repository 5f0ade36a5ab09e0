//! The report for people.

use ha_health::{Finding, Part};
use ha_host_base::text::Paint;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

use super::certificates::describe_certificates;
use super::{ClusterReport, NodeLine, Upgraded};

/// A finding's command stands below its words.
const NEXT: &str = "             -> ";

/// All of it, with a line's end.
pub fn report_text(report: &ClusterReport, now: OffsetDateTime, paint: Paint) -> String {
    let state = describe_state(report, now, paint);
    let mut lines = vec![format!("{}: {state}; {}", report.cluster, report.headline)];
    for finding in &report.findings {
        lines.push(format!(
            "  {:<10} {}",
            finding.part.label(),
            with_duration(finding)
        ));
        if !finding.next.is_empty() {
            lines.push(format!("{NEXT}{}", finding.next));
        }
    }
    lines.extend(healthy_rest(report));
    lines.extend(report.upgraded.as_ref().map(describe_upgrade));
    lines.push(describe_vip(report));
    lines.push(format!("  etcd  {}", etcd_words(report)));
    lines.push(format!(
        "  keys  {}",
        report.keys.describe(&report.cluster, &paint)
    ));
    let ends = describe_certificates(&report.certificates, now, &paint);
    for (i, line) in ends.iter().enumerate() {
        lines.push(format!("  {:<5} {line}", if i == 0 { "certs" } else { "" }));
    }
    let width = report.nodes.iter().map(|n| n.name.len()).max().unwrap_or(0);
    lines.extend(report.nodes.iter().map(|n| describe_node(n, width, paint)));
    lines.join("\n") + "\n"
}

/// `whole`, `degraded since 14:02:11 UTC (4 min)`, `does not answer`.
pub fn describe_state(report: &ClusterReport, now: OffsetDateTime, paint: Paint) -> String {
    if report.whole {
        return paint.green("whole");
    }
    let answers = report.vip_answers || report.nodes.iter().any(|n| n.apiserver == Some(true));
    if !answers {
        return paint.red("does not answer");
    }
    let longest = report.findings.iter().filter_map(|f| f.seconds).max();
    let since = longest.and_then(|seconds| {
        let begun = now - Duration::seconds(i64::try_from(seconds).ok()?);
        let time = format_description!("[hour]:[minute]:[second]");
        let day = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
        let begun = match begun.date() == now.date() {
            true => begun.format(&time),
            false => begun.format(&day),
        };
        Some(format!(
            " since {} UTC ({})",
            begun.ok()?,
            rough_span(seconds)
        ))
    });
    paint.red(&format!("degraded{}", since.unwrap_or_default()))
}

/// `what (4 min)`.
pub fn with_duration(finding: &Finding) -> String {
    match finding.seconds {
        None => finding.what.clone(),
        Some(seconds) => format!("{} ({})", finding.what, rough_span(seconds)),
    }
}

/// `41 s`, `3 min`, `2 h`, `4 d`.
fn rough_span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Said where nodes are named and others are well.
fn healthy_rest(report: &ClusterReport) -> Option<String> {
    let is_named = |name: &str| {
        let mut parts = report.findings.iter().map(|f| &f.part);
        parts.any(|part| matches!(part, Part::Node(n) | Part::Agent(n) if n == name))
    };
    let (named, others): (Vec<&NodeLine>, Vec<&NodeLine>) =
        report.nodes.iter().partition(|n| is_named(&n.name));
    let well = others.iter().filter(|n| n.ready).count();
    match (named.len(), well) {
        (0, _) | (_, 0) => None,
        (_, 1) => Some("  the other node is well".to_owned()),
        (_, well) => Some(format!("  the other {well} nodes are well")),
    }
}

fn describe_upgrade(upgraded: &Upgraded) -> String {
    let Upgraded { version, of_file } = upgraded;
    format!(
        "  Kubernetes {version}, by the cluster's own word; its file says {of_file}: write {version} there, and launch (docs/sysexts.md)"
    )
}

fn describe_vip(report: &ClusterReport) -> String {
    let answers = match report.vip_answers {
        true => "answers",
        false => "does not answer",
    };
    let held = match report.vip_holders.join(" and ") {
        names if names.is_empty() => names,
        names => format!(", held by {names}"),
    };
    let seconds = report.vip_held_seconds;
    let time = seconds.map_or_else(String::new, |s| format!(" for {}", rough_span(s)));
    if report.external {
        let vip = &report.vip;
        return format!("  api   {vip} {answers}, by a balancer outside of the cluster");
    }
    format!("  vip   {} {answers}{held}{time}", report.vip)
}

/// `width`: that of the longest name.
fn describe_node(node: &NodeLine, width: usize, paint: Paint) -> String {
    // Padded before it is painted: colours have no width.
    let ready = match node.ready {
        true => paint.green("Ready   "),
        false => paint.red("NotReady"),
    };
    let (name, role) = (&node.name, node.role.label());
    let phase = node.phase.as_deref().unwrap_or("-");
    let api = match node.apiserver {
        None => "",
        Some(true) => "apiserver ok",
        Some(false) => "apiserver down",
    };
    let reboot = if node.reboot_needed {
        "reboot-needed  "
    } else {
        ""
    };
    let address = node.address.to_string();
    let line = format!(
        "  {name:<width$}  {role:<13}  {address:<15}  {:<8}  {ready}  {phase:<9}  {api:<14}  {reboot}{}",
        node.machine, node.words
    );
    line.trim_end().to_owned()
}

fn etcd_words(report: &ClusterReport) -> String {
    let Some(endpoints) = &report.external_etcd else {
        let names = report.etcd_members.join(", ");
        return if names.is_empty() {
            "not known".to_owned()
        } else {
            names
        };
    };
    if endpoints.is_empty() {
        return "external, not known".to_owned();
    }
    let healthy = endpoints.iter().filter(|e| e.healthy).count();
    let words = format!(
        "external, {healthy} of {} endpoints healthy",
        endpoints.len()
    );
    let sick = endpoints.iter().filter(|e| !e.healthy);
    let sick: Vec<&str> = sick.map(|e| e.url.as_str()).collect();
    match sick.is_empty() {
        true => words,
        false => format!("{words}, not {}", sick.join(", ")),
    }
}
