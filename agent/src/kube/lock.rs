//! A Lease held for the length of some work: waited for, renewed while the work goes on, let go the moment it may be. Who
//! loses it gives its work up.

use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

use anyhow::{Result, bail};
use ha_kube::lease::{self, Decision, Holder, LeaseObservation, RENEW_S};
use ha_kube::objects::Lease;
use ha_kube::{ApiError, Client};
use ha_wire::event::WaitsOn;
use ha_wire::phase::Phase;
use tracing::{info, warn};

use super::as_admin;
use crate::backoff::spread_pause;
use crate::clients::Ca;
use crate::context::Context;
use crate::sys::proc::boot_id;
use crate::sys::random::random_fraction;

/// How often a waiting node looks: the lease is let go at a moment that others should not sleep through.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// While a new etcd member joins, the apiserver may hold a request until it is given up; asking anew is quicker.
const POLL_DEADLINE: Duration = Duration::from_secs(2);
/// A wait that is longer ends as a failed attempt, which the next one begins anew: several nodes may have their turn first.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// A lease of kube-system, and what is done under it.
#[derive(Debug, Clone, Copy)]
pub struct LeaseFor {
    pub name: &'static str,
    /// The phase that waits for it.
    pub phase: Phase,
    /// In words, after `its turn to`.
    pub work: &'static str,
}

/// Another node has the lease: the work was given up where it stood.
#[derive(Debug, thiserror::Error)]
#[error(
    "{holder} has taken over the lease {name}, which this node did not renew in time: its work was given up"
)]
pub struct LeaseLost {
    pub name: String,
    pub holder: String,
}

/// A lease that this node holds.
#[derive(Debug)]
pub struct HeldLease<'a> {
    cx: &'a Context,
    me: Holder,
    lease: RefCell<Lease>,
}

/// Waits until the lease is ours, and tells meanwhile who has it.
pub async fn acquire_lease<'a>(cx: &'a Context, wanted: &LeaseFor) -> Result<HeldLease<'a>> {
    let mut candidate = Candidate::new(cx, wanted.name);
    let begin = cx.sys.clock.monotonic();
    // A certificate that was refused was replaced just now.
    let mut is_new = false;
    loop {
        // Anew each time: its certificate lives for two hours.
        let (what, why, holder) = match candidate.attempt(&as_admin(cx)?).await {
            Ok(Attempt::Acquired(held)) => return Ok(*held),
            Ok(Attempt::HeldBy(holder)) => {
                let turn = format!("its turn to {}: {holder} does it now", wanted.work);
                (turn, String::new(), holder)
            }
            Err(error) if error.status() == Some(401) && is_new => return Err(error.into()),
            Err(error) => {
                is_new = error.status() == Some(401);
                if is_new {
                    cx.clients.forget_minted(Ca::Cluster);
                }
                let turn = format!("its turn to {}: the API is busy", wanted.work);
                (
                    turn,
                    format!("lease {}: {error}", wanted.name),
                    String::new(),
                )
            }
        };
        let name = wanted.name.to_owned();
        let on = Some(WaitsOn::Lease { name, holder });
        cx.report.waiting_as_usual(wanted.phase, &what, &why, on);
        if cx.sys.clock.monotonic().saturating_sub(begin) > PATIENCE {
            let (name, minutes) = (wanted.name, PATIENCE.as_secs() / 60);
            bail!("lease {name} did not become free in {minutes} min; waited for {what}: {why}");
        }
        let pause = spread_pause(POLL_INTERVAL, random_fraction());
        cx.sys.clock.sleep(pause).await;
    }
}

/// A node that wants a lease, with what it has seen of the lease so far.
#[derive(Debug)]
pub struct Candidate<'a> {
    cx: &'a Context,
    name: &'static str,
    me: Holder,
    seen: Option<LeaseObservation>,
}

/// What became of one attempt to take a lease.
#[derive(Debug)]
pub enum Attempt<'a> {
    /// It is ours.
    Acquired(Box<HeldLease<'a>>),
    /// Another node has it: this one.
    HeldBy(String),
}

impl<'a> Candidate<'a> {
    /// Nothing is asked yet.
    pub fn new(cx: &'a Context, name: &'static str) -> Self {
        Self {
            cx,
            name,
            me: holder_of_this_boot(cx),
            seen: None,
        }
    }

