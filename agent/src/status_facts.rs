//! Facts about this node that `status` shows in every phase: who holds the VIP, haproxy's view of the apiservers, the
//! kubelet's unit, the agent's own memory. Runs beside all phases, for ever.

use std::time::Duration;

use ha_wire::node::Peer;
use ha_wire::settings::LbMode;
use ha_wire::status::{Backend, RebootNeeded};

use crate::context::Context;
use crate::haproxy::{self, Server};
use crate::phases::balancer::configured_backends;
use crate::render::keepalived;
use crate::sys::Cmd;
use crate::sys::neighbours::{Neighbour, ask_for_neighbour, known_neighbours};
use crate::sys::net::has_address;
use crate::sys::proc::resident_kib;
use crate::sys::update_engine::installed_update;

/// Between two looks: status is for people.
const EVERY: Duration = Duration::from_secs(1);
/// Updates are installed hours apart, and asking for them is not free: one look in this many.
const UPDATES_EVERY: u32 = 60;
/// Made by whoever changed something that only a boot takes up: update-engine, systemd-sysupdate's hand-over; kured looks here too.
const REBOOT_REQUIRED: &str = "/run/reboot-required";
/// Memory is told in steps of this many KiB, so that its noise does not rewrite the state file each second.
const MEMORY_STEP: u64 = 256;

/// keepalived's journal is read at one look in this many, and only where the VIP is here: a process each.
const COMPLAINTS_EVERY: u32 = 5;
/// How far back a complaint still goes on, and how many lines are looked at.
const COMPLAINTS_SINCE: &str = "-30s";
const COMPLAINTS_LINES: &str = "50";
/// Said so often it is a complaint: a change of state is said once.
const COMPLAINTS_REPEATED: usize = 3;
const JOURNAL_WITHIN: Duration = Duration::from_secs(3);
/// A VIP that comes is told for so long, and at most so often.
const TAKEN_MS: u64 = 600_000;
const TAKEN_AT_MOST: usize = 64;
/// Between up and down haproxy counts seconds, which would rewrite the state file each second: told in steps, coarser when it
/// is long ago.
const COUNTED_STEPS: [(u64, u64); 2] = [(120, 5), (u64::MAX, 60)];

/// Looks, tells, waits, for ever.
pub async fn keep_status_current(cx: Context) {
    let mut facts = FactsWatch::default();
    loop {
        facts.observe(&cx).await;
        cx.sys.clock.sleep(EVERY).await;
    }
}

#[derive(Debug, Default)]
struct FactsWatch {
    looks: u32,
    /// Whether the VIP was here at the last look; none: there was none.
    was_here: Option<bool>,
}

impl FactsWatch {
    async fn observe(&mut self, cx: &Context) {
        let here =
            cx.node.runs_balancer() && has_address(cx.node.endpoint.vip, None).unwrap_or(false);
        update_facts(cx, here).await;
        self.note_holding(cx, here);
        if !here {
            cx.report.update_status(|s| s.vip.complaint.clear());
        } else if self.looks.is_multiple_of(COMPLAINTS_EVERY) {
            let complaint = keepalived_complaint(cx).await;
            cx.report.update_status(|s| s.vip.complaint = complaint);
        }
        if self.looks.is_multiple_of(UPDATES_EVERY) {
            update_reboot_needed(cx).await;
        }
        self.looks = self.looks.wrapping_add(1);
    }

    /// What an agent finds at its start it has not seen coming.
    fn note_holding(&mut self, cx: &Context, here: bool) {
        let came = here && self.was_here == Some(false);
        self.was_here = Some(here);
        let now = cx.sys.clock.now_ms();
        cx.report.update_status(|status| {
            let held_since = &mut status.vip.held_since_ms;
            *held_since = held_since.filter(|_| here).or_else(|| came.then_some(now));
            let taken = &mut status.vip.taken_ms;
            taken.extend(came.then_some(now));
            taken.retain(|at| now.saturating_sub(*at) < TAKEN_MS);
            let surplus = taken.len().saturating_sub(TAKEN_AT_MOST);
            taken.drain(..surplus);
        });
    }
}

/// The last line of keepalived's journal, if it goes on saying it; empty: it does not. A quote for people: it gives warnings no
/// priority of their own, and says each at every advert.
async fn keepalived_complaint(cx: &Context) -> String {
    let args = [
        "-u",
        keepalived::UNIT,
        "-n",
        COMPLAINTS_LINES,
        "--since",
        COMPLAINTS_SINCE,
        "-o",
        "cat",
        "--no-pager",
        "-q",
    ];
    let journal = Cmd::new("journalctl", &args, JOURNAL_WITHIN);
    match cx.sys.commands.run(journal).await {
        Ok(said) => repeated_last_line(&said.stdout).to_owned(),
        Err(error) => {
            tracing::debug!("keepalived's journal: {error:#}");
            String::new()
        }
    }
}

