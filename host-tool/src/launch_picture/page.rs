//! A launch as one page of its own: no script, no font, no image from elsewhere.

use std::fmt::Write;
use std::time::Duration;

use ha_host_base::text::{human_duration, pluralize};
use ha_wire::phase::Role;
use time::OffsetDateTime;
use time::macros::format_description;

use super::chart::draw_chart;
use super::escape::escape_html;
use super::kept::KeptEnd;
use super::story::{Bar, LaunchStory, Row, StretchKind};
use super::words::{kind_class, kind_words, short_span};
use crate::launch::node_progress::Stage;
use crate::progress::describe::completed_steps;

const CSS: &str = include_str!("page.css");
/// Nothing is fetched, nothing runs, whatever words of nodes may look like.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// More nodes than this have their table folded in.
const UNFOLDED: usize = 12;
/// So many failed attempts are written out; the marks of all are in the picture.
const MAX_FAILURES: usize = 20;

/// The page.
pub fn render_page(story: &LaunchStory) -> String {
    let (word, class) = story_headline(story);
    let cluster = escape_html(&story.cluster);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"generator\" content=\"ha-host {}\">\n<title>{cluster}: {word}</title>\n<style>\n{CSS}</style>\n</head>\n\
         <body>\n<main>\n<h1>{cluster}: <span class=\"{class}\">{word}</span></h1>\n<p class=\"facts\">{}</p>\n{}<figure>\n",
        escape_html(&story.program),
        escape_html(&facts_list(story)),
        chart_legend(),
    );
    page += &draw_chart(story);
    page.push_str("\n</figure>\n");
    page += &failures_section(story);
    page += &time_section(story);
    page += &warnings_section(story);
    page += &every_phase(story);
    page += &versions_section(story);
    page + "</main>\n</body>\n</html>\n"
}

/// `ready in 41 s`, and its class.
fn story_headline(story: &LaunchStory) -> (String, &'static str) {
    let took = human_duration(Duration::from_millis(story.end_ms));
    match story.end {
        Some(KeptEnd::Ready) => (format!("ready in {took}"), "ready"),
        Some(KeptEnd::Failed) => (format!("failed after {took}"), "bad"),
        Some(KeptEnd::TimedOut) => (format!("not ready after {took}"), "bad"),
        Some(KeptEnd::Interrupted) => (format!("interrupted after {took}"), "bad"),
        Some(KeptEnd::Broken) => (format!("ended by an error after {took}"), "bad"),
        None => (format!("launched for {took}, its end was not seen"), "bad"),
    }
}

fn facts_list(story: &LaunchStory) -> String {
    let planes = pluralize(story.count(Role::ControlPlane), "control plane");
    let workers = pluralize(story.count(Role::Worker), "worker");
    let balancers = match story.count(Role::LoadBalancer) {
        0 => String::new(),
        machines => format!(", {}", pluralize(machines, "load balancer")),
    };
    let held = story.vip_holder.as_ref();
    let held = held.map_or_else(String::new, |node| format!(" on {node}"));
    let endpoint = match story.external {
        true => "endpoint",
        false => "VIP",
    };
    format!(
        "{planes}, {workers}{balancers}, Kubernetes {}, {endpoint} {}{held}, {}, launched {}",
        story.kubernetes,
        story.vip,
        story.provider,
        utc_time(story.began_ms)
    )
}

fn utc_time(ms: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    time.and_then(|t| t.format(&format).ok())
        .unwrap_or_default()
}

fn chart_legend() -> String {
    let mut list = String::from("<ul class=\"legend\">");
    for kind in [StretchKind::Boot, StretchKind::Work, StretchKind::Wait] {
        let _ = write!(
            list,
            "<li><svg viewBox=\"0 0 22 12\" aria-hidden=\"true\"><rect x=\"1\" y=\"1\" width=\"20\" height=\"10\" rx=\"2\" class=\"bar {}\"/></svg>\
             {}</li>",
            kind_class(kind),
            match kind {
                StretchKind::Boot => "boots: its machine is made, Flatcar comes up",
                StretchKind::Work => "works (the thin line below: images come)",
                StretchKind::Wait => "waits; the line at its end leads to who held it up",
            }
        );
    }
    list + "<li><svg viewBox=\"0 0 22 12\" aria-hidden=\"true\"><path d=\"M11 1l5 5l-5 5l-5 -5z\" class=\"mark\"/></svg>an attempt \
            failed (filled: a person must act)</li></ul>\n"
}

