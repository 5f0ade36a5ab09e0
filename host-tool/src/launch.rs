//! From a cluster file to a cluster that stands. May be run again at any time: it goes on from what is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use ha_cluster_file::cluster::Cluster;

mod change;
mod configs;
mod console;
mod event_tail;
mod follow;
pub mod node_progress;
mod node_watch;
mod observe;
mod phase_timings;
pub mod report;

pub use observe::create_event_file;

use crate::api::Api;
use crate::assets;
use crate::inputs::OperatorFiles;
use crate::pki::Pki;
use crate::pki::kubeconfig::Server;
use crate::source::Source;
use crate::state::{self, ClusterDir, ClusterStore, StateRoot};
use follow::{Follow, Outcome};
use ha_host_base::exit::{Exit, Stop};
use ha_providers::{Machine, Provider};
use phase_timings::PhaseTimings;
use report::{End, LaunchEvent, Report, Summary};

/// A finished cluster answers at once; one that does not is not finished.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// How a launch goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long to wait for the whole cluster.
    pub timeout: Duration,
    /// How many machines are made at a time.
    pub parallel: usize,
}

/// Makes the cluster, or goes on where an earlier launch ended.
pub fn launch_cluster(
    source: &Source,
    root: &StateRoot,
    report: &mut dyn Report,
    options: Options,
) -> Result<Exit> {
    let dir = root.dir(&source.cluster.name);
    let files = OperatorFiles::read(&source.cluster, dir.path())?;
    let unchanged = change::is_unchanged(&dir, source)?;
    let provider = Arc::from(provider_of(&source.cluster, &dir)?);
    let launch = Launch {
        source,
        dir,
        files,
        provider,
        options,
        begun: Instant::now(),
    };
    launch.run(unchanged, report)
}

/// One launch with all that it needs.
#[derive(Debug)]
struct Launch<'a> {
    source: &'a Source,
    dir: ClusterDir,
    files: OperatorFiles,
    provider: Arc<dyn Provider>,
    options: Options,
    begun: Instant,
}