fn repeated_last_line(said: &str) -> &str {
    let last = said.lines().next_back().unwrap_or_default();
    let times = said.lines().filter(|line| *line == last).count();
    if times >= COMPLAINTS_REPEATED {
        last.trim()
    } else {
        ""
    }
}

/// Whether the machine wants to be rebooted. Where update-engine is not there or does not answer, the file alone speaks.
async fn update_reboot_needed(cx: &Context) {
    let installed = installed_update(&cx.sys.files).await;
    let installed = installed.unwrap_or_else(|error| {
        tracing::debug!("update-engine: {error:#}");
        None
    });
    let asked_for = cx.sys.files.exists(REBOOT_REQUIRED);
    let flatcar = installed.or_else(|| asked_for.then(String::new));
    cx.report.update_status(|status| {
        status.reboot_needed = flatcar.map(|flatcar| RebootNeeded { flatcar })
    });
}

async fn update_facts(cx: &Context, here: bool) {
    let holder = if here {
        cx.node.name.clone()
    } else {
        find_vip_holder(cx).await
    };
    let backends = if cx.node.runs_balancer() {
        let servers = haproxy::ask_servers(&cx.sys.files).await;
        servers
            .unwrap_or_default()
            .into_iter()
            .map(into_backend)
            .collect()
    } else {
        Vec::new()
    };
    let kubelet = match cx.node.is_kubernetes_node() {
        true => cx.sys.systemd.active_state("kubelet.service").await,
        false => Ok(String::new()),
    };
    let kubelet = kubelet.unwrap_or_default();
    let memory = resident_kib(&cx.sys.files).unwrap_or(0) / MEMORY_STEP * MEMORY_STEP;
    cx.report.update_status(|status| {
        status.vip.here = here;
        status.vip.holder = holder;
        status.backends = backends;
        status.kubelet = kubelet;
        status.agent.rss_kib = memory;
    });
}

/// Who answers for the VIP on this segment, told by its link-layer address; empty: not known. The kernel
/// hears each move of the VIP by the holder's gratuitous ARP, so this asks nobody and is right without any API.
async fn find_vip_holder(cx: &Context) -> String {
    let candidates = match cx.node.load_balancer.mode {
        LbMode::Native | LbMode::Quadlet | LbMode::StaticPod => {
            configured_backends(cx).unwrap_or_default()
        }
        LbMode::Machines => cx.node.balancers.clone(),
        LbMode::External => return String::new(),
    };
    let vip = cx.node.endpoint.vip;
    let neighbours = known_neighbours(&cx.sys.files, vip).unwrap_or_default();
    let Some(link) = link_of(&neighbours, vip) else {
        return String::new();
    };
    let owners = owners_of_link(&neighbours, link, &candidates);
    match owners[..] {
        [holder] => return holder.name.clone(),
        // A worker may never have talked to that machine itself.
        [] => ask_for_links(cx, &candidates).await,
        // A router answers for all of them.
        _ => {}
    }
    String::new()
}

async fn ask_for_links(cx: &Context, candidates: &[Peer]) {
    for peer in candidates.iter().filter(|p| p.name != cx.node.name) {
        if let Err(error) = ask_for_neighbour(peer.address).await {
            tracing::debug!("{}: {error}", peer.address);
        }
    }
}

fn link_of(neighbours: &[Neighbour], address: std::net::IpAddr) -> Option<&str> {
    let known = neighbours.iter().find(|n| n.address == address)?;
    Some(&known.link)
}

fn owners_of_link<'a>(neighbours: &[Neighbour], link: &str, peers: &'a [Peer]) -> Vec<&'a Peer> {
    let owns = |p: &&Peer| link_of(neighbours, p.address) == Some(link);
    peers.iter().filter(owns).collect()
}

