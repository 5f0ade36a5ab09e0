//! `ha-agent doctor`: preflight's checks for a person: name, result, the machine's own words, the command that shows it.

use anyhow::Result;
use ha_wire::node::NodeFile;

use super::{Exit, print_out};
use crate::phases::preflight;
use crate::phases::preflight::check::{Check, Verdict, passing_check};
use crate::phases::renewal::ends::{Lateness, NodeCertificate, describe_end, node_certificates};
use crate::sys::files::Files;
use crate::sys::new_runtime;

/// Examines the machine; changes nothing.
pub fn examine_machine(node: NodeFile, files: Files, json: bool) -> Result<Exit> {
    let cx = super::run::real_context(node, files);
    let mut checks = new_runtime()?.block_on(preflight::run_checks(&cx));
    let certificates = node_certificates(&cx.sys.files)?;
    let now = cx.sys.clock.now_ms();
    checks.extend(certificates.iter().map(|c| check_certificate(c, now)));
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

fn check_certificate(certificate: &NodeCertificate, now_ms: u64) -> Check {
    let name = format!("certificate {}", certificate.expiry.name);
    let mut check = passing_check(&name, "ha-agent status");
    let end = describe_end(certificate.expiry.at_ms, now_ms);
    match certificate.lateness(now_ms) {
        Lateness::InTime => {
            check.reason = end;
            check
        }
        Lateness::Late => check.with(Verdict::Warn, end, certificate.cure()),
        Lateness::Ended => check.with(Verdict::Fail, end, certificate.cure()),
    }
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
    use crate::kube::testing::{node_identity, test_authority};
    use crate::testing;

    #[test]
    fn every_end_is_a_check_with_its_warning() {
        let machine = testing::fake_machine(testing::control_plane());
        let identity = node_identity(&test_authority("kubernetes"), "x");
        for (file, text) in [("crt", &identity.cert[..]), ("key", identity.key.expose())] {
            machine.file(&format!("/etc/kubernetes/pki/apiserver.{file}"), text);
        }
        let all = node_certificates(&machine.cx.sys.files).unwrap();
        let begin = 1_700_000_000_000;
        let at = |minutes: u64| {
            let check = check_certificate(&all[0], begin + minutes * 60_000);
            (check.verdict, check.reason, !check.remedy.is_empty())
        };
        let words = |verdict, reason: &str, has_cure| (verdict, reason.to_owned(), has_cure);
        // It lives three hours, so it is renewed in the last one.
        assert_eq!(at(0), words(Verdict::Pass, "ends in 2 h", false));
        assert_eq!(at(89), words(Verdict::Pass, "ends in 31 min", false));
        assert_eq!(at(90), words(Verdict::Warn, "ends in 30 min", true));
        assert_eq!(at(240), words(Verdict::Fail, "ended 2 h ago", true));
    }

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
