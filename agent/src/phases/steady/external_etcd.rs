//! Somebody else's etcd as this node sees it: each endpoint by itself.

use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::future::join_all;
use ha_wire::status::{EtcdAlarm, EtcdEndpoint, EtcdStatus};

use crate::context::Context;
use crate::kube;
use crate::kube::etcd::{Alarm, MemberStatus};

/// A member says how it is from its memory: at once, or not at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Tells how each endpoint is. A fault of this node: none of them answers it.
pub async fn observe_members(
    cx: &Context,
    alarms: &mut Vec<Alarm>,
    asks_alarms: bool,
) -> Result<()> {
    let urls = &cx.node.kubernetes.external_etcd;
    let answers = join_all(urls.iter().map(|url| ask_member(cx, url))).await;
    if asks_alarms && answers.iter().any(Result::is_ok) {
        *alarms = kube::external_etcd(cx)?
            .within(ANSWER_WITHIN)
            .alarms()
            .await?;
    }
    let leader = answers.iter().flatten().next();
    let leader = leader.map(|status| status.leader.clone());
    let endpoint = |(url, answer): (&String, &Result<MemberStatus, String>)| EtcdEndpoint {
        url: url.clone(),
        error: answer.as_ref().err().cloned().unwrap_or_default(),
    };
    let endpoints: Vec<EtcdEndpoint> = urls.iter().zip(&answers).map(endpoint).collect();
    let all_failed = answers.iter().all(Result::is_err);
    let seen = EtcdStatus {
        expected: u32::try_from(urls.len()).unwrap_or(u32::MAX),
        members: Vec::new(),
        voter: false,
        leader: leader.unwrap_or_default(),
        alarms: alarms
            .iter()
            .map(|alarm| EtcdAlarm::new(&alarm.kind, format!("member {}", alarm.member)))
            .collect(),
        database_bytes: None,
        quota_bytes: None,
        endpoints,
        elections_ms: Vec::new(),
    };
    cx.report.update_status(|s| s.etcd = Some(seen));
    if all_failed {
        bail!("no endpoint of the external etcd answers this node");
    }
    Ok(())
}

/// The error in words without the address, which stands beside it.
async fn ask_member(cx: &Context, url: &String) -> Result<MemberStatus, String> {
    let etcd = kube::external_etcd_at(cx, std::slice::from_ref(url));
    let etcd = etcd.map_err(|e| format!("{e:#}"))?.within(ANSWER_WITHIN);
    let status = etcd.status().await.map_err(|e| e.kind.to_string())?;
    match status.knows_leader() {
        true => Ok(status),
        false => Err("it knows no leader".to_owned()),
    }
}
