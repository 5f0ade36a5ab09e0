//! Room for this node in etcd: who must leave the member list, who blocks it, and what is on this node's own disk.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::join_all;
use ha_wire::event::WaitsOn;
use ha_wire::phase::Phase;
use tracing::{info, warn};

use super::resume::{is_stale, stale_members};
use crate::context::Context;
use crate::kube;
use crate::kube::etcd::{Etcd, Member};
use crate::phases::{NeedsAPerson, etcd_manifest, kubeadm};
use crate::render::kubeadm::EffectiveSettings;

/// A member says how it is from its memory: at once, or not at all.
const STATUS_WITHIN: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The first etcd that takes a member while one that votes is away, and the first kubeadm that goes on with it.
const FORGIVING_ETCD: [u32; 2] = [3, 7];
const FORGIVING_KUBEADM: [u32; 2] = [1, 37];

/// What etcd keeps in its data directory.
const DATA: &str = "member";
/// What else may lie there: what mkfs makes, and what etcd leaves when it dies in its test whether it may write.
const HARMLESS: [&str; 2] = ["lost+found", ".touch"];

/// etcd on the peers first: this node's own member may be the sick one.
pub fn etcd_client(cx: &Context) -> Result<Etcd> {
    kube::etcd_on(
        cx,
        cx.node.peers().map(|p| p.address).chain([cx.node.address]),
    )
}

/// Removes what interrupted joins and earlier machines left in the member list. Before each one the list is read anew: a
/// learner may have been promoted meanwhile.
pub async fn remove_stale_members(cx: &Context) -> Result<()> {
    let etcd = etcd_client(cx)?;
    let (name, address) = (&cx.node.name, cx.node.address);
    let list = async || etcd.members().await.context("etcd's member list");
    let stale = list().await?;
    for id in stale_members(&stale, name, address).iter().map(|m| &m.id) {
        let members = list().await?;
        let Some(member) = members.iter().find(|m| m.id == *id) else {
            continue;
        };
        let label = member.label();
        if !is_stale(member, name, address) {
            info!("etcd member {id} ({label}) votes by now: it stays");
            continue;
        }
        refuse_living_namesake(cx, std::slice::from_ref(member)).await?;
        warn!(
            "etcd member {id} ({label}) is left over from an interrupted join or an earlier machine: removing it"
        );
        let what = format!("etcd to remove the old member {label}");
        cx.report.waiting(Phase::Join, &what, "");
        let removed = etcd.remove(id).await;
        removed.with_context(|| format!("etcd member {label} cannot be removed"))?;
    }
    Ok(())
}

/// A member of this node's name that answers at another address is another machine's. (Whether one does at this node's own
/// address cannot be asked from here; see `old_machine`.)
pub async fn refuse_living_namesake(cx: &Context, members: &[Member]) -> Result<()> {
    let (name, address) = (&cx.node.name, cx.node.address);
    let elsewhere = |m: &&Member| m.name == *name && !m.is_at(address);
    for member in members.iter().filter(elsewhere) {
        if version_of(cx, member).await.is_some() {
            let at = member.client_urls.join(", ");
            bail!(
                "etcd member {name} answers at {at}, but this machine is new: does another machine have its name?"
            );
        }
    }
    Ok(())
}

/// What a member says that answers for itself.
async fn version_of(cx: &Context, member: &Member) -> Option<String> {
    let etcd = kube::etcd_at(cx, member.client_urls.clone()).ok()?;
    let status = etcd.within(STATUS_WITHIN).status().await.ok()?;
    Some(status.version)
}

/// Who blocks etcd did so for as long as there was patience.
#[derive(Debug, thiserror::Error)]
#[error("{0}: start it, make it anew, or remove its member")]
pub struct VotersSilent(String);

/// Until etcd takes a member, else [`VotersSilent`]; true if every voter answers. kubeadm 1.36 and older gives one that does not two minutes, twice: under
/// the lease, in words that name nobody.
pub async fn wait_until_voters_answer(cx: &Context, patience: Duration) -> Result<bool> {
    let begin = cx.sys.clock.monotonic();
    loop {
        let voters = ask_voters(cx).await?;
        let silent = voters.iter().filter(|voter| voter.version.is_none());
        let names: Vec<String> = silent.map(|voter| voter.name.clone()).collect();
        if names.is_empty() {
            return Ok(true);
        }
        let silent = names.join(" and ");
        if etcd_takes_one_more(&voters) && is_kubeadm_forgiving(cx).await {
            info!("{silent} does not answer: etcd takes a member all the same");
            return Ok(false);
        }
        let blocked = format!("no member joins etcd while {silent} does not answer");
        if cx.sys.clock.monotonic().saturating_sub(begin) > patience {
            return Err(VotersSilent(blocked).into());
        }
        let what = format!("its turn at etcd: the member of {silent} does not answer yet");
        let on = Some(WaitsOn::Nodes { names });
        cx.report.waiting_as_usual(Phase::Join, &what, &blocked, on);
        cx.sys.clock.sleep(POLL_INTERVAL).await;
    }
}

