//! Who may do what only one node at a time may do: the decisions around a Lease, pure.
//!
//! Whether a holder is dead is judged by this process' own clock: a lease that did not change for its whole duration
//! *while it could be read* has no living holder. Nodes' clocks are never compared.

use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

use crate::objects::{Lease, LeaseSpec, Metadata};

/// A holder who says nothing for so long is dead. Longer than the API's pause while etcd grows from one member to two
/// and longer than a failover; shorter than the patience of who waits.
pub const DURATION_S: u32 = 20;
/// The holder says that it lives this often: four failures in a row are allowed.
pub const RENEW_S: u64 = 4;

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
    since_ms: u64,
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

/// What this process has seen after one more look. A failed look is no look: pass none, and the watch starts anew.
pub fn observe_lease(
    before: Option<LeaseObservation>,
    lease: Option<&Lease>,
    now_ms: u64,
) -> Option<LeaseObservation> {
    let record = observed_spec(&lease?.spec);
    match before {
        Some(seen) if seen.record == record => Some(seen),
        _ => Some(LeaseObservation {
            record,
            since_ms: now_ms,
        }),
    }
}

/// What to do, given the lease, who we are and what we have seen so far.
pub fn decide_on_lease(
    lease: Option<&Lease>,
    me: &Holder,
    seen: Option<&LeaseObservation>,
    now_ms: u64,
) -> Decision {
    let Some(lease) = lease else {
        return Decision::Create;
    };
    let holder = lease.spec.holder_identity.as_deref().unwrap_or_default();
    if holder == me.identity() {
        return Decision::Renew;
    }
    let node = holder.split('/').next().unwrap_or_default();
    if node.is_empty() || node == me.node {
        return Decision::Take;
    }
    let patience_ms = 1000 * u64::from(lease.spec.lease_duration_seconds.unwrap_or(DURATION_S));
    let unchanged_ms = seen
        .filter(|s| s.record == observed_spec(&lease.spec))
        .map_or(0, |s| now_ms.saturating_sub(s.since_ms));
    if unchanged_ms >= patience_ms {
        Decision::Take
    } else {
        Decision::Wait {
            holder: node.to_owned(),
        }
    }
}

/// The lease with us as its holder.
pub fn claimed_lease(name: &str, before: Option<&Lease>, me: &Holder, now_ms: u64) -> Lease {
    let held_before =
        before.is_some_and(|l| l.spec.holder_identity.as_deref() == Some(&me.identity()));
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
