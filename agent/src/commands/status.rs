//! `ha-agent status`: the state file as a person reads it. Asks nobody, so it answers at once.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Result;
use ha_health::node::{is_old, node_findings, utc_time_of_day};
use ha_wire::paths;
use ha_wire::status::{
    Backend, CertificateExpiry, EtcdStatus, PhaseState, RebootNeeded, Status, Vip,
};

use super::{Exit, print_out};
use crate::phases::renewal::ends::{describe_end, human_span};
use crate::sys::Clock as _;
use crate::sys::clock::MachineClock;
use crate::sys::files::Files;

/// How often `--watch` looks for a change: a person sees no finer.
const WATCH_EVERY: Duration = Duration::from_millis(200);
/// Clears the screen and goes to its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Prints the status once, or for ever.
pub fn print_status(files: &Files, json: bool, watch: bool) -> Result<Exit> {
    let mut shown = String::new();
    loop {
        let (text, exit) = read_status(files, json, MachineClock.now_ms())?;
        if text != shown {
            let clear = if watch && !json && std::io::stdout().is_terminal() {
                CLEAR
            } else {
                ""
            };
            if !print_out(&format!("{clear}{text}"))? {
                return Ok(exit);
            }
            shown = text;
        }
        if !watch {
            return Ok(exit);
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

fn read_status(files: &Files, json: bool, now: u64) -> Result<(String, Exit)> {
    let Some(text) = files.read(paths::STATUS_FILE)? else {
        let text = "the agent has not run since this machine was started\n        -> systemctl status ha-agent\n";
        return Ok((text.into(), Exit::Working));
    };
    let mut status = Status::parse(&text)?;
    if !is_agent_process(files, status.agent.pid) {
        status.agent.pid = 0;
    }
    let exit = exit_of(&status, now);
    match json {
        true => Ok((serde_json::to_string(&status)? + "\n", exit)),
        false => Ok((describe_status(&status, now), exit)),
    }
}

/// True if that process is an agent.
fn is_agent_process(files: &Files, pid: u32) -> bool {
    files
        .read(&format!("/proc/{pid}/comm"))
        .is_ok_and(|comm| comm.is_some_and(|c| c.trim() == "ha-agent"))
}

fn exit_of(status: &Status, now: u64) -> Exit {
    match status.state {
        _ if status.agent.pid == 0 || is_old(status, now) => Exit::Failed,
        PhaseState::Steady => Exit::Done,
        PhaseState::Failed | PhaseState::Degraded => Exit::Failed,
        PhaseState::Working | PhaseState::Retrying => Exit::Working,
    }
}

/// The status for a person.
fn describe_status(status: &Status, now: u64) -> String {
    let mut text = format!(
        "{:<7} {} of {}   ",
        status.node,
        status.role.label(),
        status.cluster,
    );
    let old = is_old(status, now);
    if old {
        text += &describe_age(status, now);
    } else {
        text += &(describe_state(status, now) + "\n");
    }
    if status.agent.pid == 0 {
        text += "the agent is not running; this is what it last knew\n        -> systemctl status ha-agent\n";
    } else if old {
        text += &format!(
            "        its agent runs and cannot write {}\n        -> df -h /run; journalctl -t ha-agent -n 20\n",
            paths::STATUS_FILE
        );
    }
    if old {
        text += &format!("        {}\n", describe_state(status, now));
    }
    text += &describe_trouble(status, now);
    if status.phase == ha_wire::phase::Phase::Steady {
        text += &describe_facts(status, now);
    }
    if let Some(needed) = &status.reboot_needed {
        text += &two_columns("reboot", &describe_reboot(needed), "");
    }
    text
}

fn describe_age(status: &Status, now: u64) -> String {
    format!(
        "not heard of since {} UTC ({}): what follows is old\n",
        utc_time_of_day(status.updated_ms),
        time_since(now, status.updated_ms)
    )
}

fn describe_reboot(needed: &RebootNeeded) -> String {
    match needed.flatcar.as_str() {
        "" => "needed, for what was installed and is not booted yet".to_owned(),
        version => format!("Flatcar {version} is installed, reboot needed"),
    }
}

fn describe_state(status: &Status, now: u64) -> String {
    let for_ = time_since(now, status.since_ms);
    match status.state {
        PhaseState::Steady => format!(
            "steady since {} UTC ({for_})",
            utc_time_of_day(status.since_ms)
        ),
        PhaseState::Degraded => format!(
            "steady, degraded since {} UTC ({for_})",
            utc_time_of_day(status.since_ms)
        ),
        PhaseState::Working => format!("{} for {for_}", status.phase),
        PhaseState::Retrying => format!(
            "{}, attempt {} failed {for_} ago, trying again",
            status.phase, status.attempt
        ),
        PhaseState::Failed => format!("{} failed {for_} ago: a person must act", status.phase),
    }
}

/// What it waits for and what the last try said.
fn describe_trouble(status: &Status, now: u64) -> String {
    let mut text = String::new();
    if !status.waiting_for.is_empty() {
        text += &format!("waiting for {}", status.waiting_for);
        if let Some(tried) = status.last_try_ms {
            text += &format!("; last try {} ago", time_since(now, tried));
        }
        if !status.last_error.is_empty() {
            text += &format!(": {}", status.last_error);
        }
        text.push('\n');
    } else {
        text += &describe_faults(status);
    }
    for line in &status.tail {
        text += &format!("        | {line}\n");
    }
    text
}

/// What is wrong, each with the next command. As of when it was written: nothing in it grows old here.
fn describe_faults(status: &Status) -> String {
    let all = node_findings(status, status.updated_ms);
    if all.is_empty() && !status.last_error.is_empty() {
        return format!("        {}\n", status.last_error);
    }
    let line = |words: &str| format!("        {words}\n");
    let next = |next: &str| match next {
        "" => String::new(),
        command => line(&format!("-> {command}")),
    };
    all.iter().map(|f| line(&f.what) + &next(&f.next)).collect()
}

fn describe_facts(status: &Status, now: u64) -> String {
    let name = match status.vip.external.is_empty() {
        true => "vip",
        false => "api",
    };
    let mut text = two_columns(
        name,
        &describe_vip(&status.vip),
        &describe_backends(&status.backends),
    );
    text += &status
        .etcd
        .as_ref()
        .map_or_else(String::new, |e| two_columns("etcd", &describe_etcd(e), ""));
    if !status.strangers.is_empty() {
        let names = status.strangers.join(", ");
        text += &two_columns(
            "cluster",
            &format!(
                "another one is shown by {names}{}",
                match status.vip.external.is_empty() {
                    true => ": not behind the VIP",
                    false => "",
                }
            ),
            "",
        );
    }
    let ready = match status.node_ready {
        Some(true) => ", node Ready",
        Some(false) => ", node not Ready",
        None => "",
    };
    if status.role.is_kubernetes_node() {
        text += &two_columns(
            "kubelet",
            &format!("{}{ready}", status.kubelet),
            &status.network,
        );
    }
    let memory = status.agent.rss_kib as f64 / 1024.0;
    let agent = format!("agent {}, {memory:.1} MiB", status.agent.version);
    let [nearest, later @ ..] = &describe_ends(status, now)[..] else {
        return text + &two_columns("certs", "ends not known", &agent);
    };
    text += &two_columns("certs", nearest, &agent);
    for ends in later {
        text += &two_columns("", ends, "");
    }
    if !status.renewal.words.is_empty() {
        text += &two_columns("", &format!("renewal: {}", status.renewal.words), "");
    }
    text
}

/// One line for all that end at about the same time, the nearest first.
fn describe_ends(status: &Status, now: u64) -> Vec<String> {
    let when = |e: &CertificateExpiry| {
        let is_late = e.late_ms.is_some_and(|late| (late..e.at_ms).contains(&now));
        let warning = if is_late { ", LATE" } else { "" };
        format!("{}{warning}", describe_end(e.at_ms, now))
    };
    let by_end = status.certificates.chunk_by(|a, b| when(a) == when(b));
    let line = |together: &[CertificateExpiry]| {
        let names: Vec<&str> = together.iter().map(|e| e.name.as_str()).collect();
        let when = together.first().map(when).unwrap_or_default();
        format!("{when}: {}", names.join(", "))
    };
    by_end.map(line).collect()
}

/// One line of two columns.
fn two_columns(name: &str, left: &str, right: &str) -> String {
    format!("{name:<7} {left:<39} {right}")
        .trim_end()
        .to_owned()
        + "\n"
}

fn describe_vip(vip: &Vip) -> String {
    if !vip.external.is_empty() {
        return format!("{} by a balancer outside of the cluster", vip.external);
    }
    match (vip.holder.as_str(), vip.here) {
        (_, true) => format!("{} held by this node", vip.address),
        ("", false) => format!("{} not here", vip.address),
        (holder, false) => format!("{} held by {holder} (not here)", vip.address),
    }
}

fn describe_etcd(etcd: &EtcdStatus) -> String {
    if !etcd.endpoints.is_empty() {
        let well = etcd.endpoints.iter().filter(|e| e.error.is_empty()).count();
        return format!(
            "external, {well} of {} endpoints healthy",
            etcd.endpoints.len()
        );
    }
    let voice = if etcd.voter { "a voter" } else { "not a voter" };
    let (is, should) = (etcd.members.len(), etcd.expected);
    match etcd.leader.as_str() {
        "" => format!("{is} of {should} members, this one {voice}, no leader"),
        leader => format!("{is} of {should} members, this one {voice}, leader {leader}"),
    }
}

fn describe_backends(all: &[Backend]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let each: Vec<String> = all
        .iter()
        .map(|b| format!("{} {}", b.name, b.state.to_string().to_lowercase()))
        .collect();
    format!("haproxy: {}", each.join(", "))
}

fn time_since(now: u64, then: u64) -> String {
    let ms = now.saturating_sub(then);
    if ms < 10_000 {
        format!("{}.{} s", ms / 1000, ms / 100 % 10)
    } else {
        human_span(ms)
    }
}

#[cfg(test)]
mod tests;
