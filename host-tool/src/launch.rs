//! From a cluster file to a cluster that stands. May be run again at any time: it goes on from what is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use ha_cluster_file::cluster::Cluster;

mod by_others;
mod change;
mod configs;
mod console;
mod difference;
mod event_tail;
mod follow;
mod founding;
mod inspection;
mod make_provider;
pub mod node_progress;
mod node_watch;
mod observe;
mod origin;
mod phase_timings;
mod prepare;
mod reach;
mod remake;
pub mod report;
mod same_files;
mod unfounded;
mod version_of_cluster;

pub use by_others::refuse_found;
pub use change::judge_changes;
pub use founding::{close_founding, note_founded};
pub use make_provider::provider_maker;
pub use observe::create_event_file;

use crate::api::{self, Api, ClusterView};
use crate::inputs::OperatorFiles;
use crate::pki::Pki;
use crate::pki::kubeconfig::{self, Server};
use crate::source::Source;
use crate::state::{self, ClusterDir, ClusterStore, StateRoot};
use change::Changes;
use follow::{Follow, Outcome};
use ha_host_base::exit::{Exit, Stop};
use ha_host_base::files;
use ha_providers::{Machine, Provider};
use inspection::Inspection;
use make_provider::MakeProvider;
use phase_timings::PhaseTimings;
use report::{End, LaunchEvent, Report, Summary};
use unfounded::Held;

/// A finished cluster answers at once; one that does not is not finished.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// How a launch goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long to wait for the whole cluster.
    pub timeout: Duration,
    /// How many machines are made at a time.
    pub parallel: usize,
    /// A person says that no machine of this cluster founded it: for machines that others make.
    pub found: bool,
}

/// Makes the cluster, or goes on where an earlier launch ended.
pub fn launch_cluster(
    source: &Source,
    root: &StateRoot,
    report: &mut dyn Report,
    options: Options,
) -> Result<Exit> {
    let dir = root.dir(&source.cluster.name);
    let make_provider = provider_maker(&dir);
    Launch::begin(source, dir.clone(), &make_provider, options)?.run(report)
}

/// One launch with all that it needs.
struct Launch<'a> {
    source: &'a Source,
    dir: ClusterDir,
    make_provider: MakeProvider<'a>,
    judged: JudgedSource,
    options: Options,
    begun: Instant,
}

/// What the cluster file asks for, beside what the state directory holds.
struct JudgedSource {
    files: OperatorFiles,
    changes: Changes,
    provider: Arc<dyn Provider>,
}

impl<'a> Launch<'a> {
    fn begin(
        source: &'a Source,
        dir: ClusterDir,
        make_provider: MakeProvider<'a>,
        options: Options,
    ) -> Result<Self> {
        let begun = Instant::now();
        dir.refuse_foreign()?;
        if options.found && source.cluster.provider.makes_machines() {
            return Err(Stop::bad_input(
                "--found is for machines that others make (`provider: none`): of its own machines launch knows who may found",
            ));
        }
        let judged = JudgedSource::new(source, &dir, make_provider)?;
        Ok(Self {
            source,
            dir,
            make_provider,
            judged,
            options,
            begun,
        })
    }

    fn run(mut self, report: &mut dyn Report) -> Result<Exit> {
        let cluster = &self.source.cluster;
        report.tell(&LaunchEvent::Begun(cluster));
        for warning in &self.judged.files.warnings {
            report.tell(&LaunchEvent::Warning(warning));
        }
        if self.judged.changes.is_empty()
            && let Some(view) = self.view_if_standing()?
        {
            self.tell_unreached(report);
            warn_of_findings(cluster, &view, report);
            report.tell(&LaunchEvent::Ended(&End::AlreadyReady(self.summary())));
            return Ok(Exit::Done);
        }
        report.tell(&LaunchEvent::StepBegun("image"));
        if let Some(vm) = cluster.provider.vm() {
            prepare::obtain_image(vm, report)?;
        }
        check_host(&*self.judged.provider, report)?;
        let store = self.dir.clone().lock()?;
        // Another launch may have begun and ended since.
        self.judge_again()?;
        self.tell_unreached(report);
        self.begin_anew_if_edited(&store, report)?;
        let pki = self.prepare(&store, report)?;
        let follow = Follow::new(&self, &store, &pki, report);
        let outcome = ha_host_base::block_on(follow.run())??;
        let (end, exit) = self.end_of(outcome);
        if exit == Exit::Done {
            state::record_life(&store, state::ClusterLife::Standing)?;
        }
        report.tell(&LaunchEvent::Ended(&end));
        Ok(exit)
    }

    /// Under the lock. The bakery is asked again only if it was asked meanwhile.
    fn judge_again(&mut self) -> Result<()> {
        let (source, dir) = (self.source, &self.dir);
        if !self.judged.files.are_current(dir.path())? {
            self.judged.files = OperatorFiles::read(&source.cluster, dir.path())?;
        }
        self.judged.changes = judge_changes(dir, source, &self.judged.files, self.make_provider)?;
        self.judged.provider = (self.make_provider)(&source.cluster)?;
        Ok(())
    }

