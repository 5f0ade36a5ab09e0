//! Facts about this node that `status` shows in every phase: who holds the VIP, haproxy's view of the apiservers, the
//! kubelet's unit, the agent's own memory. Runs beside all phases, for ever.

use std::time::Duration;

use ha_wire::node::Peer;
use ha_wire::status::{Backend, RebootNeeded};

use crate::context::Context;
use crate::haproxy::{self, Server};
use crate::phases::balancer::configured_backends;
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

/// Looks, tells, waits, for ever.
pub async fn keep_current(cx: Context) {
    let mut looks: u32 = 0;
    loop {
        update_facts(&cx).await;
        if looks.is_multiple_of(UPDATES_EVERY) {
            update_reboot_needed(&cx).await;
        }
        looks = looks.wrapping_add(1);
        cx.sys.clock.sleep(EVERY).await;
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

async fn update_facts(cx: &Context) {
    let here =
        cx.node.is_control_plane() && has_address(cx.node.endpoint.vip, None).unwrap_or(false);
    let holder = if here {
        cx.node.name.clone()
    } else {
        find_vip_holder(cx).await
    };
    let backends = if cx.node.is_control_plane() {
        let servers = haproxy::ask_servers(&cx.sys.files).await;
        servers
            .unwrap_or_default()
            .into_iter()
            .map(into_backend)
            .collect()
    } else {
        Vec::new()
    };
    let kubelet = cx
        .sys
        .systemd
        .active_state("kubelet.service")
        .await
        .unwrap_or_default();
    let memory = resident_kib(&cx.sys.files).unwrap_or(0) / MEMORY_STEP * MEMORY_STEP;
    cx.report.update_status(|status| {
        status.vip.here = here;
        status.vip.holder = holder;
        status.backends = backends;
        status.kubelet = kubelet;
        status.agent.rss_kib = memory;
    });
}

/// The control plane that answers for the VIP on this segment, told by its link-layer address; empty: not known. The kernel
/// hears each move of the VIP by the holder's gratuitous ARP, so this asks nobody and is right without any API.
async fn find_vip_holder(cx: &Context) -> String {
    let control_planes = configured_backends(cx).unwrap_or_default();
    let neighbours = known_neighbours(&cx.sys.files).unwrap_or_default();
    let vip = cx.node.endpoint.vip;
    let Some(link) = link_of(&neighbours, vip) else {
        return String::new();
    };
    let owners = owners_of_link(&neighbours, link, &control_planes);
    match owners[..] {
        [holder] => return holder.name.clone(),
        // A worker may never have talked to that control plane itself.
        [] => ask_for_links(cx, &control_planes).await,
        // A router answers for all of them.
        _ => {}
    }
    String::new()
}

async fn ask_for_links(cx: &Context, control_planes: &[Peer]) {
    for peer in control_planes.iter().filter(|p| p.name != cx.node.name) {
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
    Backend {
        name: server.name,
        state: server.state,
        check: server.check,
        seconds: Some(server.since.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, FakeMachine};

    const HEADER: &str =
        "IP address       HW type     Flags       HW address            Mask     Device\n";

    fn entry(host: u8, flags: u8, mac: u8) -> String {
        format!("10.77.0.{host}   0x1   {flags:#x}   52:54:00:00:00:{mac:02}   *   eth0\n")
    }

    async fn told_holder(machine: &FakeMachine, entries: &[String]) -> (String, bool) {
        machine.file("/proc/net/arp", &format!("{HEADER}{}", entries.concat()));
        update_facts(&machine.cx).await;
        let vip = machine.status().vip;
        (vip.holder, vip.here)
    }

    #[tokio::test]
    async fn the_holder_of_the_vip_is_named_on_every_node() {
        for node in [testing::control_plane(), testing::worker()] {
            let machine = testing::fake_machine(node);
            let peers = [entry(11, 2, 11), entry(13, 2, 13)];
            let with = |vip: String| [&peers[..], &[vip]].concat();
            for (entries, holder, why) in [
                (peers.to_vec(), "", "nobody here has talked to the VIP"),
                (with(entry(30, 2, 11)), "node1", "as node1"),
                (with(entry(30, 2, 13)), "node3", "it moved"),
                (with(entry(30, 0, 0)), "", "nobody answers for it"),
                (with(entry(30, 2, 99)), "", "somebody else has it"),
            ] {
                let told = told_holder(&machine, &entries).await;
                assert_eq!(told, (holder.to_owned(), false), "{why}");
            }
            let routed = [entry(11, 2, 1), entry(13, 2, 1), entry(30, 2, 1)];
            let told = told_holder(&machine, &routed).await;
            assert_eq!(told.0, "", "one link for all of them says nothing");
        }
    }
}
