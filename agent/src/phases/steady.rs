//! Keeps watch: is this node Ready, is etcd whole, do the load balancer's apiservers match the cluster's, does a
//! certificate end soon. Looks cheaply, tells what changed, mends only the load balancer and, once, where CoreDNS runs.

use std::time::Duration;

use anyhow::Result;
use ha_wire::settings::Cni;
use ha_wire::status::{EtcdStatus, PhaseState, Status};
use tracing::{info, warn};

use super::Outcome;
use super::preflight::MemberChecks;
use super::renewal::ends;
use crate::context::Context;
use crate::kube;
use crate::kube::etcd::Member;
use crate::sys::random;

mod backends;
pub mod bootstrap;
mod clusters;
mod dns;
mod follow;

use dns::PodSpread;
use follow::ApiserverFollower;

/// Between two looks: a few small requests each.
const EVERY: Duration = Duration::from_secs(5);
/// Added at random, so that a thousand nodes that booted at once do not ask at once for ever.
const JITTER: Duration = Duration::from_secs(2);
// A look finds the connection of the one before.
const _: () = assert!(EVERY.as_millis() + JITTER.as_millis() < ha_kube::https::IDLE.as_millis());
/// The pod network changes seldom: one look in this many is for it.
const NETWORK_EVERY: u32 = 6;
/// One failed look may be a failover; this many in a row are a fault.
const FAULT_AFTER: u32 = 3;

pub async fn run(cx: &Context) -> Result<Outcome> {
    let mut watch = SteadyWatch::begin(cx);
    loop {
        watch.observe().await;
        cx.sys
            .clock
            .sleep(EVERY + JITTER.mul_f64(random::random_fraction()))
            .await;
    }
}

struct SteadyWatch<'a> {
    cx: &'a Context,
    apiservers: ApiserverFollower<'a>,
    dns: PodSpread<'a>,
    machine: MemberChecks,
    /// Looks in a row that found a fault.
    failed: u32,
    looks: u32,
}

impl<'a> SteadyWatch<'a> {
    fn begin(cx: &'a Context) -> Self {
        Self {
            cx,
            apiservers: ApiserverFollower::begin(cx),
            dns: PodSpread::begin(cx),
            machine: MemberChecks::default(),
            failed: 0,
            looks: 0,
        }
    }

    /// One look at everything; what is wrong goes into the status, worst first.
    async fn observe(&mut self) {
        let mut faults = Vec::new();
        note_fault(&mut faults, "etcd", bootstrap::check_data(self.cx));
        note_fault(&mut faults, "API", self.node_is_ready().await);
        if self.cx.node.is_control_plane() {
            note_fault(&mut faults, "etcd", self.etcd_is_whole().await);
            note_fault(&mut faults, "load balancer", self.apiservers.follow().await);
            if self.looks.is_multiple_of(NETWORK_EVERY) {
                self.tell_network().await;
            }
            self.dns.advance().await;
        }
        self.looks = self.looks.wrapping_add(1);
        note_fault(&mut faults, "certificates", ends::check_ends(self.cx));
        note_fault(&mut faults, "machine", self.machine.observe(self.cx).await);
        self.failed = if faults.is_empty() {
            0
        } else {
            self.failed.saturating_add(1)
        };
        let worst = faults.into_iter().next().unwrap_or_default();
        let degraded = self.failed >= FAULT_AFTER;
        let now = self.cx.sys.clock.now_ms();
        self.cx
            .report
            .update_status(|status| update_state(status, degraded, &worst, now));
    }

    async fn node_is_ready(&self) -> Result<()> {
        let client = kube::as_best(self.cx)?;
        let node = client.node(&self.cx.node.name).await;
        self.cx.report.update_status(|s| {
            s.node_ready = node
                .as_ref()
                .ok()
                .map(|n| n.as_ref().is_some_and(|n| n.is_ready()))
        });
        let why = node?.map_or_else(
            || "this node is not registered".to_owned(),
            |n| n.why_not_ready(),
        );
        if self.cx.node.cni == Cni::None || why.is_empty() {
            Ok(())
        } else {
            Err(anyhow::anyhow!("not Ready: {why}"))
        }
    }

    async fn etcd_is_whole(&self) -> Result<()> {
        let etcd = kube::etcd_on(self.cx, [self.cx.node.address])?;
        let (members, status) = tokio::join!(etcd.members_as_known(), etcd.status());
        let seen = etcd_status(self.cx, &members?, &status?.leader);
        let words = etcd_fault(&seen);
        self.cx.report.update_status(|s| s.etcd = Some(seen));
        words.map_or(Ok(()), |words| Err(anyhow::anyhow!(words)))
    }

    /// A word for people; what is wrong with the pod network shows in the nodes' readiness.
    async fn tell_network(&self) {
        let Cni::Cilium { version, .. } = &self.cx.node.cni else {
            return;
        };
        let Ok(client) = kube::as_best(self.cx) else {
            return;
        };
        if let Ok(set) = client.daemon_set("cilium").await {
            let (ready, all) = (set.status.number_ready, set.status.desired_number_scheduled);
            let words = if ready == all {
                "ready".into()
            } else {
                format!("ready on {ready} of {all} nodes")
            };
            self.cx
                .report
                .update_status(|s| s.network = format!("cilium {version} {words}"));
        }
    }
}

fn note_fault(faults: &mut Vec<String>, what: &str, looked: Result<()>) {
    if let Err(error) = looked {
        faults.push(format!("{what}: {error:#}"));
    }
}

fn update_state(status: &mut Status, degraded: bool, worst: &str, now_ms: u64) {
    let state = if degraded {
        PhaseState::Degraded
    } else {
        PhaseState::Steady
    };
    if status.state != state {
        match state {
            PhaseState::Degraded => warn!("degraded: {worst}"),
            _ => info!("steady again"),
        }
        status.state = state;
        status.since_ms = now_ms;
    }
    if worst.is_empty() {
        status.last_error.clear();
    } else if degraded {
        worst.clone_into(&mut status.last_error);
    }
}

fn etcd_status(cx: &Context, members: &[Member], leader: &str) -> EtcdStatus {
    let mine = members
        .iter()
        .find(|m| m.is_of(&cx.node.name, cx.node.address));
    EtcdStatus {
        expected: u32::try_from(cx.node.control_planes.len()).unwrap_or(u32::MAX),
        members: members.iter().map(|m| m.name.clone()).collect(),
        voter: mine.is_some_and(Member::is_voter),
        leader: members
            .iter()
            .find(|m| m.id == leader)
            .map_or_else(String::new, |m| m.name.clone()),
        alarms: Vec::new(),
        database_bytes: None,
        quota_bytes: None,
    }
}

/// What is wrong with etcd; fewer members than wished are no fault of this node while others still join.
fn etcd_fault(etcd: &EtcdStatus) -> Option<String> {
    if !etcd.voter {
        return Some("this node's member is not a voter".into());
    }
    etcd.leader.is_empty().then(|| "no leader".into())
}

#[cfg(test)]
mod tests;
