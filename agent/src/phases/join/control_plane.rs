//! A control plane's join in three parts: what needs no lock, etcd under the lock, the components after it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ha_wire::phase::Phase;
use tracing::{debug, info, warn};

use super::members::{self, VotersSilent, etcd_client};
use super::old_machine;
use super::resume::{
    EtcdStep, JoinFacts, JoinPlan, Membership, membership_in_list, remaining_steps,
};
use super::{ConfigFile, has_kubelet_state, is_registered, join_run_config, start_known_kubelet};
use crate::context::Context;
use crate::kube::client::Client;
use crate::kube::etcd::Member;
use crate::kube::lock::{self, HeldLease, LeaseFor};
use crate::kube::{self, ADMIN_CONF, KUBELET_PEM, STATIC_PODS, cluster_ca, pki_file, pod_manifest};
use crate::phases::{images, kubeadm, kubeadm_files};
use crate::render::kubeadm::EffectiveSettings;

/// Held by the one control plane that joins etcd.
const LEASE: LeaseFor = LeaseFor {
    name: "ha-agent-etcd-join",
    phase: Phase::Join,
    work: "join etcd",
};
/// The own apiserver answers in a millisecond or not at all.
const OWN_API: Duration = Duration::from_secs(1);
/// Each look at the member list while kubeadm joins etcd: the next node waits for what it says. While etcd grows it may be
/// without a quorum for a moment; asking anew is quicker than waiting.
const MEMBERS_WITHIN: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// For so long a member that does not answer is waited for before the attempt fails with its name, and under the lease: one
/// that has just been promoted, or is busy, answers within seconds.
const BLOCKED_WITHOUT_LEASE: Duration = Duration::from_secs(30);
const BLOCKED_UNDER_LEASE: Duration = Duration::from_secs(6);

/// What the two runs of kubeadm are called in the names of their configuration files.
const PREPARE_RUN: &str = "join-prepare";
const COMPONENTS_RUN: &str = "join";

/// Phases of `kubeadm join` that are not for the part before the lock.
const NOT_BEFORE: [&str; 5] = [
    "control-plane-prepare/control-plane",
    "check-etcd",
    "etcd-join",
    "control-plane-join",
    "wait-control-plane",
];
/// Phases that the part before the lock has done.
const NOT_AFTER: [&str; 6] = [
    "preflight",
    "control-plane-prepare/download-certs",
    "control-plane-prepare/certs",
    "control-plane-prepare/kubeconfig",
    "kubelet-start",
    "kubelet-wait-bootstrap",
];

/// Both runs of kubeadm.
pub fn config_files(cx: &Context) -> Vec<ConfigFile> {
    vec![
        join_run_config(cx, PREPARE_RUN, &NOT_BEFORE),
        join_run_config(cx, COMPONENTS_RUN, &NOT_AFTER),
    ]
}

/// What is left to do on this control plane.
pub async fn plan_join(cx: &Context) -> Result<JoinPlan> {
    Ok(remaining_steps(observe_join(cx).await?))
}

/// Does what is left to do.
pub async fn join_control_plane(cx: &Context) -> Result<()> {
    let plan = plan_join(cx).await?;
    info!("left to do of the join: {plan}");
    if plan.etcd == EtcdStep::Join {
        members::refuse_foreign_data(cx)?;
        members::refuse_living_namesake(cx, &etcd_client(cx)?.members().await?).await?;
    }
    if plan.prepare {
        prepare_node(cx).await?;
    }
    match plan.etcd {
        EtcdStep::Join => join_etcd_under_lease(cx).await,
        EtcdStep::Leave if plan.components => {
            run_components(cx, &["check-etcd", "etcd-join"]).await
        }
        EtcdStep::Leave => Ok(()),
    }
}

async fn observe_join(cx: &Context) -> Result<JoinFacts> {
    let files = &cx.sys.files;
    let all_whole = |names: &[String]| kubeadm_files::are_whole(files, names);
    let client = kube::as_admin(cx)?;
    let node = client.node(&cx.node.name).await?;
    let (etcd, member) = observe_etcd(cx).await?;
    let own = Client::new(
        kube::apiserver_url(cx, cx.node.address),
        &cluster_ca(cx)?,
        None,
    )?
    .within(OWN_API);
    Ok(JoinFacts {
        kubelet: is_registered(cx, &client).await?,
        certificates: all_whole(&certificate_files(cx))?,
        manifests: all_whole(
            &[
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
            ]
            .map(pod_manifest),
        )?,
        etcd,
        member,
        marked: node.is_some_and(|n| n.is_control_plane()),
        ready: own.ready().await.is_ok(),
    })
}

/// Whether etcd's data and its pod are here, and what etcd says of this node. An external one has to answer from here, or the
/// apiserver would start in vain; nothing of it is joined.
async fn observe_etcd(cx: &Context) -> Result<(bool, Membership)> {
    if cx.node.has_external_etcd() {
        let asked = kube::external_etcd(cx)?.status().await;
        asked.context("no endpoint of the external etcd answers")?;
        return Ok((true, Membership::Voter));
    }
    let files = &cx.sys.files;
    let members = etcd_client(cx)?.members().await;
    let members = members.context("etcd's member list")?;
    let data = format!("{}/member", EffectiveSettings::new(&cx.node).etcd_data);
    let pod = [pod_manifest("etcd")];
    let is_here = files.exists(&data) && kubeadm_files::are_whole(files, &pod)?;
    Ok((is_here, own_membership(cx, &members)))
}