/// A voter of another node, with the version that it says of itself; none: it is silent.
struct Voter {
    name: String,
    version: Option<String>,
}

async fn ask_voters(cx: &Context) -> Result<Vec<Voter>> {
    let members = etcd_client(cx)?.members().await;
    let members = members.context("etcd's member list")?;
    let (name, address) = (&cx.node.name, cx.node.address);
    let others = members
        .iter()
        .filter(|m| !m.is_learner && !m.is_of(name, address));
    let asked = others.map(async |m| Voter {
        name: m.label(),
        version: version_of(cx, m).await,
    });
    Ok(join_all(asked).await)
}

/// Up to 3.6 etcd takes no member, not even a learner, while one that votes is not connected ("unhealthy cluster"). From 3.7 on it
/// takes one that leaves it a majority should it never come, as with four voters of which three answer.
fn etcd_takes_one_more(voters: &[Voter]) -> bool {
    let answering = || voters.iter().filter_map(|voter| voter.version.as_deref());
    let all_new = answering().all(|version| is_at_least(version, FORGIVING_ETCD));
    all_new && answering().count() > voters.len().div_ceil(2)
}

async fn is_kubeadm_forgiving(cx: &Context) -> bool {
    let node = kubeadm::node_for_own_kubeadm(cx).await;
    is_at_least(&node.kubernetes.version, FORGIVING_KUBEADM)
}

/// Of versions like `3.7.0`.
fn is_at_least(version: &str, least: [u32; 2]) -> bool {
    let mut parts = version.split('.').map_while(|part| part.parse().ok());
    let first_two = [parts.next(), parts.next()];
    first_two >= least.map(Some)
}

/// A directory with other things in it is not etcd's: nothing is joined that would end with data in there removed.
pub fn refuse_foreign_data(cx: &Context) -> Result<()> {
    let dir = EffectiveSettings::new(&cx.node).etcd_data;
    let is_foreign = |name: &String| name != DATA && !HARMLESS.contains(&name.as_str());
    let mut foreign = cx.sys.files.names(&dir)?;
    foreign.retain(is_foreign);
    if foreign.is_empty() {
        return Ok(());
    }
    let (some, more) = foreign.split_at(foreign.len().min(5));
    let more = if more.is_empty() { "" } else { ", ..." };
    let named = some.join(", ");
    Err(NeedsAPerson(format!(
        "{dir} is to be etcd's and holds other things ({named}{more}): move them away, or give etcd a directory of its own \
         (clusterConfiguration.etcd.local.dataDir)"
    ))
    .into())
}

/// Ends this node's own etcd and removes its data: they do not fit the member that is to come.
pub async fn remove_own_data(cx: &Context) -> Result<()> {
    etcd_manifest::end_own_etcd(cx, Phase::Join).await?;
    let dir = EffectiveSettings::new(&cx.node).etcd_data;
    cx.sys.files.remove_dir(&format!("{dir}/{DATA}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_takes_a_member_past_a_silent_one_from_3_7_on_and_from_four_voters_on() {
        let takes = |versions: &str| {
            let voter = |version: &str| Voter {
                name: "node1".into(),
                version: (version != "-").then(|| version.to_owned()),
            };
            let voters: Vec<Voter> = versions.split(' ').map(voter).collect();
            etcd_takes_one_more(&voters)
        };
        for taken in [
            "3.7.0 3.7.0 3.7.0 -",
            "3.7.1 3.10.0 4.0.0 - 3.7.0",
            "3.7.0 3.7.0 3.7.0 3.7.0 3.7.0 - -",
        ] {
            assert!(takes(taken), "{taken}");
        }
        for refused in [
            "3.7.0 -",
            "3.7.0 3.7.0 -",
            "3.7.0 3.7.0 - -",
            "3.7.0 3.7.0 3.7.0 - -",
            "3.7.0 3.6.8 3.7.0 -",
            "3.6.8 3.6.8 3.6.8 3.6.8 -",
        ] {
            assert!(!takes(refused), "{refused}");
        }
    }
}
