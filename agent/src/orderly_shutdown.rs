//! What a control plane does before its machine reboots or powers off in an orderly way: its clients go to the other control
//! planes first, while everything here still works. logind tells of it and waits; the kubelet, which waits with it, ends the
//! pods meanwhile (its graceful node shutdown).
//!
//! 1. New connections to this apiserver are refused at the door, so every load balancer tries another one at once: its own
//!    word `not ready` would take a second to be heard. The apiserver lives for two more seconds (its `preStop`).
//! 2. The holder of the VIP lets nobody in there either: a client that hears nothing asks again after a second, and finds the
//!    next holder. Requests that are in get their answers: sessions end until only those are left that last. Then it gives the
//!    VIP away.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use ha_wire::node::NodeFile;
use ha_wire::paths;

use crate::context::Context;
use crate::haproxy;
use crate::health::probe_haproxy;
use crate::render::keepalived;
use crate::sys::Cmd;
use crate::sys::logind::Logind;
use crate::sys::net::has_address;

/// The rules, while they hold; memory, as they are themselves.
const RULES: &str = "/run/ha-agent/shutdown.nft";
/// The table that they are in.
const TABLE: &str = "ha_agent_shutdown";
/// nft takes milliseconds.
const NFT_DEADLINE: Duration = Duration::from_secs(2);
/// How long requests that are in may take before the VIP goes: well below the second after which a client that was turned away
/// asks again.
const ANSWERS_WITHIN: Duration = Duration::from_millis(800);
/// When no session has ended for so long, those that are left are watches and the like, which last for minutes.
const QUIET: Duration = Duration::from_millis(150);
/// keepalived hears the word within 10 ms.
const GIVES_WAY_WITHIN: u32 = 100;
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Between two attempts to reach logind.
const RETRY: Duration = Duration::from_secs(30);
const WHY: &str = "the API's clients go to the others";

/// For ever: waits for the machine's orderly end and prepares it. Alone, a control plane has nobody to leave its clients to.
pub async fn prepare_shutdowns(cx: Context) {
    let node = &cx.node;
    let leaves_apiserver = node.is_control_plane() && node.peers().next().is_some();
    let leaves_vip = node.runs_balancer() && node.balancer_peers().next().is_some();
    if !leaves_apiserver && !leaves_vip {
        return;
    }
    loop {
        if let Err(error) = follow_logind(&cx).await {
            tracing::debug!("no word of reboots from logind: {error:#}");
        }
        cx.sys.clock.sleep(RETRY).await;
    }
}

async fn follow_logind(cx: &Context) -> Result<()> {
    let mut logind = Logind::connect(&cx.sys.files).await?;
    let mut delay = Some(logind.delay_shutdown(WHY).await?);
    if cx.sys.files.exists(RULES) {
        // An agent before this one left, and the shutdown was called off.
        return_to_service(cx).await;
    }
    loop {
        if logind.next_shutdown().await? {
            withdraw_from_service(cx).await;
            drop(delay.take());
        } else {
            return_to_service(cx).await;
            delay = Some(logind.delay_shutdown(WHY).await?);
        }
    }
}

/// Whatever fails is told and left out: the machine goes down all the same.
async fn withdraw_from_service(cx: &Context) {
    let (node, vip) = (&cx.node.name, cx.node.endpoint.vip);
    let holds = cx.node.runs_balancer() && has_address(vip, None).unwrap_or(false);
    tracing::info!(node, "this machine goes down: {WHY}");
    if let Err(error) = reject_new_connections(cx).await {
        tracing::warn!(node, "clients are not sent away beforehand: {error:#}");
    }
    if !holds {
        return;
    }
    wait_for_answers(cx).await;
    if let Err(error) = cx
        .sys
        .files
        .put(paths::HEALTH_FILE, keepalived::SICK.as_bytes())
    {
        tracing::warn!(node, "{vip} stays until keepalived ends: {error:#}");
        return;
    }
    for _ in 0..GIVES_WAY_WITHIN {
        if !has_address(vip, None).unwrap_or(false) {
            tracing::info!(node, "{vip} is given away");
            return;
        }
        cx.sys.clock.sleep(POLL_INTERVAL).await;
    }
    tracing::warn!(
        node,
        "{vip} stays until keepalived ends: it did not give it away"
    );
}

/// Until only sessions that last are left. A haproxy that does not say how many there are is given all of the time.
async fn wait_for_answers(cx: &Context) {
    let clock = &cx.sys.clock;
    let begun = clock.monotonic();
    let (mut known, mut since) = (None, begun);
    while clock.monotonic() - begun < ANSWERS_WITHIN {
        let servers = haproxy::ask_servers(&cx.sys.files).await.ok();
        let open = servers.map(|all| all.iter().map(|server| server.sessions).sum::<u64>());
        if open.is_none() || open != known {
            (known, since) = (open, clock.monotonic());
        }
        if clock.monotonic() - since >= QUIET {
            return;
        }
        clock.sleep(POLL_INTERVAL).await;
    }
}

/// The shutdown was called off.
async fn return_to_service(cx: &Context) {
    let node = &cx.node.name;
    tracing::info!(node, "this machine stays: the API's clients may come back");
    if let Err(error) = accept_new_connections(cx).await {
        tracing::warn!(
            node,
            "no client gets in: {error:#}; nft delete table {} {TABLE}",
            nft_family(&cx.node)
        );
    }
    if cx.node.runs_balancer()
        && probe_haproxy(&cx.sys.files).await.is_ok()
        && let Err(error) = cx
            .sys
            .files
            .put(paths::HEALTH_FILE, keepalived::FINE.as_bytes())
    {
        tracing::warn!(node, "this node does not take the VIP: {error:#}");
    }
}

async fn reject_new_connections(cx: &Context) -> Result<()> {
    cx.sys.files.put(RULES, render_rules(&cx.node).as_bytes())?;
    run_nft(cx, &["-f", &cx.sys.files.path(RULES).to_string_lossy()]).await
}

async fn accept_new_connections(cx: &Context) -> Result<()> {
    run_nft(cx, &["delete", "table", nft_family(&cx.node), TABLE]).await?;
    cx.sys.files.wipe(RULES)
}

async fn run_nft(cx: &Context, args: &[&str]) -> Result<()> {
    let ran = cx.sys.commands.run(Cmd::new("nft", args, NFT_DEADLINE));
    ran.await.map(drop)
}

fn nft_family(node: &NodeFile) -> &'static str {
    match node.endpoint.vip {
        IpAddr::V4(_) => "ip",
        IpAddr::V6(_) => "ip6",
    }
}

/// Connections that are open stay so: what is turned away is the first packet of a new one. The node's own programs still
/// reach its apiserver.
fn render_rules(node: &NodeFile) -> String {
    let family = nft_family(node);
    let apiserver = node.endpoint.apiserver_port;
    let new = "tcp flags & (syn | ack) == syn";
    let of_vip = match node.runs_balancer() {
        true => format!("{family} daddr {} {new} drop\n        ", node.endpoint.vip),
        false => String::new(),
    };
    let of_apiserver = match node.is_control_plane() {
        true => format!("iifname != \"lo\" tcp dport {apiserver} {new} reject with tcp reset"),
        false => String::new(),
    };
    format!(
        "table {family} {TABLE} {{
    chain input {{
        type filter hook input priority -200; policy accept;
        {of_vip}{of_apiserver}
    }}
}}
"
    )
}

#[cfg(test)]
mod tests;
