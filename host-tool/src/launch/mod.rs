//! From a cluster file to a cluster that stands. May be run again at any time: it goes on from what is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use ha_cluster_file::cluster::Cluster;

mod change;
mod configs;
mod console;
mod follow;
mod news;
mod spent;
mod tail;
mod track;

pub use news::open_events;
pub use spent::Spent;
pub use track::{Change, Life, Track};

use crate::api::{Api, Look};
use crate::assets;
use crate::ignition::Extras;
use crate::pki::Pki;
use crate::progress::{End, Show, Summary};
use crate::source::Source;
use crate::state::{self, Dir, Root, Store};
use follow::{Follow, Outcome};
use ha_host_base::exit::{Exit, Stop};
use ha_providers::{Machine, Provider};

/// A finished cluster answers at once; one that does not is not finished.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Makes the cluster, or goes on where an earlier launch ended.
pub fn launch(
    source: &Source,
    root: &Root,
    show: &mut dyn Show,
    timeout: Duration,
) -> Result<Exit> {
    let dir = root.dir(&source.cluster.name);
    let extras = Extras::gather(&source.cluster, &dir)?;
    let unchanged = change::judge(&dir, source)?;
    let provider = Arc::from(provider_of(&source.cluster, &dir)?);
    let launch = Launch {
        source,
        dir,
        extras,
        provider,
        begun: Instant::now(),
    };
    launch.run(unchanged, show, timeout)
}

/// One launch with all that it needs.
struct Launch<'a> {
    source: &'a Source,
    dir: Dir,
    extras: Extras,
    provider: Arc<dyn Provider>,
    begun: Instant,
}

impl Launch<'_> {
    fn run(self, unchanged: bool, show: &mut dyn Show, timeout: Duration) -> Result<Exit> {
        let (cluster, begun) = (&self.source.cluster, self.begun);
        show.begin(cluster);
        if unchanged && stands(&self.dir, cluster, &self.provider)? {
            show.end(&End::Already(summary(&self.dir, cluster, begun)));
            return Ok(Exit::Done);
        }
        if let Some(vm) = cluster.provider.vm() {
            ha_flatcar_image::obtain(vm, &mut *show.bar())?;
        }
        preflight(&*self.provider, show)?;
        let store = self.dir.lock()?;
        let pki = accept(&store, self.source, show)?;
        self.extras.keep(&store)?;
        configs::render(&store, cluster, &pki, &self.extras, &*self.provider)?;
        state::advance(&store, state::Life::Launching)?;
        if let Some(packed) = assets::pack(store.path(), cluster, &self.extras)? {
            show.step("assets", &packed.seen());
        }
        self.provider.prepare()?;
        store.ensure_kubeconfig(cluster, &pki, &*self.provider)?;
        let follow = Follow::new(
            &store,
            cluster,
            &pki,
            &self.extras,
            self.provider,
            show,
            begun,
        )?;
        let outcome = ha_host_base::block_on(follow.run(timeout))??;
        finish(&store, self.source, show, outcome, begun)
    }
}

fn provider_of(cluster: &Cluster, dir: &Dir) -> Result<Box<dyn Provider>> {
    if matches!(cluster.provider, ha_cluster_file::cluster::Provider::None) {
        return Err(Stop::bad_input(
            "`provider: none` makes no machines: use `ha-host render FILE --out DIR`, boot your machines with the \
             configs, and `ha-host status` shows how they do",
        ));
    }
    ha_providers::provider_of(cluster, dir.path())
}

/// Whether an earlier launch finished this cluster, every machine runs, and it is still whole.
fn stands(dir: &Dir, cluster: &Cluster, provider: &Arc<dyn Provider>) -> Result<bool> {
    let standing = dir
        .record()?
        .is_some_and(|r| r.life == state::Life::Standing);
    let Some(pki) = dir.pki()?.filter(|_| standing) else {
        return Ok(false);
    };
    for node in &cluster.nodes {
        if provider.state(node)? != Machine::Running {
            return Ok(false);
        }
    }
    let api = Api::new(cluster, &pki, provider.clone())?;
    let look =
        ha_host_base::block_on(async { tokio::time::timeout(FIRST_LOOK, api.look()).await })?;
    Ok(look.is_ok_and(|look| look.missing(cluster).is_empty()))
}

