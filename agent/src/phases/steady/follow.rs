//! Keeps the load balancer's backends what they are proved to be: asks every control plane's own apiserver for its cluster.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::join_all;
use ha_kube::https::HttpsClient;
use ha_wire::node::Peer;
use tracing::{info, warn};

use super::backends::{AbsentControlPlanes, BalancerView};
use super::clusters::{ClusterIdentity, ShownClusters, Standing};
use crate::context::Context;
use crate::kube::{self, client::Client};
use crate::phases::balancer;

/// A peer on the same segment answers at once; one that is switched off never does.
const PROBE: Duration = Duration::from_secs(2);
/// Between two orders to haproxy: each reload leaves an old process behind for as long as its sessions last.
const DAMPED: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct ApiserverFollower<'a> {
    cx: &'a Context,
    absent: AbsentControlPlanes,
    shown: ShownClusters,
    /// When haproxy was last told anything, by the monotonic clock.
    told: Option<Duration>,
    /// Why it did not take that.
    refused: Option<String>,
}

impl<'a> ApiserverFollower<'a> {
    pub fn begin(cx: &'a Context) -> Self {
        Self {
            cx,
            absent: AbsentControlPlanes::default(),
            shown: ShownClusters::default(),
            told: None,
            refused: None,
        }
    }

    /// One look, and what follows from it.
    pub async fn follow(&mut self) -> Result<()> {
        let me = &self.cx.node;
        let now = balancer::configured_backends(self.cx)?;
        let nodes = list_control_planes(self.cx).await;
        let listed = nodes.as_deref().unwrap_or_default();
        self.ask_all(&now, listed).await;
        // Known names and addresses alone have a vote: what the API lists anybody may have written.
        let known = || now.iter().chain(&me.control_planes);
        let voters = known().map(|p| p.address).chain([me.address]);
        let elected = self.shown.elect(voters);
        let Some(elected) = elected.filter(|_| self.shown.identity_at(me.address).is_some()) else {
            // Without a word of its own apiserver this node cannot tell whose side it is on.
            self.apply(&now, &now).await?;
            return nodes.map(drop);
        };
        let view = BalancerView {
            now: &now,
            listed,
            standing: &|address| self.shown.standing(address, &elected),
            at: self.cx.sys.clock.monotonic(),
        };
        let wanted = self.absent.wanted(&view, me);
        let strangers: Vec<Peer> = known()
            .filter(|p| self.shown.standing(p.address, &elected) == Standing::Stranger)
            .cloned()
            .collect();
        self.report_strangers(&strangers);
        self.apply(&now, &wanted).await?;
        self.refuse_strangers(&strangers, &elected)?;
        nodes.map(drop)
    }

    /// Where no apiserver may be asked who belongs to the cluster: haproxy runs with what it was told.
    pub async fn keep(&mut self) -> Result<()> {
        let now = balancer::configured_backends(self.cx)?;
        self.apply(&now, &now).await
    }

    /// Every control plane's own apiserver, all at once: those in use, and those that might be.
    async fn ask_all(&mut self, now: &[Peer], listed: &[Peer]) {
        let (cx, me) = (self.cx, &self.cx.node);
        let in_use: BTreeSet<IpAddr> = now.iter().map(|p| p.address).chain([me.address]).collect();
        let known = me.control_planes.iter().chain(listed).map(|p| p.address);
        let is_new = |address: &IpAddr| !in_use.contains(address) && *address != me.endpoint.vip;
        let new: BTreeSet<IpAddr> = known.filter(is_new).collect();
        let in_use = in_use.iter().map(|a| (*a, false));
        let all = in_use.chain(new.into_iter().map(|a| (a, true)));
        let answers = join_all(all.map(|(address, is_new)| async move {
            let shown = ask_cluster(cx, address, is_new).await;
            if let Err(error) = &shown {
                tracing::debug!("the apiserver at {address}: {error:#}");
            }
            (address, shown.ok())
        }));
        self.shown.note(answers.await);
    }

    fn report_strangers(&self, strangers: &[Peer]) {
        let names: BTreeSet<String> = strangers.iter().map(|p| p.name.clone()).collect();
        let names: Vec<String> = names.into_iter().collect();
        self.cx.report.update_status(|status| {
            if status.strangers != names {
                warn!("apiservers of another cluster under this CA: {names:?}");
                status.strangers = names;
            }
        });
    }

    fn refuse_strangers(&self, strangers: &[Peer], elected: &ClusterIdentity) -> Result<()> {
        let me = &self.cx.node.name;
        // What is wrong with this node itself comes first.
        let worst = strangers.iter().find(|p| p.name == *me);
        let Some(worst) = worst.or_else(|| strangers.first()) else {
            return Ok(());
        };
        let shown = self.shown.identity_at(worst.address);
        let theirs = shown.map_or("not known", |shown| &shown.uid);
        let whose = if worst.name == *me {
            "this node".to_owned()
        } else {
            worst.name.clone()
        };
        let requests = match self.cx.node.runs_balancer() {
            true => "no request is sent to it",
            false => "take it out of the balancer before the cluster",
        };
        bail!(
            "{whose}'s apiserver ({}) shows another cluster: its kube-system has the uid {theirs}, that of most others {}; \
             {requests}: make that machine anew, it joins then",
            worst.address,
            elected.uid
        )
    }

    /// Tells haproxy, at most so often. Also what it was told before and did not take.
    async fn apply(&mut self, now: &[Peer], wanted: &[Peer]) -> Result<()> {
        if !self.cx.node.runs_balancer() {
            return Ok(());
        }
        if wanted == now && !balancer::needed(self.cx).await? {
            self.refused = None;
            return Ok(());
        }
        let at = self.cx.sys.clock.monotonic();
        if self.told.is_some_and(|told| at - told < DAMPED) {
            return self.refused.clone().map_or(Ok(()), |why| bail!(why));
        }
        self.told = Some(at);
        if wanted != now {
            let names: Vec<&str> = wanted.iter().map(|p| p.name.as_str()).collect();
            info!(
                "the load balancer follows the cluster's apiservers: {}",
                names.join(", ")
            );
        }
        let applied = balancer::apply_backends(self.cx, wanted).await;
        self.refused = applied.as_ref().err().map(|error| format!("{error:#}"));
        applied
    }
}

async fn list_control_planes(cx: &Context) -> Result<Vec<Peer>> {
    Ok(kube::control_planes(&kube::as_best(cx)?).await?)
}

/// The cluster behind one apiserver. One that is not in use has to be ready too, and is first asked without a client that is
/// kept: any address may be listed.
async fn ask_cluster(cx: &Context, address: IpAddr, is_new: bool) -> Result<ClusterIdentity> {
    let url = kube::apiserver_url(cx, address);
    if is_new {
        let https = HttpsClient::with_fresh_connections(&url, &kube::cluster_ca(cx)?)?;
        let ready = Client::over(https.within(PROBE)).ready().await;
        ready.context("not ready")?;
    }
    let client = kube::as_admin_at(cx, &url)?.within(PROBE);
    Ok(ClusterIdentity::from_namespace(client.kube_system().await?))
}
