//! Plain lines, one a change: for pipes, logs and CI.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ha_cluster_file::cluster::Cluster;
use ha_host_base::text::printable;
use ha_wire::event::Event;

use super::{End, Show, end, headline, step};
use crate::api::Look;
use crate::launch::{Change, Track};

/// Words of one node that only wait are told no more often than this.
const WORDS_EVERY: Duration = Duration::from_secs(5);

/// Plain lines.
#[derive(Debug)]
pub struct Lines {
    begun: Instant,
    told: BTreeMap<String, Instant>,
    ready: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            told: BTreeMap::new(),
            ready: 0,
        }
    }
}

impl Lines {
    fn stamp(&self) -> String {
        format!("{:>4.0} s", self.begun.elapsed().as_secs_f32())
    }
}

impl Show for Lines {
    fn begin(&mut self, cluster: &Cluster) {
        println!("{}: {}", cluster.name, headline(cluster));
    }

    fn step(&mut self, name: &str, seen: &[String]) {
        println!("{}", step(&self.stamp(), name, seen));
    }

    fn event(&mut self, _event: &Event) {}

    fn change(&mut self, track: &Track, change: Change) {
        let now = Instant::now();
        let recent = self
            .told
            .get(&track.name)
            .is_some_and(|t| now.duration_since(*t) < WORDS_EVERY);
        if change == Change::None || (change == Change::Words && recent) {
            return;
        }
        self.told.insert(track.name.clone(), now);
        let (place, words) = (track.place(), printable(&track.words()));
        let line = format!(
            "{}  {}  {:<13}  {place:<9}  {words}",
            self.stamp(),
            track.name,
            track.role.words()
        );
        println!("{}", line.trim_end());
    }

    fn look(&mut self, look: &Look, cluster: &Cluster) {
        let ready = look.ready(cluster);
        if ready != self.ready {
            println!(
                "{}  {ready} of {} nodes are Ready",
                self.stamp(),
                cluster.nodes.len()
            );
        }
        self.ready = ready;
    }

    fn tick(&mut self, _tracks: &[Track]) {}

    fn end(&mut self, end: &End) {
        end::print(end);
    }
}