    fn tell_unreached(&self, report: &mut dyn Report) {
        for note in &self.judged.changes.unreached {
            report.tell(&LaunchEvent::Warning(note));
        }
    }

    /// While no apiserver ever answered, an edited file counts as it is: machines of the old one are made anew.
    fn begin_anew_if_edited(&self, store: &ClusterStore, report: &mut dyn Report) -> Result<()> {
        let changes = &self.judged.changes;
        let (Some(old), Some(pki)) = (&changes.unfounded, store.pki()?) else {
            return Ok(());
        };
        if !changes.concern_machines() {
            return Ok(());
        }
        let (source, words) = (self.source, changes.describe());
        let file = source.path.display().to_string();
        let provider = (self.make_provider)(old)?;
        let mut see = Inspection::new(old, store, &pki, &provider)?;
        match unfounded::find_what_machines_hold(&see)? {
            Held::Nothing => {}
            Held::Founded(why) => {
                founding::close_founding(store, old)?;
                let refused = changes.refuse_unchangeable(source);
                return refused.map_err(|error| unfounded::explain_founded(error, &why));
            }
            Held::Unknown(_) if self.options.found => {}
            Held::Unknown(unknown) => {
                return unfounded::refuse_unasked(&file, &self.source.cluster, &words, &unknown);
            }
        }
        let anew = unfounded::remove_machines(&mut see)?;
        if changes.touch(&unfounded::SHARED) {
            provider.destroy()?;
        }
        store.forget_other_configs(&source.cluster, old)?;
        report.tell(&LaunchEvent::Warning(&unfounded::words_of_remake(
            &file, &words, &anew,
        )));
        Ok(())
    }

    /// What a look shows if an earlier launch finished this cluster, every machine runs, and nothing is missing that a launch waits
    /// for. Then its kubeconfig is good too.
    fn view_if_standing(&self) -> Result<Option<ClusterView>> {
        let (cluster, provider) = (&self.source.cluster, &self.judged.provider);
        let record = self.dir.record()?;
        let standing = record.is_some_and(|r| r.life == state::ClusterLife::Standing);
        let Some(pki) = self.dir.pki()?.filter(|_| standing) else {
            return Ok(None);
        };
        let machines = provider.states(&cluster.nodes)?;
        if machines.iter().any(|machine| *machine != Machine::Running) {
            return Ok(None);
        }
        let api = Api::new(cluster, &pki, provider.clone())?;
        let look = ha_host_base::block_on(async {
            let view = tokio::time::timeout(FIRST_LOOK, api.observe()).await.ok()?;
            if !api::describe_missing(cluster, &view).is_empty() {
                return None;
            }
            Some(api::look_at_everything(&api, cluster, provider, Some(view)).await)
        })?;
        let view = look.transpose()?.map(|look| look.view);
        if view.is_some() {
            self.renew_kubeconfig(&pki)?;
        }
        Ok(view)
    }

    /// Takes the lock only if there is something to write.
    fn renew_kubeconfig(&self, pki: &Pki) -> Result<()> {
        let cluster = &self.source.cluster;
        let server = Server::of(cluster, &*self.judged.provider);
        let text = files::read_optional(&self.dir.kubeconfig())?;
        if !text.is_some_and(|text| kubeconfig::is_current(&text, &server, pki)) {
            let store = self.dir.clone().lock()?;
            store.ensure_kubeconfig(cluster, pki, &server)?;
        }
        Ok(())
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
                    dns: serving_dns_pods(&look),
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
            nodes: cluster.kubernetes_nodes().count(),
            first_node: first.map(|n| n.name.clone()).unwrap_or_default(),
            control_planes: cluster.control_planes().count(),
            members: 0,
            vip_holder: None,
            dns: None,
            took: self.begun.elapsed(),
            kubeconfig: self.dir.kubeconfig(),
            timings: PhaseTimings::default(),
        }
    }
}

fn serving_dns_pods(look: &ClusterView) -> Option<(usize, u32)> {
    let dns = look.api.as_ref()?.dns.as_ref()?;
    Some((dns.pods.iter().filter(|pod| pod.ready).count(), dns.wanted))
}

impl JudgedSource {
    fn new(source: &Source, dir: &ClusterDir, make_provider: MakeProvider<'_>) -> Result<Self> {
        let files = OperatorFiles::read(&source.cluster, dir.path())?;
        Ok(Self {
            changes: judge_changes(dir, source, &files, make_provider)?,
            provider: make_provider(&source.cluster)?,
            files,
        })
    }
}

/// What is wrong with a cluster although a launch has nothing left to wait for.
fn warn_of_findings(cluster: &Cluster, view: &ClusterView, report: &mut dyn Report) {
    for finding in api::further_findings(cluster, view) {
        let (part, what) = (finding.part.label(), &finding.what);
        let next = match finding.next.as_str() {
            "" => String::new(),
            next => format!(" (`{next}`)"),
        };
        report.tell(&LaunchEvent::Warning(&format!("{part}: {what}{next}")));
    }
}

fn check_host(provider: &dyn Provider, report: &mut dyn Report) -> Result<()> {
    report.tell(&LaunchEvent::StepBegun("preflight"));
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

#[cfg(test)]
mod tests;