fn into_backend(server: Server) -> Backend {
    // The code is of interest where it is what the check stumbled over.
    let check = match server.check.as_str() {
        "L7STS" if !server.code.is_empty() => format!("{}/{}", server.check, server.code),
        check => check.to_owned(),
    };
    let seconds = server.since.as_secs();
    let step = COUNTED_STEPS.iter().find(|(below, _)| seconds < *below);
    let step = step.map_or(1, |(_, step)| *step);
    Backend {
        name: server.name,
        state: server.state,
        check,
        seconds: Some(seconds / step * step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, FakeMachine};

    const HEADER: &str =
        "IP address       HW type     Flags       HW address            Mask     Device\n";

    fn arp_entry(host: u8, flags: u8, mac: u8) -> String {
        format!("10.77.0.{host}   0x1   {flags:#x}   52:54:00:00:00:{mac:02}   *   eth0\n")
    }

    async fn reported_holder(machine: &FakeMachine, entries: &[String]) -> (String, bool) {
        machine.file("/proc/net/arp", &format!("{HEADER}{}", entries.concat()));
        update_facts(&machine.cx, false).await;
        let vip = machine.status().vip;
        (vip.holder, vip.here)
    }

    #[tokio::test]
    async fn the_holder_of_the_vip_is_named_on_every_node() {
        for node in [testing::control_plane(), testing::worker()] {
            let machine = testing::fake_machine(node);
            let peers = [arp_entry(11, 2, 11), arp_entry(13, 2, 13)];
            let with = |vip: String| [&peers[..], &[vip]].concat();
            for (entries, holder, why) in [
                (peers.to_vec(), "", "nobody here has talked to the VIP"),
                (with(arp_entry(30, 2, 11)), "node1", "as node1"),
                (with(arp_entry(30, 2, 13)), "node3", "it moved"),
                (with(arp_entry(30, 0, 0)), "", "nobody answers for it"),
                (with(arp_entry(30, 2, 99)), "", "somebody else has it"),
            ] {
                let told = reported_holder(&machine, &entries).await;
                assert_eq!(told, (holder.to_owned(), false), "{why}");
            }
            let routed = [
                arp_entry(11, 2, 1),
                arp_entry(13, 2, 1),
                arp_entry(30, 2, 1),
            ];
            let told = reported_holder(&machine, &routed).await;
            assert_eq!(told.0, "", "one link for all of them says nothing");
        }
    }

    #[test]
    fn a_vip_that_comes_is_told_for_ten_minutes_and_so_often_at_most() {
        let machine = testing::fake_machine(testing::control_plane());
        let mut facts = FactsWatch::default();
        let begin = machine.clock.0.get();
        let mut look = |second: u64, here| {
            machine.clock.0.set(begin + second * 1000);
            facts.note_holding(&machine.cx, here);
            let taken = machine.status().vip.taken_ms;
            taken
                .iter()
                .map(|at| (at - begin) / 1000)
                .collect::<Vec<_>>()
        };
        assert_eq!(look(0, true), [0; 0], "it was here when the agent came");
        assert_eq!(look(1, false), [0; 0]);
        assert_eq!((look(2, true), look(3, true)), (vec![2], vec![2]));
        assert_eq!((look(10, false), look(11, true)), (vec![2], vec![2, 11]));
        assert_eq!(look(602, true), [11]);
        for second in 0..200 {
            look(700 + second, second % 2 == 1);
        }
        let taken = look(900, true);
        assert_eq!((taken.len(), taken.last()), (64, Some(&899)));
    }

    #[test]
    fn since_when_the_vip_is_here_is_told_if_the_agent_saw_it_come() {
        let machine = testing::fake_machine(testing::control_plane());
        let mut facts = FactsWatch::default();
        let begin = machine.clock.0.get();
        let mut held_since = |second: u64, here| {
            machine.clock.0.set(begin + second * 1000);
            facts.note_holding(&machine.cx, here);
            let since = machine.status().vip.held_since_ms;
            since.map(|at| (at - begin) / 1000)
        };
        assert_eq!(held_since(0, true), None, "it was here when the agent came");
        assert_eq!(held_since(1, false), None);
        assert_eq!(held_since(2, true), Some(2));
        assert_eq!(
            held_since(7200, true),
            Some(2),
            "longer than moves are counted"
        );
        assert_eq!(held_since(7201, false), None);
    }

    #[test]
    fn keepalived_complains_of_what_it_goes_on_to_say() {
        let cant = "(api) Cant send advert to 10.77.0.11 (Operation not permitted)";
        let other = "(api) Cant send advert to 10.77.0.13 (Operation not permitted)";
        let lines = |lines: &[&str]| lines.join("\n") + "\n";
        for (said, complaint) in [
            (lines(&[other, cant, other, cant, other, cant]), cant),
            (lines(&[other, cant, other, cant]), ""),
            (
                lines(&[cant, cant, cant, "(api) Entering BACKUP STATE"]),
                "",
            ),
            (lines(&["Starting", "(api) Entering MASTER STATE"]), ""),
            (String::new(), ""),
        ] {
            assert_eq!(repeated_last_line(&said), complaint, "{said}");
        }
    }

    #[test]
    fn the_status_that_a_check_stumbles_over_is_told_and_seconds_in_steps() {
        let told = |check: &str, code: &str, seconds| {
            let backend = into_backend(Server {
                name: "node1".into(),
                state: "DOWN".into(),
                since: Duration::from_secs(seconds),
                check: check.into(),
                code: code.into(),
                sessions: 0,
            });
            (backend.check, backend.seconds)
        };
        for (check, code, seconds, wanted) in [
            ("L7STS", "401", 4, ("L7STS/401", 0)),
            ("L7OK", "200", 34, ("L7OK", 30)),
            ("L4CON", "", 3599, ("L4CON", 3540)),
        ] {
            let wanted = (wanted.0.to_owned(), Some(wanted.1));
            assert_eq!(told(check, code, seconds), wanted);
        }
    }
}
