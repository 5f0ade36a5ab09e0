//! Listens for VRRP's advertisements, behind the machine's own firewall as keepalived does: a raw socket gets what passes it.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ha_wire::doctor::{Check, Verdict, VrrpHeard};
use ha_wire::node::NodeFile;

use crate::context::Context;
use crate::phases::preflight::check::passing_check;
use crate::sys::net::{has_address, raw_socket};

/// VRRP's number among IP's protocols.
const VRRP: i32 = 112;
/// Longer than a holder on a busy machine keeps silent by far; never shorter than this.
const INTERVALS: u32 = 10;
const LEAST: Duration = Duration::from_secs(1);
/// Most that a person is to wait: intervals may be up to 40 s.
const MOST: Duration = Duration::from_secs(6);

/// None: nobody is to be heard here, or the kernel did not let it listen.
pub async fn hear_peers(cx: &Context) -> Option<VrrpHeard> {
    if !cx.node.runs_balancer() || cx.node.balancer_peers().next().is_none() {
        return None;
    }
    let holds = || has_address(cx.node.endpoint.vip, None).unwrap_or(false);
    let interval = Duration::from_millis(cx.node.load_balancer.advert_interval_ms.into());
    let time = (interval * INTERVALS).clamp(LEAST, MOST);
    let held_before = holds();
    let from = match hear_advertisements(&cx.node, time).await {
        Ok(from) => from,
        Err(error) => {
            tracing::debug!("VRRP is not listened to: {error:#}");
            return None;
        }
    };
    Some(VrrpHeard {
        holds_vip: held_before && holds(),
        from,
        listened_ms: time.as_millis().try_into().unwrap_or(u64::MAX),
    })
}

async fn hear_advertisements(node: &NodeFile, time: Duration) -> Result<Vec<IpAddr>> {
    let socket = raw_socket(node.address, VRRP).context("cannot open a raw socket")?;
    let peers: Vec<IpAddr> = node.balancer_peers().map(|peer| peer.address).collect();
    let mut from = Vec::new();
    let hear = async {
        let mut packet = [0; 128];
        while let Ok((_, sender)) = socket.recv_from(&mut packet).await {
            let sender = sender.ip();
            if peers.contains(&sender) && !from.contains(&sender) {
                from.push(sender);
            }
        }
    };
    // The time's end is the usual one: whoever speaks does so until then.
    let _ = tokio::time::timeout(time, hear).await;
    Ok(from)
}

/// A control plane that does not hold the VIP hears who does. Nothing is said where keepalived has its own fault.
pub fn check_vrrp(node: &NodeFile, heard: Option<&VrrpHeard>) -> Option<Check> {
    let heard = heard?;
    let ip = if node.address.is_ipv6() { "ip6" } else { "ip" };
    let look = format!("tcpdump -ni {} {ip} proto 112", node.interface);
    let check = passing_check("VRRP", &look);
    let names: Vec<String> = heard.from.iter().map(ToString::to_string).collect();
    match (heard.holds_vip, names.is_empty()) {
        (false, true) => {
            let reason = format!(
                "no advertisement of a peer within {} ms, and the VIP is not here: a firewall (here, at the holder, between them) \
                 drops IP protocol 112, or nobody holds it",
                heard.listened_ms
            );
            let remedy = "let protocol 112 pass between those that may hold the VIP (nft list ruleset, here and at the holder); \
                          systemctl status keepalived";
            Some(check.with(Verdict::Fail, reason, remedy))
        }
        (true, false) => {
            let reason = format!(
                "this node holds the VIP, and {} advertises it too: what this node sends does not arrive there",
                names.join(", ")
            );
            let remedy =
                "let protocol 112 pass out of here and in there (nft list ruleset on both)";
            Some(check.with(Verdict::Fail, reason, remedy))
        }
        (true, true) => Some(check.says("this node holds the VIP".into())),
        (false, false) => Some(check.says(format!("{} advertises", names.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn silence_and_two_holders_are_faults() {
        let node = testing::control_plane();
        for (holds_vip, from, verdict) in [
            (false, vec!["10.77.0.11"], Verdict::Pass),
            (true, vec![], Verdict::Pass),
            (false, vec![], Verdict::Fail),
            (true, vec!["10.77.0.11"], Verdict::Fail),
        ] {
            let heard = VrrpHeard {
                holds_vip,
                from: from.iter().map(|a| a.parse().unwrap()).collect(),
                listened_ms: 1000,
            };
            let check = check_vrrp(&node, Some(&heard)).unwrap();
            assert_eq!(check.verdict, verdict, "{heard:?}");
            assert_eq!(check.remedy.is_empty(), verdict == Verdict::Pass);
        }
        assert!(check_vrrp(&node, None).is_none());
    }

    #[tokio::test]
    async fn a_worker_and_a_lone_control_plane_listen_to_nobody() {
        let mut lone = testing::control_plane();
        lone.control_planes.retain(|peer| peer.name == lone.name);
        for node in [testing::worker(), lone] {
            let machine = testing::fake_machine(node);
            assert_eq!(hear_peers(&machine.cx).await, None);
        }
    }
}
