//! Keeps the facts of a launch while it goes on, and draws them at its end. What goes wrong here never fails the launch.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Cluster;
use ha_flatcar_image::Bar;
use ha_host_base::clock::now_ms;
use ha_host_base::files;
use ha_wire::event::{Event, EventKind};

use super::kept::{Fact, KeptEnd, KeptFact, KeptFailure, KeptNode, VERSION};
use crate::launch::node_progress::NodeChange;
use crate::launch::report::{End, LaunchEvent, Report};
use crate::progress::describe::unfinished_node;
use crate::progress::what_failed;
use crate::state::ClusterDir;

/// From here on no waits are kept: the words of 100 nodes that wait for a quarter of an hour are no picture any more.
const MAX_WITH_WAITS: usize = 4 * 1024 * 1024;
/// From here on nothing is kept but the end.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Passes everything on, and keeps it.
pub struct PictureReport {
    inner: Box<dyn Report>,
    begun: Instant,
    facts: Vec<KeptFact>,
    bytes: usize,
    kept_in: Option<KeptIn>,
}

/// Where the facts and their picture go.
struct KeptIn {
    facts: File,
    picture: PathBuf,
}

impl PictureReport {
    /// Nothing is kept on the disk before the state directory is this launch's.
    pub fn new(inner: Box<dyn Report>) -> Self {
        Self {
            inner,
            begun: Instant::now(),
            facts: Vec::new(),
            bytes: 0,
            kept_in: None,
        }
    }

    fn keep(&mut self, what: Fact) {
        let is_wait = matches!(&what, Fact::Said { event } if matches!(event.what, EventKind::Waiting { .. }));
        let most = match &what {
            Fact::Ended { .. } => usize::MAX,
            _ if is_wait => MAX_WITH_WAITS,
            _ => MAX_BYTES,
        };
        let at_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let fact = KeptFact {
            version: VERSION,
            at_ms,
            what,
        };
        let Ok(line) = line_of(&fact) else {
            return;
        };
        if self.bytes + line.len() > most {
            return;
        }
        self.bytes += line.len();
        self.facts.push(fact);
        if let Some(place) = &mut self.kept_in
            && let Err(error) = place.facts.write_all(line.as_bytes())
        {
            self.kept_in = None;
            self.warn(&error.into());
        }
    }

    /// What an earlier launch left there gives way.
    fn begin_files(&self, dir: &ClusterDir) -> Result<KeptIn> {
        let path = dir.launch_facts();
        let lines: Result<String> = self.facts.iter().map(line_of).collect();
        files::write_atomic(&path, lines?.as_bytes())?;
        let facts = File::options().append(true).open(&path);
        Ok(KeptIn {
            facts: facts.with_context(|| format!("cannot open {}", path.display()))?,
            picture: dir.launch_picture(),
        })
    }

    fn draw(&mut self) {
        let Some(place) = &self.kept_in else {
            return;
        };
        match super::write_picture(&self.facts, &place.picture) {
            Ok(path) => self.inner.tell(&LaunchEvent::PictureWritten(&path)),
            Err(error) => self.warn(&error),
        }
    }

    fn warn(&mut self, error: &anyhow::Error) {
        let words = format!("this launch leaves no picture: {error:#}");
        self.inner.tell(&LaunchEvent::Warning(&words));
    }
}

impl Report for PictureReport {
    fn tell(&mut self, happened: &LaunchEvent<'_>) {
        if let Some(fact) = fact_of(happened) {
            self.keep(fact);
        }
        match happened {
            LaunchEvent::StateHeld(dir) => match self.begin_files(dir) {
                Ok(place) => self.kept_in = Some(place),
                Err(error) => self.warn(&error),
            },
            LaunchEvent::Ended(_) | LaunchEvent::Broken(_) => self.draw(),
            _ => {}
        }
        self.inner.tell(happened);
    }