fn failures_section(story: &LaunchStory) -> String {
    let mut text = String::new();
    for failed in &story.failed {
        push_failure(
            &mut text,
            &format!("{}: {}", failed.node, failed.what),
            &failed.words,
        );
    }
    if !story.last_words.is_empty() {
        push_failure(&mut text, "What it still waited for", &story.last_words);
    }
    let marks = story
        .rows
        .iter()
        .flat_map(|row| row.marks.iter().map(move |mark| (row, mark)));
    // What ended the launch stands above already.
    let told = |node: &str, error: &String| {
        let mut failed = story.failed.iter();
        failed.any(|f| f.node == node && f.words.contains(error))
    };
    let mut marks: Vec<_> = marks
        .filter(|(row, mark)| !told(&row.node.name, &mark.error))
        .collect();
    marks.sort_by_key(|(_, mark)| mark.at);
    for (row, mark) in marks.iter().take(MAX_FAILURES) {
        let head = format!(
            "{}: {} failed after {}",
            row.node.name,
            mark.phase,
            short_span(mark.at)
        );
        let rest = mark.tail.iter().filter(|line| **line != mark.error);
        let words: Vec<String> = std::iter::once(&mark.error).chain(rest).cloned().collect();
        push_failure(&mut text, &head, &words);
    }
    if marks.len() > MAX_FAILURES {
        let more = marks.len() - MAX_FAILURES;
        let _ = writeln!(
            text,
            "<p class=\"note\">and {more} more attempts that failed</p>"
        );
    }
    if text.is_empty() {
        return text;
    }
    format!("<section>\n<h2>What failed</h2>\n{text}</section>\n")
}

fn push_failure(text: &mut String, head: &str, words: &[String]) {
    let _ = writeln!(
        text,
        "<div class=\"failure\"><h3>{}</h3><pre>{}</pre></div>",
        escape_html(head),
        words
            .iter()
            .map(|w| escape_html(w))
            .collect::<Vec<_>>()
            .join("\n")
    );
}

/// The launch as a whole, then each phase over all nodes.
fn time_section(story: &LaunchStory) -> String {
    let mut text =
        String::from("<section>\n<h2>Where the time went</h2>\n<div class=\"tables\">\n");
    let total: u64 = story.spent.iter().map(|(_, ms)| ms).sum();
    if total > 0 {
        text.push_str("<table><caption>The launch, one stretch after the other</caption><thead><tr><th>stretch</th>\
                       <th class=\"number\">took</th><th>share</th></tr></thead><tbody>\n");
        for (name, ms) in &story.spent {
            let _ = writeln!(
                text,
                "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"share\">{}</td></tr>",
                escape_html(name),
                short_span(*ms),
                share_bar(*ms, total)
            );
        }
        text.push_str("</tbody></table>\n");
    }
    text + &phase_table(story) + "</div>\n</section>\n"
}

fn share_bar(ms: u64, total: u64) -> String {
    let width = 220.0 * ms as f64 / total as f64;
    format!(
        "<svg viewBox=\"0 0 220 12\" aria-hidden=\"true\"><rect y=\"1\" width=\"{width:.1}\" height=\"10\" rx=\"2\" class=\"bar \
         work\"/></svg>"
    )
}

fn phase_table(story: &LaunchStory) -> String {
    let mut stages: Vec<(Stage, StretchKind)> = Vec::new();
    for bar in story.rows.iter().flat_map(|row| &row.bars) {
        if !stages.contains(&(bar.stage, bar.kind)) {
            stages.push((bar.stage, bar.kind));
        }
    }
    // In the order in which a node meets them.
    stages.sort_by_key(|(stage, _)| completed_steps(*stage));
    let mut text = String::from(
        "<table><caption>Each phase, over all nodes</caption><thead><tr><th>phase</th><th></th><th class=\"number\">nodes</th>\
         <th class=\"number\">median</th><th class=\"number\">longest</th><th>on</th></tr></thead><tbody>\n",
    );
    for (stage, kind) in stages {
        let mut took: Vec<(u64, &Row)> = story
            .rows
            .iter()
            .map(|row| (time_in(row, stage, kind), row))
            .filter(|(ms, _)| *ms > 0)
            .collect();
        took.sort_by_key(|(ms, _)| *ms);
        let (Some((longest, row)), Some((median, _))) = (took.last(), took.get(took.len() / 2))
        else {
            continue;
        };
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td></tr>",
            stage.name(),
            kind_words(kind),
            took.len(),
            short_span(*median),
            short_span(*longest),
            escape_html(&row.node.name),
        );
    }
    text + "</tbody></table>\n"
}

