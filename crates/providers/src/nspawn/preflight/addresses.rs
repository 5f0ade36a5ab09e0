//! The cluster's addresses and names, against those that this machine has.

use std::net::IpAddr;

use anyhow::{Context, Result};
use ipnet::IpNet;

use super::super::Nspawn;
use super::super::network::{self, NamespaceOwner};
use super::{bad_finding, good_finding};
use crate::Finding;

/// Whether the cluster's names and addresses are free, or its own already.
pub fn check_addresses(provider: &Nspawn) -> Result<Finding> {
    let layout = &provider.layout;
    let owner = provider.segment.owner();
    if owner == NamespaceOwner::Other {
        let space = layout.bridge_namespace();
        return Ok(bad_finding(
            format!(
                "the network namespace {space} belongs to a cluster {} of another state directory",
                layout.machines.cluster()
            ),
            format!(
                "give this one another name; if nobody needs that one: `ha-host destroy` with its --state-dir, and if its directory is \
                 gone, `ip netns del {space}`"
            ),
        ));
    }
    let link = layout.host_link();
    if owner == NamespaceOwner::Nobody && network::link_exists(None, &link)? {
        let seen = format!("this machine has an interface {link} that is not this cluster's");
        return Ok(bad_finding(
            seen,
            format!("give the cluster another name, or `ip link del {link}`"),
        ));
    }
    for cidr in &provider.networks {
        let routes = network::routes_as_json(cidr.addr())?;
        if let Some(route) = overlapping_route(&routes, *cidr, &link)? {
            return Ok(bad_finding(
                format!("{cidr} overlaps with this machine's {route}"),
                "take another network in the cluster file (network.gateway, endpoint.vip, the nodes' addresses)",
            ));
        }
    }
    let all: Vec<String> = provider.networks.iter().map(ToString::to_string).collect();
    Ok(good_finding(format!("{} unused", all.join(" and "))))
}

/// The first route of `ip -j route` that shares addresses with the cluster, in words.
fn overlapping_route(routes: &str, cidr: IpNet, own_link: &str) -> Result<Option<String>> {
    let routes: Vec<serde_json::Value> =
        serde_json::from_str(routes).context("cannot parse the output of `ip route`")?;
    let text = |route: &serde_json::Value, key: &str| {
        route
            .get(key)
            .and_then(|v| v.as_str())
            .unwrap_or_default()
            .to_string()
    };
    Ok(routes.iter().find_map(|route| {
        let (target, link) = (text(route, "dst"), text(route, "dev"));
        let net = target
            .parse::<IpNet>()
            .or_else(|_| target.parse::<IpAddr>().map(IpNet::from))
            .ok()?;
        // A default route may be written as a prefix of no length.
        let shares = net.prefix_len() > 0 && (net.contains(&cidr) || cidr.contains(&net));
        if !shares || link == own_link {
            return None;
        }
        let what = if text(route, "type") == "local" {
            "address"
        } else {
            "route"
        };
        let device = if link.is_empty() {
            String::new()
        } else {
            format!(" dev {link}")
        };
        Some(format!("{what} {target}{device}"))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = r#"[{"dst":"default","gateway":"192.168.1.1","dev":"eth0"},
        {"dst":"192.168.1.0/24","dev":"eth0"},{"dst":"10.77.0.11","dev":"ha-demo","scope":"link"},
        {"type":"local","dst":"10.99.0.7","dev":"wg0","table":"local"},{"type":"unreachable","dst":"172.16.0.0/12"}]"#;

    #[test]
    fn routes_that_overlap_are_named() {
        let see = |cidr: &str| overlapping_route(ROUTES, cidr.parse().unwrap(), "ha-demo").unwrap();
        assert_eq!(see("10.77.0.0/24"), None);
        assert_eq!(
            see("192.168.1.128/25").unwrap(),
            "route 192.168.1.0/24 dev eth0"
        );
        assert_eq!(see("10.99.0.0/16").unwrap(), "address 10.99.0.7 dev wg0");
        assert_eq!(see("172.20.0.0/24").unwrap(), "route 172.16.0.0/12");
        assert!(
            overlapping_route(ROUTES, "10.77.0.0/24".parse().unwrap(), "ha-other")
                .unwrap()
                .is_some()
        );
    }
}
