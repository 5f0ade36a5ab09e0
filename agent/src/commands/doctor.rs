//! `ha-agent doctor`: preflight's checks for a person: name, result, the machine's own words, the command that shows it.

use anyhow::Result;
use ha_wire::node::NodeFile;

use super::{Exit, print_out};
use crate::phases::preflight;
use crate::phases::preflight::check::{Check, Verdict};
use crate::sys::files::Files;
use crate::sys::new_runtime;

/// Examines the machine; changes nothing.
pub fn examine_machine(node: NodeFile, files: Files, json: bool) -> Result<Exit> {
    let cx = super::run::real_context(node, files);
    let checks = new_runtime()?.block_on(preflight::run_checks(&cx));
    let text = if json {
        serde_json::to_string_pretty(&checks)? + "\n"
    } else {
        checks_as_text(&checks)
    };
    print_out(&text)?;
    let sick = checks
        .iter()
        .any(|c| matches!(c.verdict, Verdict::Fail | Verdict::Wait));
    Ok(if sick { Exit::Failed } else { Exit::Done })
}

/// One line a check; a fault adds its remedy and where to look.
fn checks_as_text(checks: &[Check]) -> String {
    let width = checks
        .iter()
        .map(|c| c.name.len())
        .max()
        .unwrap_or_default();
    let line = |check: &Check| {
        let word = match check.verdict {
            Verdict::Pass => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Wait => "wait",
            Verdict::Fail => "FAIL",
        };
        let mut text = format!("{word}  {:width$}  {}\n", check.name, check.reason);
        if check.verdict != Verdict::Pass {
            text += &format!(
                "      {:width$}  -> {}\n      {:width$}  look: {}\n",
                "", check.remedy, "", check.command
            );
        }
        text
    };
    let counts = |verdict| checks.iter().filter(|c| c.verdict == verdict).count();
    let (failed, waiting, warned) = (
        counts(Verdict::Fail),
        counts(Verdict::Wait),
        counts(Verdict::Warn),
    );
    let sum = format!(
        "{} checks: {failed} failed, {waiting} not yet, {warned} warnings\n",
        checks.len()
    );
    checks.iter().map(line).collect::<String>() + &sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_its_cure_and_where_to_look() {
        let check = |verdict| Check {
            name: "port 6443".into(),
            verdict,
            reason: "taken by nginx".into(),
            remedy: "stop nginx".into(),
            command: "ss -ltnp".into(),
        };
        assert_eq!(
            checks_as_text(&[check(Verdict::Pass), check(Verdict::Fail)]),
            "ok    port 6443  taken by nginx\n\
             FAIL  port 6443  taken by nginx\n\
             \x20                -> stop nginx\n\
             \x20                look: ss -ltnp\n\
             2 checks: 1 failed, 0 not yet, 0 warnings\n"
        );
    }
}