impl Launch<'_> {
    fn run(&self, unchanged: bool, report: &mut dyn Report) -> Result<Exit> {
        let cluster = &self.source.cluster;
        report.tell(&LaunchEvent::Begun(cluster));
        for warning in &self.files.warnings {
            report.tell(&LaunchEvent::Warning(warning));
        }
        if unchanged && self.already_stands()? {
            report.tell(&LaunchEvent::Ended(&End::AlreadyReady(self.summary())));
            return Ok(Exit::Done);
        }
        if let Some(vm) = cluster.provider.vm() {
            ha_flatcar_image::obtain_image(vm, &mut *report.download_bar())?;
        }
        check_host(&*self.provider, report)?;
        let store = self.dir.clone().lock()?;
        let pki = self.prepare(&store, report)?;
        let follow = Follow::new(self, &store, &pki, report);
        let outcome = ha_host_base::block_on(follow.run())??;
        let (end, exit) = self.end_of(outcome);
        if exit == Exit::Done {
            state::record_life(&store, state::ClusterLife::Standing)?;
        }
        report.tell(&LaunchEvent::Ended(&end));
        Ok(exit)
    }

    /// Everything that is made once for all nodes.
    fn prepare(&self, store: &ClusterStore, report: &mut dyn Report) -> Result<Pki> {
        let (cluster, provider) = (&self.source.cluster, &*self.provider);
        let pki = accept_source(store, self.source, report)?;
        self.files.keep(store.path())?;
        for warning in configs::write_missing(store, cluster, &pki, &self.files, provider)? {
            report.tell(&LaunchEvent::Warning(&warning));
        }
        state::record_life(store, state::ClusterLife::Launching)?;
        let bar = &mut *report.download_bar();
        if let Some(packed) = assets::pack_disk(store.path(), cluster, &self.files.sysexts, bar)? {
            report.tell(&LaunchEvent::StepDone("assets", &packed.facts()));
            if let Err(error) = assets::remove_unused_disks(store.path()) {
                let words = format!("older assets disks are still there: {error:#}");
                report.tell(&LaunchEvent::Warning(&words));
            }
        }
        provider.prepare()?;
        store.ensure_kubeconfig(cluster, &pki, &Server::of(cluster, provider))?;
        Ok(pki)
    }

    /// Whether an earlier launch finished this cluster, every machine runs, and it is still whole.
    fn already_stands(&self) -> Result<bool> {
        let (cluster, provider) = (&self.source.cluster, &self.provider);
        let record = self.dir.record()?;
        let standing = record.is_some_and(|r| r.life == state::ClusterLife::Standing);
        let Some(pki) = self.dir.pki()?.filter(|_| standing) else {
            return Ok(false);
        };
        let machines = provider.states(&cluster.nodes)?;
        if machines.iter().any(|machine| *machine != Machine::Running) {
            return Ok(false);
        }
        let api = Api::new(cluster, &pki, provider.clone())?;
        let look = ha_host_base::block_on(async {
            tokio::time::timeout(FIRST_LOOK, api.observe()).await
        })?;
        Ok(look.is_ok_and(|look| look.missing(cluster).is_empty()))
    }

    fn end_of(&self, outcome: Outcome) -> (End, Exit) {
        match outcome {
            Outcome::Ready {
                look,
                timings,
                vip_holder,
            } => {
                let summary = Summary {
                    members: look.voters(),
                    timings,
                    vip_holder,
                    ..self.summary()
                };
                (End::Ready(summary), Exit::Done)
            }
            Outcome::Failed(failures) => (End::Failed(failures), Exit::Failed),
            Outcome::TimedOut(unfinished) => (End::TimedOut(unfinished), Exit::TimedOut),
            Outcome::Interrupted => {
                let file = self.source.path.clone();
                (End::Interrupted(file), Exit::Interrupted)
            }
        }
    }

    fn summary(&self) -> Summary {
        let cluster = &self.source.cluster;
        let first = cluster.nodes.first();
        Summary {
            cluster: cluster.name.clone(),
            nodes: cluster.nodes.len(),
            first_node: first.map(|n| n.name.clone()).unwrap_or_default(),
            control_planes: cluster.control_planes().count(),
            members: 0,
            vip_holder: None,
            took: self.begun.elapsed(),
            kubeconfig: self.dir.kubeconfig(),
            timings: PhaseTimings::default(),
        }
    }
}

fn provider_of(cluster: &Cluster, dir: &ClusterDir) -> Result<Box<dyn Provider>> {
    if matches!(
        cluster.provider,
        ha_cluster_file::cluster::ProviderOptions::None
    ) {
        return Err(Stop::bad_input(
            "`provider: none` makes no machines: use `ha-host render FILE --out DIR`, boot your machines with the \
             configs, and `ha-host status` shows how they do",
        ));
    }
    ha_providers::provider_of(cluster, dir.path())
}

fn check_host(provider: &dyn Provider, report: &mut dyn Report) -> Result<()> {
    let findings = provider.preflight()?;
    let (good, bad): (Vec<_>, Vec<_>) = findings.into_iter().partition(|f| f.ok);
    if bad.is_empty() {
        let seen: Vec<String> = good.into_iter().map(|f| f.message).collect();
        report.tell(&LaunchEvent::StepDone("preflight", &seen));
        return Ok(());
    }
    report.tell(&LaunchEvent::Ended(&End::HostUnfit(bad)));
    Err(Stop::Said(Exit::Failed).into())
}

fn accept_source(store: &ClusterStore, source: &Source, report: &mut dyn Report) -> Result<Pki> {
    store.accept(&source.as_accepted())?;
    let (pki, new) = store.ensure_pki()?;
    let word = if new { "new" } else { "kept" };
    let place = format!("state in {}", ha_host_base::text::home(store.path()));
    report.tell(&LaunchEvent::StepDone("pki", &[word.to_owned(), place]));
    Ok(pki)
}

#[cfg(test)]
mod tests;
