//! `ha-agent doctor`: preflight's checks for a person and what else ends machines: name, result, the machine's own words, the
//! command that shows it. With `--json` also what is compared across nodes.

use std::time::Duration;

use anyhow::Result;
use ha_health::node::node_findings;
use ha_health::{Finding, Part};
use ha_wire::doctor::{self, Examination, is_unfit};
use ha_wire::node::NodeFile;
use ha_wire::paths;
use ha_wire::status::{About, Status};
use ipnet::IpNet;

use super::{Exit, print_out};
use crate::context::Context;
use crate::phases::preflight::capacity::Gauge;
use crate::phases::preflight::check::{Check, Verdict, passing_check};
use crate::phases::preflight::units::check_settled_unit;
use crate::phases::renewal::ends::{Lateness, NodeCertificate, describe_end, node_certificates};
use crate::phases::{is_settled, preflight};
use crate::render::{haproxy, keepalived};
use crate::runner;
use crate::sys::files::Files;
use crate::sys::new_runtime;

mod containers;
mod counters;
mod firewall;
mod identity;
mod pod_network;
mod proxy;
mod resolver;
mod vrrp;

/// For each program that is asked something: all of them answer within a second, nft with thousands of rules within three.
const QUESTION: Duration = Duration::from_secs(4);
const AGENT: &str = "ha-agent.service";

/// Networks as a person writes them where several stand beside each other.
fn join_networks(networks: impl Iterator<Item = IpNet>, between: &str) -> String {
    let all: Vec<String> = networks.map(|net| net.to_string()).collect();
    all.join(between)
}

/// Examines the machine; changes nothing.
pub fn examine_machine(node: NodeFile, files: Files, json: bool) -> Result<Exit> {
    let cx = super::run::real_context(node, files);
    let seen = new_runtime()?.block_on(examine_node(&cx))?;
    let text = if json {
        serde_json::to_string_pretty(&seen)? + "\n"
    } else {
        checks_as_text(&seen.checks)
    };
    print_out(&text)?;
    let unfit = is_unfit(&seen.checks);
    Ok(if unfit { Exit::Failed } else { Exit::Done })
}

async fn examine_node(cx: &Context) -> Result<Examination> {
    let begun = cx.sys.clock.monotonic();
    let (mut checks, proxies, firewall, units, containers, heard) = tokio::join!(
        preflight::run_checks(cx),
        proxy::check_proxies(cx),
        firewall::check_firewall(cx),
        check_settled_units(cx),
        containers::check_containers(cx),
        vrrp::hear_peers(cx),
    );
    let files = &cx.sys.files;
    checks.extend(units);
    checks.extend(containers);
    checks.extend(counters::counter_gauges(files).iter().map(Gauge::check));
    checks.extend(proxies);
    checks.extend(resolver::check_resolver(cx).await);
    checks.extend(pod_network::check_pod_network(cx));
    checks.extend(firewall);
    checks.extend(vrrp::check_vrrp(&cx.node, heard.as_ref()));
    let certificates = node_certificates(files)?;
    let now = cx.sys.clock.now_ms();
    checks.extend(certificates.iter().map(|c| check_certificate(c, now)));
    checks.extend(status_checks(files, now));
    Ok(Examination {
        version: doctor::VERSION,
        cluster: cx.node.cluster.clone(),
        node: cx.node.name.clone(),
        checks,
        machine: identity::machine_identity(files, &cx.node.interface),
        vrrp: heard,
        took_ms: (cx.sys.clock.monotonic() - begun).as_millis().try_into()?,
        clock_ms: cx.sys.clock.now_ms(),
    })
}

/// The agent itself on every node, and on one that has been in its cluster all that it lives on.
async fn check_settled_units(cx: &Context) -> Vec<Check> {
    let mut units = vec![AGENT];
    if is_settled(cx) {
        // The container runtime's state is preflight's.
        if cx.node.is_kubernetes_node() {
            units.push("kubelet.service");
        }
    }
    let mut checks = check_balancer(cx).await;
    for unit in units {
        let state = cx.sys.systemd.active_state(unit).await;
        let state = state.map_err(|error| format!("{error:#}"));
        checks.extend(check_settled_unit(unit, &state));
    }
    checks
}

/// keepalived and haproxy, whoever runs them.
async fn check_balancer(cx: &Context) -> Vec<Check> {
    let runner = match runner::runner_for(&cx.node, &cx.sys) {
        Ok(runner) if is_settled(cx) && cx.node.runs_balancer() => runner,
        _ => return Vec::new(),
    };
    let mut checks = Vec::new();
    for unit in [haproxy::UNIT, keepalived::UNIT] {
        let state = runner.state(unit).await;
        let state = state.map_err(|error| format!("{error:#}"));
        let mut check = check_settled_unit(unit, &state);
        if let Some(check) = check.as_mut().filter(|_| runner.is_kubelet()) {
            check.command = runner.journal(unit);
            check.remedy =
                "the kubelet starts it again: journalctl -u kubelet says why it does not".into();
        }
        checks.extend(check);
    }
    checks
}

