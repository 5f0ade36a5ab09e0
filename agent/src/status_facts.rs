//! Facts about this node that `status` shows in every phase: who holds the VIP, haproxy's view of the apiservers, the
//! kubelet's unit, the agent's own memory. Runs beside all phases, for ever.

use std::time::Duration;

use ha_wire::status::Backend;

use crate::context::Context;
use crate::haproxy::{self, Server};
use crate::sys::net::has_address;
use crate::sys::proc::resident_kib;

/// Between two looks: status is for people.
const EVERY: Duration = Duration::from_secs(1);
/// Memory is told in steps of this many KiB, so that its noise does not rewrite the state file each second.
const MEMORY_STEP: u64 = 256;

/// Looks, tells, waits, for ever.
pub async fn keep_current(cx: Context) {
    loop {
        update_facts(&cx).await;
        cx.sys.clock.sleep(EVERY).await;
    }
}

async fn update_facts(cx: &Context) {
    let here =
        cx.node.is_control_plane() && has_address(cx.node.endpoint.vip, None).unwrap_or(false);
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
