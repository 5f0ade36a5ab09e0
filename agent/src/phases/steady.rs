//! Keeps watch: is this node Ready, is etcd whole, do the load balancer's apiservers match the cluster's, does a
//! certificate end soon, does what every pod lives on answer. Looks cheaply, tells what changed, mends only the load balancer, a
//! Node object that somebody deleted and, once, where CoreDNS runs and that kube-proxy pings; gives workers the labels that the operator signed.

use std::time::Duration;

use anyhow::Result;
use ha_health::node::node_findings;
use ha_wire::settings::Cni;
use ha_wire::status::{About, EtcdAlarm, EtcdStatus, PhaseState, SeenFault, Status};
use tracing::{info, warn};

use super::kube_proxy::KubeProxyPings;
use super::network::pods;
use super::preflight::MemberChecks;
use super::renewal::ends;
use super::{Outcome, etcd_manifest};
use crate::context::Context;
use crate::kube;
use crate::kube::etcd::{Alarm, Member, MemberStatus};
use crate::sys::random;

pub mod answers;
mod backends;
pub mod bootstrap;
mod clusters;
mod dns;
mod elections;
mod external_etcd;
mod follow;
mod grants;
mod registration;

use answers::AnswersWatch;
use dns::PodSpread;
use elections::Elections;
use follow::ApiserverFollower;
use grants::LabelGrants;
use registration::NodeObject;

/// Between two looks: a few small requests each.
const EVERY: Duration = Duration::from_secs(5);
/// Added at random, so that a thousand nodes that booted at once do not ask at once for ever.
const JITTER: Duration = Duration::from_secs(2);
// A look finds the connection of the one before.
const _: () = assert!(EVERY.as_millis() + JITTER.as_millis() < ha_kube::https::IDLE.as_millis());
/// The pod network changes seldom: one look in this many is for it.
const NETWORK_EVERY: u32 = 6;
/// What etcd has raised: one look in this many.
const ALARMS_EVERY: u32 = 3;
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
    pings: KubeProxyPings,
    labels: LabelGrants<'a>,
    answers: AnswersWatch<'a>,
    object: NodeObject<'a>,
    machine: MemberChecks,
    /// As etcd last told them.
    alarms: Vec<Alarm>,
    elections: Elections,
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
            pings: KubeProxyPings::default(),
            labels: LabelGrants::begin(cx),
            answers: AnswersWatch::begin(cx),
            object: NodeObject::begin(cx),
            machine: MemberChecks::default(),
            alarms: Vec::new(),
            elections: Elections::default(),
            failed: 0,
            looks: 0,
        }
    }

    /// One look at everything; what is wrong goes into the status, worst first.
    async fn observe(&mut self) {
        let mut faults = Vec::new();
        if self.cx.node.is_kubernetes_node() {
            self.observe_kubernetes(&mut faults).await;
        } else {
            let kept = self.apiservers.keep().await;
            note_fault(&mut faults, About::LoadBalancer, kept);
        }
        self.looks = self.looks.wrapping_add(1);
        note_fault(&mut faults, About::Certificates, ends::check_ends(self.cx));
        note_fault(
            &mut faults,
            About::Machine,
            self.machine.observe(self.cx).await,
        );
        self.failed = if faults.is_empty() {
            0
        } else {
            self.failed.saturating_add(1)
        };
        if self.failed < FAULT_AFTER {
            faults.clear();
        }
        let now = self.cx.sys.clock.now_ms();
        self.cx
            .report
            .update_status(|status| update_state(status, faults, now));
    }

    /// What only a node of Kubernetes has.
    async fn observe_kubernetes(&mut self, faults: &mut Vec<SeenFault>) {
        note_fault(faults, About::Etcd, bootstrap::check_data(self.cx));
        note_fault(faults, About::Api, self.node_is_ready().await);
        if self.cx.node.is_control_plane() {
            note_fault(faults, About::Etcd, self.etcd_is_whole().await);
        }
        if self.cx.node.is_control_plane() || self.cx.node.runs_balancer() {
            let followed = self.apiservers.follow().await;
            note_fault(faults, About::LoadBalancer, followed);
        }
        if self.cx.node.is_control_plane() {
            if self.looks.is_multiple_of(NETWORK_EVERY) {
                pods::report_ready_nodes(self.cx).await;
            }
            self.dns.advance().await;
            self.pings.advance(self.cx).await;
            self.labels.advance().await;
        }
        self.answers.observe().await;
    }

    async fn node_is_ready(&mut self) -> Result<()> {
        let client = kube::as_best(self.cx)?;
        let node = client.node(&self.cx.node.name).await;
        self.cx.report.update_status(|s| {
            s.node_ready = node
                .as_ref()
                .ok()
                .map(|n| n.as_ref().is_some_and(|n| n.is_ready()))
        });
        let node = node?;
        self.object.observe(node.as_ref()).await?;
        let why = node.map_or_else(String::new, |n| n.why_not_ready());
        if self.cx.node.cni == Cni::None || why.is_empty() {
            Ok(())
        } else {
            Err(anyhow::anyhow!("not Ready: {why}"))
        }
    }

    async fn etcd_is_whole(&mut self) -> Result<()> {
        if self.cx.node.has_external_etcd() {
            let asks_alarms = self.looks.is_multiple_of(ALARMS_EVERY);
            return external_etcd::observe_members(self.cx, &mut self.alarms, asks_alarms).await;
        }
        let etcd = kube::etcd_on(self.cx, [self.cx.node.address])?;
        let (members, status) = tokio::join!(etcd.members_as_known(), etcd.status());
        let (members, status) = (members?, status?);
        if self.looks.is_multiple_of(ALARMS_EVERY) {
            self.alarms = etcd.alarms().await?;
        }
        let mut seen = etcd_status(self.cx, &members, &status, &self.alarms)?;
        let now_ms = self.cx.sys.clock.now_ms();
        seen.elections_ms = self.elections.note(status.term, now_ms);
        let words = etcd_fault(&seen);
        self.cx.report.update_status(|s| s.etcd = Some(seen));
        words.map_or(Ok(()), |words| Err(anyhow::anyhow!(words)))
    }
}