    /// Takes the lease if nobody has it; a conflict means that another node was faster.
    pub async fn attempt(&mut self, client: &Client) -> Result<Attempt<'a>, ApiError> {
        let clock = &self.cx.sys.clock;
        let (name, me) = (self.name, &self.me);
        let looking = client.clone().within(POLL_DEADLINE);
        let before = self.seen.take();
        let found = looking.lease(name).await?;
        let now = clock.monotonic();
        self.seen = lease::observe_lease(before, found.as_ref(), now);
        let decision = lease::decide_on_lease(found.as_ref(), me, self.seen.as_ref(), now);
        if let Decision::Wait { holder } = decision {
            return Ok(Attempt::HeldBy(holder));
        }
        let lease = claim_lease(&looking, name, found.as_ref(), me, clock.now_ms()).await?;
        info!("{name} is ours ({decision:?})");
        Ok(Attempt::Acquired(Box::new(HeldLease {
            cx: self.cx,
            me: me.clone(),
            lease: RefCell::new(lease),
        })))
    }
}

async fn claim_lease(
    client: &Client,
    name: &str,
    found: Option<&Lease>,
    me: &Holder,
    now_ms: u64,
) -> Result<Lease, ApiError> {
    let wanted = lease::claimed_lease(name, found, me, now_ms);
    match found {
        None => client.create_lease(&wanted).await,
        Some(_) => client.update_lease(&wanted).await,
    }
}

fn holder_of_this_boot(cx: &Context) -> Holder {
    Holder {
        node: cx.node.name.clone(),
        boot: boot_id(&cx.sys.files),
    }
}

impl HeldLease<'_> {
    /// Does some work and says meanwhile that this node lives. Ends with the work; if another node has the lease, the work is
    /// dropped where it stands.
    pub async fn while_held<T>(&self, work: impl Future<Output = T>) -> Result<T, LeaseLost> {
        tokio::select! {
            done = work => Ok(done),
            lost = self.renew_until_lost() => Err(lost),
        }
    }

    /// The same for all that is done under the lease, which is then let go.
    pub async fn release_after<T>(self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let done = self.while_held(work).await?;
        self.release().await;
        done
    }

    /// An API that cannot be reached takes the lease from nobody: the others cannot read it either, and wait its whole time
    /// once they can.
    async fn renew_until_lost(&self) -> LeaseLost {
        loop {
            self.cx.sys.clock.sleep(Duration::from_secs(RENEW_S)).await;
            match self.renew().await {
                Ok(None) => {}
                Ok(Some(lost)) => return lost,
                Err(error) => warn!("not renewed: {error:#}"),
            }
        }
    }

    /// Says once that this node lives, or who has the lease instead.
    async fn renew(&self) -> Result<Option<LeaseLost>> {
        let client = as_admin(self.cx)?;
        let now_ms = self.cx.sys.clock.now_ms();
        let known = self.lease.borrow().clone();
        let wanted = lease::claimed_lease("", Some(&known), &self.me, now_ms);
        let name = &wanted.metadata.name;
        let fresh = match client.update_lease(&wanted).await {
            Err(e) if e.is_conflict() => match client.lease(name).await? {
                Some(found) if lease::is_held_by(&found, &self.me) => found,
                Some(found) if !lease::holding_node(&found).is_empty() => {
                    let holder = lease::holding_node(&found).to_owned();
                    let name = name.clone();
                    return Ok(Some(LeaseLost { name, holder }));
                }
                _ => return Err(e.into()),
            },
            other => other?,
        };
        self.lease.replace(fresh);
        Ok(None)
    }

    /// Lets go. A failure is no fault of the work: the lease then ends by itself.
    pub async fn release(self) {
        let name = self.lease.borrow().metadata.name.clone();
        for _ in 0..RELEASE_TRIES {
            match self.let_go(&name).await {
                Ok(()) => return info!("{name} is free"),
                Err(error) => warn!("{name} is not free yet: {error:#}"),
            }
            self.cx.sys.clock.sleep(POLL_INTERVAL).await;
        }
    }

    async fn let_go(&self, name: &str) -> Result<()> {
        let client = as_admin(self.cx)?;
        if let Some(found) = client.lease(name).await?
            && lease::is_held_by(&found, &self.me)
        {
            client
                .update_lease(&lease::lease_without_holder(&found))
                .await?;
        }
        Ok(())
    }
}

/// etcd pauses for a moment when a member joins; the lease would end by itself after 20 s anyway.
const RELEASE_TRIES: u32 = 20;

#[cfg(test)]
mod tests;
