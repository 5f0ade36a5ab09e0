//! Renews what kubeadm made before it ends, on each control plane, for ever and beside all phases: certificates and kubeconfigs
//! by kubeadm itself, one control plane at a time under a Lease, then the two static pods that read theirs only at start.
//!
//! kube-apiserver and etcd read renewed files by themselves (1.34 to 1.37: `dynamiccertificates` for the serving and the
//! front-proxy pair, client-go's `certRotatingDialer` for the kubelets, etcd's `TLSInfo` at each handshake), so they are not
//! restarted.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow};
use ha_kube::{ApiError, Client};
use ha_wire::phase::Phase;
use ha_wire::status::Renewal;
use tracing::{info, warn};

use crate::backoff::spread_pause;
use crate::context::Context;
use crate::kube;
use crate::kube::lock::{Attempt, Candidate};
use crate::sys::random::random_fraction;

pub mod ends;
mod made;
mod redundancy;
mod restart;

use ends::{Condition, RENEWABLE, Renewable};

/// Held by the one control plane that renews.
const LEASE: &str = "ha-agent-renewal";
/// Between two looks at a dozen small files. A certificate that lives ten minutes is to be renewed within five.
const EVERY: Duration = Duration::from_secs(20);

/// Looks, renews what is due, waits, for ever. At once ended on workers: the kubelet renews its own.
pub async fn keep_renewed(cx: Context) {
    if !cx.node.is_control_plane() {
        return;
    }
    let mut watch = RenewalWatch::new(&cx);
    loop {
        watch.observe_and_report().await;
        let pause = spread_pause(EVERY, random_fraction());
        cx.sys.clock.sleep(pause).await;
    }
}

/// What a look came to.
#[derive(Debug, PartialEq, Eq)]
enum RenewalOutcome {
    NothingDue,
    Renewed,
    /// Something is due, and it is not the moment for it.
    Waits(String),
}

struct RenewalWatch<'a> {
    cx: &'a Context,
    candidate: Option<Candidate<'a>>,
    /// Components known to run with what lies on the disk, by the end of that certificate.
    current: BTreeMap<&'static str, u64>,
    /// Told once.
    told: Renewal,
}

impl<'a> RenewalWatch<'a> {
    fn new(cx: &'a Context) -> Self {
        Self {
            cx,
            candidate: None,
            current: BTreeMap::new(),
            told: Renewal::default(),
        }
    }

    async fn observe_and_report(&mut self) {
        let (words, failed) = match self.observe().await {
            Ok(RenewalOutcome::NothingDue | RenewalOutcome::Renewed) => (String::new(), false),
            Ok(RenewalOutcome::Waits(why)) => (why, false),
            // The API was slow or away for a moment: the next look may go well.
            Err(error) => (
                format!("{error:#}"),
                !error.chain().any(|e| e.is::<ApiError>()),
            ),
        };
        let now = Renewal { words, failed };
        if now != self.told {
            match (now.words.as_str(), failed) {
                ("", _) => {}
                (why, true) => warn!("certificates are not renewed: {why}"),
                (why, false) => info!("the renewal of certificates waits: {why}"),
            }
            self.cx.report.update_status(|s| s.renewal = now.clone());
            self.told = now;
        }
    }

    async fn observe(&mut self) -> Result<RenewalOutcome> {
        let settled = self.cx.report.phase() == Phase::Steady;
        let (here, keyless) = split_by_authority(self.cx, due_certificates(self.cx, settled)?);
        let idle = here.is_empty() && !(settled && self.has_old_component().await?);
        let done = match idle {
            true => RenewalOutcome::NothingDue,
            false => self.renew_in_turn(&here).await?,
        };
        let [first, ..] = &keyless[..] else {
            return Ok(done);
        };
        let names: Vec<&str> = keyless.iter().map(|c| c.name).collect();
        Err(anyhow!(
            "the key of {} is not on this node, so whoever has it must renew {}",
            first.authority,
            names.join(", ")
        ))
    }

    async fn has_old_component(&mut self) -> Result<bool> {
        Ok(!restart::old_components(self.cx, &mut self.current)
            .await?
            .is_empty())
    }