fn note_fault(faults: &mut Vec<SeenFault>, about: About, looked: Result<()>) {
    let name = match about {
        About::Etcd => "etcd",
        About::Api => "API",
        About::LoadBalancer => "load balancer",
        About::Certificates => "certificates",
        About::Machine | About::Other => "machine",
    };
    if let Err(error) = looked {
        let what = format!("{name}: {error:#}");
        faults.push(SeenFault { about, what });
    }
}

/// `seen`: what this look found and those before it. What the facts in the status show by themselves comes to that.
fn update_state(status: &mut Status, seen: Vec<SeenFault>, now_ms: u64) {
    status.seen = Some(seen);
    // Of now, whenever it was last written.
    status.updated_ms = now_ms;
    let all = node_findings(status, now_ms);
    status.faults = all.into_iter().map(|finding| finding.what).collect();
    status.last_error = status.faults.first().cloned().unwrap_or_default();
    let state = if status.faults.is_empty() {
        PhaseState::Steady
    } else {
        PhaseState::Degraded
    };
    if status.state != state {
        match state {
            PhaseState::Degraded => warn!("degraded: {}", status.last_error),
            _ => info!("steady again"),
        }
        status.state = state;
        status.since_ms = now_ms;
    }
}

/// As people read it: by the members' names.
fn etcd_status(
    cx: &Context,
    members: &[Member],
    status: &MemberStatus,
    alarms: &[Alarm],
) -> Result<EtcdStatus> {
    let mut mine = members.iter();
    let mine = mine.find(|m| m.is_of(&cx.node.name, cx.node.address));
    let name = |id: &str| name_of(members, id).unwrap_or_else(|| format!("member {id}"));
    let alarm = |alarm: &Alarm| EtcdAlarm::new(&alarm.kind, name(&alarm.member));
    let quota = match status.quota_bytes {
        Some(quota) => quota,
        None => etcd_manifest::backend_quota(&etcd_manifest::read_manifest(cx)?),
    };
    Ok(EtcdStatus {
        expected: u32::try_from(cx.node.control_planes.len()).unwrap_or(u32::MAX),
        members: members.iter().map(|m| m.name.clone()).collect(),
        voter: mine.is_some_and(Member::is_voter),
        leader: name_of(members, &status.leader).unwrap_or_default(),
        alarms: alarms.iter().map(alarm).collect(),
        database_bytes: status.database_bytes,
        quota_bytes: Some(quota),
        elections_ms: Vec::new(),
        endpoints: Vec::new(),
    })
}

fn name_of(members: &[Member], id: &str) -> Option<String> {
    let member = members.iter().find(|m| m.id == id)?;
    Some(member.name.clone())
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
