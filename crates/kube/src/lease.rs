//! Who may do what only one node at a time may do: the decisions around a Lease, pure.
//!
//! Whether a holder is dead is judged by this process' own clock, one that nobody sets: a lease that did not change for its
//! whole duration *while it could be read* has no living holder. Nodes' clocks are never compared.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

use crate::objects::{Lease, LeaseSpec, Metadata};

/// A holder who says nothing for so long is dead. Longer than the API's pause while etcd grows from one member to two
/// and longer than a failover; shorter than the patience of who waits.
pub const DURATION_S: u32 = 20;
/// The holder says that it lives this often: four failures in a row are allowed.
pub const RENEW_S: u64 = 4;
/// What another duration in the object is held within: who may write a Lease can neither stop the others for years nor make
/// them take it from a holder that lives.
const DURATION_BOUNDS_S: (u32, u32) = (10, 60);

const MICRO_TIME: &[FormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// A node in one of its lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The node's name.
    pub node: String,
    /// The kernel's boot id.
    pub boot: String,
}

impl Holder {
    fn identity(&self) -> String {
        format!("{}/{}", self.node, self.boot)
    }
}

/// A lease as this process saw it, and since when it has not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseObservation {
    record: ObservedSpec,
    since: Duration,
}

impl LeaseObservation {
    /// For how long it has stood still.
    pub fn unchanged_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ObservedSpec {
    holder: String,
    renewed: String,
}

/// What to do about a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// There is none: make it.
    Create,
    /// It is free, expired, or from an earlier life of this node: take it.
    Take,
    /// It is ours: say so again.
    Renew,
    /// Somebody else lives and holds it.
    Wait {
        /// The node that holds it.
        holder: String,
    },
}

/// What this process has seen after one more look, `now` by a clock that is never set. A failed look is not a look: pass none,
/// and the watch starts anew.
pub fn observe_lease(
    before: Option<LeaseObservation>,
    lease: Option<&Lease>,
    now: Duration,
) -> Option<LeaseObservation> {
    let record = observed_spec(&lease?.spec);
    match before {
        Some(seen) if seen.record == record => Some(seen),
        _ => Some(LeaseObservation { record, since: now }),
    }
}

/// For how long a lease stands still before its holder is dead.
pub fn patience_with(lease: &Lease, default_s: u32) -> Duration {
    let (least, most) = DURATION_BOUNDS_S;
    let written = lease.spec.lease_duration_seconds.unwrap_or(default_s);
    Duration::from_secs(written.clamp(least, most).into())
}

/// What to do, given the lease, who we are and what we have seen so far.
pub fn decide_on_lease(
    lease: Option<&Lease>,
    me: &Holder,
    seen: Option<&LeaseObservation>,
    now: Duration,
) -> Decision {
    let Some(lease) = lease else {
        return Decision::Create;
    };
    if is_held_by(lease, me) {
        return Decision::Renew;
    }
    let node = holding_node(lease);
    if node.is_empty() || node == me.node {
        return Decision::Take;
    }
    let unchanged = seen
        .filter(|s| s.record == observed_spec(&lease.spec))
        .map_or(Duration::ZERO, |s| s.unchanged_for(now));
    if unchanged >= patience_with(lease, DURATION_S) {
        Decision::Take
    } else {
        Decision::Wait {
            holder: node.to_owned(),
        }
    }
}

/// The lease with us as its holder, since `now_ms` by the time of day: that is for people.
pub fn claimed_lease(name: &str, before: Option<&Lease>, me: &Holder, now_ms: u64) -> Lease {
    let held_before = before.is_some_and(|lease| is_held_by(lease, me));
    let now = format_micro_time(now_ms);
    let old = before.map(|l| l.spec.clone()).unwrap_or_default();
    Lease {
        api_version: "coordination.k8s.io/v1".into(),
        kind: "Lease".into(),
        metadata: before.map_or_else(
            || Metadata {
                name: name.into(),
                namespace: "kube-system".into(),
                ..Metadata::default()
            },
            |l| l.metadata.clone(),
        ),
        spec: LeaseSpec {
            holder_identity: Some(me.identity()),
            lease_duration_seconds: Some(DURATION_S),
            acquire_time: if held_before {
                old.acquire_time
            } else {
                Some(now.clone())
            },
            renew_time: Some(now),
            lease_transitions: Some(old.lease_transitions.unwrap_or(0) + u32::from(!held_before)),
        },
    }
}

/// The lease with nobody as its holder.
pub fn lease_without_holder(lease: &Lease) -> Lease {
    let mut free = lease.clone();
    free.spec.holder_identity = Some(String::new());
    free
}

/// The node that holds it; empty: nobody.
pub fn holding_node(lease: &Lease) -> &str {
    let holder = lease.spec.holder_identity.as_deref().unwrap_or_default();
    holder.split('/').next().unwrap_or_default()
}

/// Whether the lease is held by this very life of this node.
pub fn is_held_by(lease: &Lease, me: &Holder) -> bool {
    lease.spec.holder_identity.as_deref() == Some(&me.identity())
}

fn observed_spec(spec: &LeaseSpec) -> ObservedSpec {
    ObservedSpec {
        holder: spec.holder_identity.clone().unwrap_or_default(),
        renewed: spec.renew_time.clone().unwrap_or_default(),
    }
}

fn format_micro_time(now_ms: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(now_ms) * 1_000_000)
        .ok()
        .and_then(|t| t.format(MICRO_TIME).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
