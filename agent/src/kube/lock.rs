//! A Lease held for the length of some work: waited for, renewed while the work goes on, let go the moment it may be.

use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use ha_kube::lease::{self, Decision, Holder, LeaseObservation, RENEW_S};
use ha_kube::objects::Lease;
use ha_kube::{ApiError, Client};
use ha_wire::phase::Phase;
use tracing::{info, warn};

use crate::backoff::spread_pause;
use crate::context::Context;
use crate::sys::random::random_fraction;

/// How often a waiting node looks: the lease is let go at a moment that others should not sleep through.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// While a new etcd member joins, the apiserver may hold a request until it is given up; asking anew is quicker.
const POLL_DEADLINE: Duration = Duration::from_secs(2);
/// The kernel's boot id.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A lease that this node holds.
#[derive(Debug)]
pub struct HeldLease<'a> {
    cx: &'a Context,
    client: Client,
    me: Holder,
    lease: RefCell<Lease>,
}

/// Waits until the lease is ours, and tells meanwhile who has it.
pub async fn acquire_lease<'a>(
    cx: &'a Context,
    client: Client,
    name: &'static str,
    phase: Phase,
) -> Result<HeldLease<'a>> {
    let mut candidate = Candidate::new(cx, name)?;
    loop {
        match candidate.attempt(&client).await {
            Ok(Attempt::Acquired(held)) => return Ok(*held),
            Ok(Attempt::HeldBy(holder)) => cx.report.waiting(
                phase,
                &format!("its turn to join etcd: {holder} is joining"),
                "",
            ),
            Err(e) if e.is_conflict() => {}
            Err(error) => cx
                .report
                .waiting(phase, &format!("lease {name}"), &error.to_string()),
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
    pub fn new(cx: &'a Context, name: &'static str) -> Result<Self> {
        Ok(Self {
            cx,
            name,
            me: this_boot(cx)?,
            seen: None,
        })
    }

    /// Takes the lease if nobody has it; a conflict means that another node was faster.
    pub async fn attempt(&mut self, client: &Client) -> Result<Attempt<'a>, ApiError> {
        let now = self.cx.sys.clock.now_ms();
        let (name, me) = (self.name, &self.me);
        let looking = client.clone().within(POLL_DEADLINE);
        let before = self.seen.take();
        let found = looking.lease(name).await?;
        self.seen = lease::observe_lease(before, found.as_ref(), now);
        let decision = lease::decide_on_lease(found.as_ref(), me, self.seen.as_ref(), now);
        if let Decision::Wait { holder } = decision {
            return Ok(Attempt::HeldBy(holder));
        }
        let lease = claim_lease(&looking, name, found.as_ref(), me, now).await?;
        info!("{name} is ours ({decision:?})");
        Ok(Attempt::Acquired(Box::new(HeldLease {
            cx: self.cx,
            client: client.clone(),
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
    now: u64,
) -> Result<Lease, ApiError> {
    let wanted = lease::claimed_lease(name, found, me, now);
    match found {
        None => client.create_lease(&wanted).await,
        Some(_) => client.update_lease(&wanted).await,
    }
}

fn this_boot(cx: &Context) -> Result<Holder> {
    let boot = cx
        .sys
        .files
        .read(BOOT_ID)?
        .unwrap_or_default()
        .trim()
        .to_owned();
    Ok(Holder {
        node: cx.node.name.clone(),
        boot,
    })
}

impl HeldLease<'_> {
    /// Does some work and says meanwhile that this node lives. Ends with the work.
    pub async fn while_held<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.renew_for_ever() => match never {},
        }
    }

    async fn renew_for_ever(&self) -> std::convert::Infallible {
        loop {
            self.cx.sys.clock.sleep(Duration::from_secs(RENEW_S)).await;
            if let Err(error) = self.renew().await {
                // Not to be helped: the work cannot be taken back. Who takes over removes what was left half-done.
                warn!("not renewed: {error}");
            }
        }
    }

    async fn renew(&self) -> Result<(), ApiError> {
        let now = self.cx.sys.clock.now_ms();
        let wanted = lease::claimed_lease("", Some(&self.lease.borrow().clone()), &self.me, now);
        let fresh = match self.client.update_lease(&wanted).await {
            Err(e) if e.is_conflict() => match self.client.lease(&wanted.metadata.name).await? {
                Some(found) if lease::is_held_by(&found, &self.me) => found,
                _ => return Err(e),
            },
            other => other?,
        };
        self.lease.replace(fresh);
        Ok(())
    }

    /// Lets go. A failure is no fault of the work: the lease then ends by itself.
    pub async fn release(self) {
        let name = self.lease.borrow().metadata.name.clone();
        for _ in 0..RELEASE_TRIES {
            let tried = async {
                match self.client.lease(&name).await? {
                    Some(found) if lease::is_held_by(&found, &self.me) => self
                        .client
                        .update_lease(&lease::lease_without_holder(&found))
                        .await
                        .map(drop),
                    _ => Ok(()),
                }
            };
            match tried.await {
                Ok(()) => return info!("{name} is free"),
                Err(error) => warn!("{name} is not free yet: {error}"),
            }
            self.cx.sys.clock.sleep(POLL_INTERVAL).await;
        }
    }
}

/// etcd pauses for a moment when a member joins; the lease would end by itself after 20 s anyway.
const RELEASE_TRIES: u32 = 20;

#[cfg(test)]
mod tests;
