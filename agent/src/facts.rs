//! Facts about this node that `status` shows in every phase: who holds the VIP, haproxy's view of the apiservers, the
//! kubelet's unit, the agent's own memory. Runs beside all phases, for ever.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ha_wire::status::Backend;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use crate::context::Context;
use crate::haproxy::{self, Server};
use crate::sys::files::Files;

/// Between two looks: status is for people.
const EVERY: Duration = Duration::from_secs(1);
/// Memory is told in steps of this many KiB, so that its noise does not rewrite the state file each second.
const MEMORY_STEP: u64 = 256;
/// Kilobytes in a page on the architectures that Flatcar has.
const PAGE_KIB: u64 = 4;

/// Looks, tells, waits, for ever.
pub async fn watch(cx: Context) {
    loop {
        look(&cx).await;
        cx.sys.clock.sleep(EVERY).await;
    }
}

async fn look(cx: &Context) {
    let here =
        cx.node.is_control_plane() && has_address(cx.node.endpoint.vip, None).unwrap_or(false);
    let backends = if cx.node.is_control_plane() {
        let servers = haproxy::servers(&cx.sys.files).await;
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
    let memory = memory_kib(&cx.sys.files).unwrap_or(0) / MEMORY_STEP * MEMORY_STEP;
    cx.tell.facts(|status| {
        status.vip.here = here;
        if here {
            status.vip.holder.clone_from(&cx.node.name);
        } else if status.vip.holder == cx.node.name {
            status.vip.holder.clear();
        }
        status.backends = backends;
        status.kubelet = kubelet;
        status.agent.rss_kib = memory;
    });
}

fn into_backend(server: Server) -> Backend {
    Backend {
        name: server.name,
        state: server.state,
    }
}

/// True if an interface (this one, if named) has the address.
pub fn has_address(address: IpAddr, interface: Option<&str>) -> Result<bool> {
    let mut all = getifaddrs().context("cannot list the interfaces' addresses")?;
    Ok(all.any(|entry| {
        let named = interface.is_none_or(|name| name == entry.interface_name);
        named && entry.address.as_ref().and_then(ip) == Some(address)
    }))
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}

fn memory_kib(files: &Files) -> Option<u64> {
    let text = files.read("/proc/self/statm").ok()??;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * PAGE_KIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_found_on_its_interface_only() {
        let address = "127.0.0.1".parse().unwrap();
        assert!(has_address(address, None).unwrap());
        assert!(has_address(address, Some("lo")).unwrap());
        assert!(!has_address(address, Some("eth9")).unwrap());
        assert!(!has_address("192.0.2.1".parse().unwrap(), None).unwrap());
    }

    #[test]
    fn memory_is_read_from_the_kernel() {
        assert!(memory_kib(&Files::new("/")).unwrap() > 100);
    }
}