    async fn renew_in_turn(&mut self, due: &[&Renewable]) -> Result<RenewalOutcome> {
        let urgency = Urgency::new(self.cx, due)?;
        let candidate = match &mut self.candidate {
            Some(candidate) => candidate,
            None => self.candidate.insert(Candidate::new(self.cx, LEASE)),
        };
        let client = kube::as_admin(self.cx)?;
        match candidate.attempt(&client).await {
            Ok(Attempt::HeldBy(holder)) => {
                Ok(RenewalOutcome::Waits(format!("{holder} renews its own")))
            }
            Err(e) if e.is_conflict() => {
                Ok(RenewalOutcome::Waits("another node was faster".into()))
            }
            Err(error) if urgency == Urgency::Ended => {
                warn!(
                    "the API gives no Lease ({error}), and a certificate here has ended: renewed without one"
                );
                renew_here(self.cx, &client, due, urgency, &mut self.current).await
            }
            Err(error) => Err(error.into()),
            Ok(Attempt::Acquired(held)) => {
                let work = renew_here(self.cx, &client, due, urgency, &mut self.current);
                held.release_after(work).await
            }
        }
    }
}

/// How much the state of the others counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// There is time: nothing is touched while a control plane is missing.
    Due,
    /// Little is left: waiting for one that may never come back would end the cluster.
    Pressing,
    /// Something has ended or cannot be read: it serves nobody, so nothing can be made worse.
    Ended,
}

impl Urgency {
    fn new(cx: &Context, due: &[&Renewable]) -> Result<Self> {
        let now = cx.sys.clock.now_ms();
        let mut highest = Self::Due;
        for certificate in due {
            let this = match certificate.condition(&cx.sys.files)? {
                Condition::Sound(v) if v.has_ended(now) => Self::Ended,
                Condition::Sound(v) if v.is_pressing(now) => Self::Pressing,
                Condition::Sound(_) | Condition::Foreign => Self::Due,
                Condition::Absent | Condition::OtherKey(_) | Condition::Unreadable => Self::Ended,
            };
            highest = highest.max(this);
        }
        Ok(highest)
    }
}

/// Before the node is settled only what ends: what cannot be read may be kubeadm's, at work.
fn due_certificates(cx: &Context, settled: bool) -> Result<Vec<&'static Renewable>> {
    let now = cx.sys.clock.now_ms();
    let mut nearly = Vec::new();
    let mut any_is_due = false;
    let external = cx.node.has_external_etcd();
    for certificate in RENEWABLE.iter().filter(|c| !external || !c.is_of_etcd()) {
        let (is_due, is_nearly_due) = match certificate.condition(&cx.sys.files)? {
            Condition::Sound(v) => (v.is_due(now), v.is_nearly_due(now)),
            Condition::Absent => (settled && certificate.is_needed(), false),
            Condition::OtherKey(_) | Condition::Unreadable => (settled, false),
            Condition::Foreign => (false, false),
        };
        any_is_due |= is_due;
        if is_due || is_nearly_due {
            nearly.push(certificate);
        }
    }
    Ok(if any_is_due { nearly } else { Vec::new() })
}

/// Those whose authority's key is here, and the others.
fn split_by_authority(
    cx: &Context,
    due: Vec<&'static Renewable>,
) -> (Vec<&'static Renewable>, Vec<&'static Renewable>) {
    due.into_iter()
        .partition(|c| cx.sys.files.exists(&c.authority_key()))
}

async fn renew_here(
    cx: &Context,
    client: &Client,
    due: &[&Renewable],
    urgency: Urgency,
    current: &mut BTreeMap<&'static str, u64>,
) -> Result<RenewalOutcome> {
    if let Some(why) = redundancy::missing_redundancy(cx, urgency).await? {
        return Ok(RenewalOutcome::Waits(why));
    }
    if !due.is_empty() {
        let config = made::current_renewal_config(cx, client, urgency).await?;
        for certificate in due {
            made::renew_certificate(cx, certificate, &config).await?;
        }
    }
    if cx.report.phase() != Phase::Steady {
        return Ok(RenewalOutcome::Renewed);
    }
    for component in restart::old_components(cx, current).await? {
        if let Some(why) =
            redundancy::missing_redundancy(cx, urgency.min(Urgency::Pressing)).await?
        {
            return Ok(RenewalOutcome::Waits(why));
        }
        restart::restart_static_pod(cx, component).await?;
    }
    Ok(RenewalOutcome::Renewed)
}

#[cfg(test)]
mod tests;