fn time_in(row: &Row, stage: Stage, kind: StretchKind) -> u64 {
    let bars = row
        .bars
        .iter()
        .filter(|b| b.stage == stage && b.kind == kind);
    bars.map(|b| b.to - b.from).sum()
}

fn warnings_section(story: &LaunchStory) -> String {
    if story.warnings.is_empty() {
        return String::new();
    }
    let mut text = String::from("<section>\n<h2>Warnings</h2>\n<ul>\n");
    for (at, words) in &story.warnings {
        let _ = writeln!(
            text,
            "<li>after {}: {}</li>",
            short_span(*at),
            escape_html(words)
        );
    }
    text + "</ul>\n</section>\n"
}

/// All that the picture shows, as words: for who cannot see it, and for who wants to know exactly.
fn every_phase(story: &LaunchStory) -> String {
    let open = if story.rows.len() <= UNFOLDED {
        " open"
    } else {
        ""
    };
    let mut text = format!(
        "<details{open}>\n<summary>Every node, phase by phase</summary>\n<table><thead><tr><th>node</th><th>phase</th><th></th>\
         <th class=\"number\">from</th><th class=\"number\">took</th><th>what it did or waited for</th></tr></thead><tbody>\n"
    );
    for row in &story.rows {
        let role = row.node.role.label();
        let steady = match (row.steady_at, row.ready_at) {
            (Some(at), Some(ready)) => format!(
                "steady after {}, seen Ready after {}",
                short_span(at),
                short_span(ready)
            ),
            (Some(at), None) => format!("steady after {}", short_span(at)),
            (None, Some(ready)) => format!("not steady; seen Ready after {}", short_span(ready)),
            (None, None) => "neither steady nor seen Ready".to_owned(),
        };
        let _ = writeln!(
            text,
            "<tr><th scope=\"row\">{}</th><td colspan=\"5\">{role}, {}: {steady}</td></tr>",
            escape_html(&row.node.name),
            escape_html(&row.node.address)
        );
        for bar in &row.bars {
            phase_row(&mut text, row, bar);
        }
    }
    text + "</tbody></table>\n</details>\n"
}

fn phase_row(text: &mut String, row: &Row, bar: &Bar) {
    let mut words: Vec<&str> = Vec::new();
    for (_, said) in &bar.words {
        if !words.contains(&said.as_str()) {
            words.push(said);
        }
    }
    let cut = if bar.cut { ", not ended" } else { "" };
    let _ = writeln!(
        text,
        "<tr><td>{}</td><td>{}</td><td>{}{cut}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"words\">{}</td></tr>",
        escape_html(&row.node.name),
        bar.stage.name(),
        kind_words(bar.kind),
        short_span(bar.from),
        short_span(bar.to - bar.from),
        words
            .iter()
            .map(|w| escape_html(w))
            .collect::<Vec<_>>()
            .join("<br>"),
    );
}

fn versions_section(story: &LaunchStory) -> String {
    let agents = story.agents();
    let agents: Vec<String> = agents
        .iter()
        .map(|(version, nodes)| format!("{version} on {}", pluralize(*nodes, "node")))
        .collect();
    let mut text = String::from("<section>\n<h2>Versions</h2>\n<table><tbody>\n");
    for (name, value) in [
        ("ha-host", story.program.as_str()),
        ("ha-agent", &agents.join(", ")),
        ("Kubernetes", &story.kubernetes),
        ("machines by", &story.provider),
    ] {
        let _ = writeln!(
            text,
            "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>",
            escape_html(value)
        );
    }
    text + "</tbody></table>\n</section>\n"
}