/// What kubeadm makes before the lock.
fn certificate_files(cx: &Context) -> Vec<String> {
    let mut files = vec![ADMIN_CONF.to_owned()];
    let external = cx.node.has_external_etcd();
    let signed = kubeadm_files::SIGNED.into_iter();
    let signed = signed.filter(|name| !external || !name.contains("etcd"));
    files.extend(signed.map(|name| pki_file(&format!("{name}.crt"))));
    files.extend(["controller-manager", "scheduler"].map(|n| format!("/etc/kubernetes/{n}.conf")));
    files
}

/// Certificates, kubeconfigs and the kubelet, images too: as many nodes at once as there are.
async fn prepare_node(cx: &Context) -> Result<()> {
    let client = kube::as_admin(cx)?;
    let mut skip = NOT_BEFORE.to_vec();
    if has_kubelet_state(cx)? && start_known_kubelet(cx, &client).await? {
        skip.push("kubelet-start");
    } else {
        remove_old_node(cx, &client).await?;
        kubeadm::reset_kubelet_failures(cx).await?;
    }
    // A kubelet that starts without this directory finds what comes into it only 20 s later.
    cx.sys.files.make_dir(STATIC_PODS)?;
    let config = join_run_config(cx, PREPARE_RUN, &skip);
    kubeadm::run_kubeadm(cx, Phase::Join, &["join"], &config).await
}

/// kubeadm refuses to join under the name of a node that is Ready. On a disk without a kubelet's certificate it is the node
/// that this machine was before, once that one is silent.
async fn remove_old_node(cx: &Context, client: &Client) -> Result<()> {
    let name = &cx.node.name;
    if cx.sys.files.exists(KUBELET_PEM) {
        return Ok(());
    }
    let Some(node) = client.node(name).await? else {
        return Ok(());
    };
    if !old_machine::is_this_machine(cx, &node)? {
        old_machine::wait_until_silent(cx, client).await?;
    }
    info!("this disk has no kubelet's certificate: removing the old Node object of {name}");
    client
        .delete_node(name)
        .await
        .with_context(|| format!("the old Node object of {name} cannot be removed"))
}

/// The lock is let go when the member votes; kubeadm goes on meanwhile with its components. Who loses it is stopped, with
/// kubeadm: another node has begun to change the members, and the next attempt goes on from what both left.
async fn join_etcd_under_lease(cx: &Context) -> Result<()> {
    images::ensure_etcd_image(cx).await;
    let (held, all_answer) = wait_for_turn(cx).await?;
    // It would wait two minutes for who is silent, and go on all the same: everybody else with it, for the lease is held.
    let skip: &[&str] = if all_answer { &[] } else { &["check-etcd"] };
    let work = run_components(cx, skip);
    tokio::pin!(work);
    let ended = tokio::select! {
        ended = &mut work => Some(ended),
        votes = held.while_held(wait_until_member_votes(cx)) => votes.map(|()| None)?,
    };
    match ended {
        Some(ended) => {
            held.release().await;
            ended
        }
        None => release_lease_during(held, work).await,
    }
}

/// The lease, and whether every voter answers. A voter that falls silent, as the last that joined may for some seconds, is waited
/// for without it.
async fn wait_for_turn(cx: &Context) -> Result<(HeldLease<'_>, bool)> {
    // A member of this node's own is removed before anything is waited for: of two that were made anew at once each would
    // wait for the other's.
    let members = etcd_client(cx)?.members().await?;
    let mut waits_first = own_membership(cx, &members) == Membership::None;
    loop {
        if std::mem::replace(&mut waits_first, true) {
            members::wait_until_voters_answer(cx, BLOCKED_WITHOUT_LEASE).await?;
        }
        let held = lock::acquire_lease(cx, &LEASE).await?;
        match held.while_held(clear_own_leftovers(cx)).await? {
            Ok(all_answer) => return Ok((held, all_answer)),
            Err(error) => {
                held.release().await;
                if !error.is::<VotersSilent>() {
                    return Err(error);
                }
            }
        }
    }
}

/// What was left over of this node's own member votes too: it must be gone before anybody looks. True if every voter answers.
async fn clear_own_leftovers(cx: &Context) -> Result<bool> {
    members::remove_stale_members(cx).await?;
    members::remove_own_data(cx).await?;
    members::wait_until_voters_answer(cx, BLOCKED_UNDER_LEASE).await
}

/// Until etcd's quorum says that this node's member votes.
async fn wait_until_member_votes(cx: &Context) {
    loop {
        cx.sys.clock.sleep(POLL_INTERVAL).await;
        match list_members(cx).await {
            Ok(members) if own_membership(cx, &members) == Membership::Voter => {
                return try_put_on_disk(cx).await;
            }
            Ok(_) => {}
            Err(error) => debug!("etcd's member list: {error:#}"),
        }
    }
}

/// Before others build on this member.
async fn try_put_on_disk(cx: &Context) {
    if let Err(error) = kubeadm::put_on_disk(cx).await {
        warn!("{error:#}");
    }
}

async fn list_members(cx: &Context) -> Result<Vec<Member>> {
    Ok(etcd_client(cx)?.within(MEMBERS_WITHIN).members().await?)
}

fn own_membership(cx: &Context, members: &[Member]) -> Membership {
    membership_in_list(members, &cx.node.name, cx.node.address)
}

async fn release_lease_during(
    held: HeldLease<'_>,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    info!("this node's etcd member votes");
    tokio::join!(held.release(), work).1
}

/// kubeadm with the phases that come once the kubelet runs.
async fn run_components(cx: &Context, also_skip: &[&str]) -> Result<()> {
    let skip: Vec<&str> = NOT_AFTER.iter().chain(also_skip).copied().collect();
    let config = join_run_config(cx, COMPONENTS_RUN, &skip);
    kubeadm::run_kubeadm(cx, Phase::Join, &["join"], &config).await
}

#[cfg(test)]
mod tests;
