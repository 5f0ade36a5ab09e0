//! Whether the control plane is whole, so that a step on this node may go wrong without anybody noticing.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use ha_kube::Client;
use ha_kube::etcd::Member;

use super::Urgency;
use crate::context::Context;
use crate::kube::{apiserver_url, cluster_ca, etcd_on};
use crate::phases::balancer::configured_backends;

/// A component that is well answers in milliseconds, on a very busy machine in seconds; nobody waits for this.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What is missing for a step now; none: nothing.
pub async fn missing_redundancy(cx: &Context, urgency: Urgency) -> Result<Option<String>> {
    let me = (cx.node.name.clone(), cx.node.address);
    let whose = match urgency {
        Urgency::Ended => return Ok(None),
        Urgency::Pressing => vec![me],
        Urgency::Due => configured_backends(cx)?
            .into_iter()
            .map(|peer| (peer.name, peer.address))
            .collect(),
    };
    for (name, address) in whose {
        if let Some(why) = what_is_wrong_on(cx, address).await? {
            return Ok(Some(format!("{name}: {why}")));
        }
    }
    Ok(None)
}

async fn what_is_wrong_on(cx: &Context, address: IpAddr) -> Result<Option<String>> {
    let apiserver = Client::new(apiserver_url(cx, address), &cluster_ca(cx)?, None)?;
    if let Err(error) = apiserver.within(ANSWER_WITHIN).ready().await {
        return Ok(Some(format!("kube-apiserver: {error}")));
    }
    // Its `/readyz` asks etcd itself; an external one is not this node's to judge.
    if cx.node.has_external_etcd() {
        return Ok(None);
    }
    let etcd = etcd_on(cx, [address])?.within(ANSWER_WITHIN);
    // The list comes from the quorum, the leader is what this very member knows.
    let (members, status) = tokio::join!(etcd.members(), etcd.status());
    Ok(match (members, status) {
        (Err(error), _) | (_, Err(error)) => Some(format!("etcd: {error}")),
        (_, Ok(status)) if !status.knows_leader() => Some("etcd knows no leader".into()),
        (Ok(members), _) => members
            .iter()
            .find(|m| !m.is_voter())
            .map(|m: &Member| format!("etcd: {} does not vote", m.label())),
    })
}