fn preflight(provider: &dyn Provider, show: &mut dyn Show) -> Result<()> {
    let findings = provider.preflight()?;
    let (good, bad): (Vec<_>, Vec<_>) = findings.into_iter().partition(|f| f.ok);
    if bad.is_empty() {
        let seen: Vec<String> = good.into_iter().map(|f| f.message).collect();
        show.step("preflight", &seen);
        return Ok(());
    }
    show.end(&End::Unfit(bad));
    Err(Stop::Said(Exit::Failed).into())
}

fn accept(store: &Store, source: &Source, show: &mut dyn Show) -> Result<Pki> {
    store.accept(source)?;
    let (pki, new) = store.ensure_pki()?;
    let word = if new { "new" } else { "kept" };
    let place = format!("state in {}", ha_host_base::text::home(store.path()));
    show.step("pki", &[word.to_owned(), place]);
    Ok(pki)
}

fn finish(
    store: &Store,
    source: &Source,
    show: &mut dyn Show,
    outcome: Outcome,
    begun: Instant,
) -> Result<Exit> {
    match outcome {
        Outcome::Ready {
            look,
            spent,
            holder,
        } => {
            state::advance(store, state::Life::Standing)?;
            let mut summary = summary(store, &source.cluster, begun);
            (summary.members, summary.spent, summary.holder) = (look.voters(), spent, holder);
            show.end(&End::Ready(summary));
            Ok(Exit::Done)
        }
        Outcome::Lost(lost) => {
            show.end(&End::Lost(lost, source.path.clone()));
            Ok(Exit::Failed)
        }
        Outcome::TimedOut { missing } => {
            show.end(&End::TimedOut {
                took: begun.elapsed(),
                missing,
                file: source.path.clone(),
            });
            Ok(Exit::TimedOut)
        }
        Outcome::Interrupted => {
            show.end(&End::Interrupted {
                file: source.path.clone(),
            });
            Ok(Exit::Interrupted)
        }
    }
}

fn summary(dir: &Dir, cluster: &Cluster, begun: Instant) -> Summary {
    Summary {
        cluster: cluster.name.clone(),
        nodes: cluster.nodes.len(),
        first_node: cluster
            .nodes
            .first()
            .map(|n| n.name.clone())
            .unwrap_or_default(),
        control_planes: cluster.control_planes().count(),
        members: 0,
        holder: None,
        took: begun.elapsed(),
        kubeconfig: dir.kubeconfig(),
        spent: Spent::default(),
    }
}

/// What one node's failure looks like from outside.
#[derive(Debug, Clone)]
pub struct Lost {
    /// The node.
    pub node: String,
    /// Its role in words.
    pub role: &'static str,
    /// The phase, if it failed in one.
    pub phase: Option<&'static str>,
    /// What happened, one line, e.g. `join failed 5 times in 96 s`.
    pub what: String,
    /// The failing program's own words.
    pub words: Vec<String>,
    /// How the others do.
    pub others: String,
    /// The command that shows more.
    pub look: String,
    /// What to do next, where launching again is not enough.
    pub again: Option<String>,
}

/// What the last look says about the rest.
fn others(cluster: &Cluster, look: &Look, lost: &str) -> String {
    let rest = cluster.nodes.iter().filter(|n| n.name != lost);
    let (all, ready) = rest.fold((0, 0), |(all, ready), n| {
        (all + 1, ready + usize::from(look.is_ready(&n.name)))
    });
    format!("{ready} of the {all} other nodes are Ready")
}

#[cfg(test)]
mod tests;
