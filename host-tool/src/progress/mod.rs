//! How a launch looks: on a terminal, in a pipe, to a machine.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use ha_cluster_file::cluster::Cluster;
use ha_wire::event::Event;
use ha_wire::phase::Role;

mod bars;
mod end;
mod json;
mod lines;
pub mod pull;

use crate::api::Look;
use crate::launch::{Change, Lost, Spent, Track};
use ha_flatcar_image::Bar;
use ha_host_base::text::{count, list};
use ha_providers::Finding;

/// Someone who tells people (or programs) how a launch goes.
pub trait Show {
    /// It begins.
    fn begin(&mut self, cluster: &Cluster);
    /// One of the host's own steps went well; what it found.
    fn step(&mut self, name: &str, seen: &[String]);
    /// A node said something.
    fn event(&mut self, event: &Event);
    /// A node is somewhere else, or waits for something else.
    fn change(&mut self, track: &Track, change: Change);
    /// The cluster shows something new.
    fn look(&mut self, look: &Look, cluster: &Cluster);
    /// Time passes.
    fn tick(&mut self, tracks: &[Track]);
    /// It is over.
    fn end(&mut self, end: &End);
    /// How a long download is told.
    fn bar(&self) -> Box<dyn Bar> {
        crate::progress::pull::of(false)
    }
    /// It is over before it could begin; people read the error on standard error.
    fn error(&mut self, _message: &str) {}
}

/// How a launch ended, with everything there is to say.
#[derive(Debug)]
pub enum End {
    /// The cluster is whole.
    Ready(Summary),
    /// It was whole before.
    Already(Summary),
    /// This machine cannot carry the cluster: what is wrong with it.
    Unfit(Vec<Finding>),
    /// A node needs a person; the cluster file.
    Lost(Lost, PathBuf),
    /// It took too long.
    TimedOut {
        /// How long.
        took: Duration,
        /// What everybody waits for.
        missing: Vec<String>,
        /// The cluster file.
        file: PathBuf,
    },
    /// Ctrl-C.
    Interrupted {
        /// The cluster file.
        file: PathBuf,
    },
}

/// A whole cluster.
#[derive(Debug)]
pub struct Summary {
    /// Its name.
    pub cluster: String,
    /// How many nodes.
    pub nodes: usize,
    /// The first of them, as an example.
    pub first_node: String,
    /// How many control planes.
    pub control_planes: usize,
    /// How many etcd members vote.
    pub members: usize,
    /// Which node holds the VIP.
    pub holder: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// Where the time went.
    pub spent: Spent,
}

/// Lines of findings are no wider than this.
const WIDTH: usize = 110;

/// A step as text, after `margin`.
fn step(margin: &str, name: &str, seen: &[String]) -> String {
    let head = format!("{margin}  {name:<11} ok   ");
    let seen = list(seen, WIDTH, head.chars().count());
    head + &seen
}

/// The right one for where standard output goes.
pub fn of(json: bool) -> Box<dyn Show> {
    if json {
        Box::new(json::Json)
    } else if std::io::stdout().is_terminal() {
        Box::new(bars::Bars::default())
    } else {
        Box::new(lines::Lines::default())
    }
}

/// `3 control planes, 2 workers, VIP 10.77.0.30:6444, Kubernetes 1.34.4, nspawn`.
pub fn headline(cluster: &Cluster) -> String {
    let planes = cluster.control_planes().count();
    let workers = cluster
        .nodes
        .iter()
        .filter(|n| n.role == Role::Worker)
        .count();
    format!(
        "{}, {}, VIP {}, Kubernetes {}, {}",
        count(planes, "control plane"),
        count(workers, "worker"),
        cluster.endpoint.authority(),
        cluster.kubernetes.version,
        cluster.provider.name()
    )
}