    fn download_bar(&self) -> Box<dyn Bar> {
        self.inner.download_bar()
    }
}

fn line_of(fact: &KeptFact) -> Result<String> {
    Ok(serde_json::to_string(fact)? + "\n")
}

/// What of it is kept.
fn fact_of(happened: &LaunchEvent<'_>) -> Option<Fact> {
    Some(match happened {
        LaunchEvent::Begun(cluster) => begun_fact(cluster),
        LaunchEvent::StepBegun(step) => Fact::Step {
            step: (*step).to_owned(),
        },
        LaunchEvent::Warning(message) => Fact::Warning {
            message: (*message).to_owned(),
        },
        LaunchEvent::NodeSaid(event) => Fact::Said {
            event: Event::clone(event),
        },
        LaunchEvent::NodeChanged(node, NodeChange::Moved) => Fact::Moved {
            node: node.name.clone(),
            stage: node.stage,
        },
        LaunchEvent::ClusterChanged(look, cluster) => Fact::Cluster {
            vip: look.vip.is_ok(),
            ready: cluster
                .nodes
                .iter()
                .filter(|n| look.is_ready(&n.name))
                .map(|n| n.name.clone())
                .collect(),
        },
        LaunchEvent::Ended(end) => end_fact(end)?,
        LaunchEvent::Broken(error) => Fact::Ended {
            end: KeptEnd::Broken,
            words: vec![format!("{error:#}")],
            failed: Vec::new(),
            vip_holder: None,
            spent: Vec::new(),
        },
        _ => return None,
    })
}

fn begun_fact(cluster: &Cluster) -> Fact {
    let nodes = cluster.nodes.iter().map(|n| KeptNode {
        name: n.name.clone(),
        role: n.role,
        address: n.address.to_string(),
    });
    Fact::Begun {
        cluster: cluster.name.clone(),
        nodes: nodes.collect(),
        vip: cluster.endpoint.authority(),
        external: cluster.has_external_balancer(),
        kubernetes: cluster.kubernetes.version.to_string(),
        provider: cluster.provider.name().to_owned(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        began_ms: now_ms(),
    }
}

/// None: nothing was made.
fn end_fact(end: &End) -> Option<Fact> {
    let (kind, failed) = match end {
        End::Ready(_) => (KeptEnd::Ready, Vec::new()),
        End::Failed(failures) => (
            KeptEnd::Failed,
            failures
                .nodes
                .iter()
                .map(|n| KeptFailure {
                    node: n.node.clone(),
                    what: what_failed(&n.cause),
                    words: n.output.clone(),
                })
                .collect(),
        ),
        End::TimedOut(_) => (KeptEnd::TimedOut, Vec::new()),
        End::Interrupted(_) => (KeptEnd::Interrupted, Vec::new()),
        End::AlreadyReady(_) | End::HostUnfit(_) => return None,
    };
    let (vip_holder, spent) = match end {
        End::Ready(s) => (s.vip_holder.clone(), s.timings.0.clone()),
        _ => (None, Vec::new()),
    };
    let millis = |t: std::time::Duration| u64::try_from(t.as_millis()).unwrap_or(u64::MAX);
    Some(Fact::Ended {
        end: kind,
        words: words_beside_nodes(end),
        failed,
        vip_holder,
        spent: spent
            .into_iter()
            .map(|(name, took)| (name.to_owned(), millis(took)))
            .collect(),
    })
}

/// What there is to say beside the nodes that failed, line by line.
fn words_beside_nodes(end: &End) -> Vec<String> {
    match end {
        End::TimedOut(unfinished) => {
            let nodes = unfinished.nodes.iter().map(unfinished_node);
            let step = unfinished.stopped_at;
            let step = step.map(|step| format!("the time was up in: {step}"));
            nodes
                .chain(unfinished.missing.iter().cloned())
                .chain(step)
                .collect()
        }
        _ => Vec::new(),
    }
}