/// What the agent's own status shows to be wrong: what it asks all the time (cluster DNS, the API's service address, etcd, haproxy)
/// is not asked again.
fn status_checks(files: &Files, now_ms: u64) -> Vec<Check> {
    let text = files.read(paths::STATUS_FILE).ok().flatten();
    let Some(mut status) = text.and_then(|text| Status::parse(&text).ok()) else {
        return Vec::new();
    };
    leave_out_checked(&mut status);
    let check = |finding: Finding| {
        let command = match finding.next.is_empty() {
            true => "ha-agent status",
            false => &finding.next,
        };
        let name = match &finding.part {
            Part::Agent(_) => "agent",
            part => part.label(),
        };
        passing_check(name, command).with(Verdict::Fail, finding.what, "the command says more")
    };
    let findings = node_findings(&status, now_ms).into_iter();
    findings.map(check).collect()
}

/// The checks above have just looked at the machine, its container runtime and the ends of its certificates themselves.
fn leave_out_checked(status: &mut Status) {
    status.runtime = None;
    let renewal_failed = status.renewal.failed;
    let is_checked = |about| match about {
        About::Machine => true,
        About::Certificates => !renewal_failed,
        _ => false,
    };
    let seen = status.seen.iter_mut();
    seen.for_each(|seen| seen.retain(|fault| !is_checked(fault.about)));
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
        Lateness::Late => check.with(Verdict::Warn, end, certificate.remedy()),
        Lateness::Ended => check.with(Verdict::Fail, end, certificate.remedy()),
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

    /// All that is asked of a machine, on one whose programs say nothing and whose settled kubelet has died.
    #[tokio::test]
    async fn one_examination_asks_everything() {
        let machine = testing::fake_machine(testing::worker());
        machine.file(crate::kube::KUBELET_CONF, "");
        machine.file(crate::kube::KUBELET_PEM, "");
        machine
            .systemd
            .unit(AGENT, "active")
            .unit("kubelet.service", "failed");
        machine.systemd.unit("firewalld.service", "active");
        let programs = ["systemctl", "nft", "iptables-save", "ip6tables-save"];
        for program in programs {
            machine.commands.succeed(program);
        }
        let seen = examine_node(&machine.cx).await.unwrap();
        let verdict = |name: &str| {
            let check = seen.checks.iter().find(|check| check.name == name);
            check.unwrap_or_else(|| panic!("no check {name}")).verdict
        };
        assert_eq!(verdict("kubelet.service runs"), Verdict::Fail);
        assert_eq!(verdict("firewalld"), Verdict::Warn);
        assert_eq!(verdict("proxy"), Verdict::Pass);
        assert_eq!(verdict("name servers of pods"), Verdict::Fail);
        assert_eq!(verdict("pod network"), Verdict::Fail);
        assert_eq!((&seen.node[..], seen.vrrp), ("node4", None));
        let asked = machine.orders();
        assert!(
            asked.contains(&"run nft --json list ruleset".to_owned()),
            "{asked:?}"
        );
    }

    /// Of a settled node's status: what the checks look at themselves, and what nobody else does.
    #[test]
    fn a_fault_of_the_status_is_told_unless_a_check_has_looked_itself() {
        let machine = testing::fake_machine(testing::worker());
        let report = &machine.cx.report;
        report.phase_started(ha_wire::phase::Phase::Steady, 1);
        let now = machine.cx.sys.clock.now_ms();
        let silent = |error: &str| {
            Some(ha_wire::status::Answer {
                at_ms: now,
                since_ms: now - 60_000,
                error: error.into(),
            })
        };
        let seen = |about, what: &str| ha_wire::status::SeenFault {
            about,
            what: what.into(),
        };
        let told = |renewal_failed| {
            report.update_status(|status| {
                status.dns = silent("the lookup failed");
                status.runtime = silent("it does not run");
                status.renewal.failed = renewal_failed;
                status.seen = Some(vec![
                    seen(About::Machine, "machine: containerd.service: failed"),
                    seen(About::Api, "API: not Ready"),
                    seen(About::Certificates, "certificates: not renewed"),
                ]);
                status.updated_ms = now;
            });
            let checks = status_checks(&machine.cx.sys.files, now);
            let reasons = checks.into_iter().map(|check| check.reason);
            reasons.collect::<Vec<_>>()
        };
        let [api, dns] = &told(false)[..] else {
            panic!("{:?}", told(false))
        };
        assert_eq!(api, "API: not Ready");
        assert!(dns.ends_with("the lookup failed"), "{dns}");
        assert_eq!(told(true)[1], "certificates: not renewed");
    }

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
        let words = |verdict, reason: &str, has_remedy| (verdict, reason.to_owned(), has_remedy);
        // It lives three hours, so it is renewed in the last one.
        assert_eq!(at(0), words(Verdict::Pass, "ends in 2 h", false));
        assert_eq!(at(89), words(Verdict::Pass, "ends in 31 min", false));
        assert_eq!(at(90), words(Verdict::Warn, "ends in 30 min", true));
        assert_eq!(at(240), words(Verdict::Fail, "ended 2 h ago", true));
    }

    #[test]
    fn a_fault_shows_its_remedy_and_where_to_look() {
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
