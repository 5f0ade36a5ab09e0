//! `status --watch`: looks again and again. A terminal is drawn anew, a pipe gets a line for each change, and with `--json` an
//! object for each look.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Result;
use ha_health::Finding;
use ha_host_base::exit::Exit;
use ha_host_base::output::reader_has_gone;
use ha_host_base::text::Paint;
use time::OffsetDateTime;
use time::macros::format_description;

use super::text::{describe_state, report_text, with_duration};
use super::{ClusterReport, Question};

/// Between two looks: each asks every node and every apiserver.
const EVERY: Duration = Duration::from_secs(3);
/// Clears the screen and goes to its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Ends when somebody interrupts it, or when nobody reads any more.
pub fn print_changes(question: &Question, json: bool) -> Result<Exit> {
    let is_terminal = std::io::stdout().is_terminal();
    let mut before: Option<ClusterReport> = None;
    loop {
        let report = question.ask()?;
        let now = OffsetDateTime::now_utc();
        match (json, is_terminal) {
            (true, _) => println!("{}", serde_json::to_string(&report)?),
            (false, true) => print!("{CLEAR}{}", report_text(&report, now, Paint::stdout())),
            (false, false) => {
                for line in describe_changes(before.as_ref(), &report, now) {
                    println!("{line}");
                }
            }
        }
        if reader_has_gone() {
            return Ok(report.exit());
        }
        before = Some(report);
        ha_host_base::block_on(tokio::time::sleep(EVERY))?;
    }
}

/// What is new since the look before, one line each, with the time of day; the first look tells all.
pub fn describe_changes(
    before: Option<&ClusterReport>,
    report: &ClusterReport,
    now: OffsetDateTime,
) -> Vec<String> {
    let time = now.format(&format_description!("[hour]:[minute]:[second]"));
    let time = time.unwrap_or_default();
    let known = before.map_or(&[][..], |b| &b.findings);
    let mut lines = Vec::new();
    if before.is_none_or(|b| b.whole != report.whole || b.vip_answers != report.vip_answers) {
        let state = describe_state(report, now, Paint::stdout());
        lines.push(format!("{time}  {}: {state}", report.cluster));
    }
    let line = |sign: &str, f: &Finding| {
        format!("{time}  {sign} {}: {}", f.part.label(), with_duration(f))
    };
    let is_in =
        |all: &[Finding], f: &Finding| all.iter().any(|k| (&k.part, &k.what) == (&f.part, &f.what));
    let new = report.findings.iter().filter(|f| !is_in(known, f));
    lines.extend(new.map(|f| line("+", f)));
    let gone = known.iter().filter(|f| !is_in(&report.findings, f));
    lines.extend(gone.map(|f| format!("{time}  - {}: {}", f.part.label(), f.what)));
    lines
}
