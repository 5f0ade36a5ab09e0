//! Plain lines, one a change: for pipes, logs and CI.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ha_flatcar_image::Bar;
use ha_host_base::text::printable_line;

use super::describe::waiting_for;
use super::{
    Printer, awaited_lines, cluster_headline, print_end_and_picture, pull, step_line, warning_line,
};
use crate::launch::node_progress::{NodeChange, NodeProgress};
use crate::launch::report::{LaunchEvent, Report};

/// Words of one node that only waits are told no more often than this.
const WAITING_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct LineReport {
    printer: Box<dyn Printer>,
    begun: Instant,
    told: BTreeMap<String, Instant>,
    ready: usize,
    picture: Option<PathBuf>,
}

impl Report for LineReport {
    fn tell(&mut self, happened: &LaunchEvent<'_>) {
        match happened {
            LaunchEvent::Begun(cluster) => {
                let line = format!("{}: {}", cluster.name, cluster_headline(cluster));
                self.printer.print(&line);
            }
            LaunchEvent::StepDone(name, facts) => {
                self.printer
                    .print(&step_line(&self.stamp(), name, facts, usize::MAX));
            }
            LaunchEvent::Warning(message) => self.printer.print_error(&warning_line(message)),
            LaunchEvent::NodeChanged(node, change) => self.node_changed(node, *change),
            LaunchEvent::ClusterChanged(look, cluster) => {
                let ready = cluster.nodes.iter().filter(|n| look.is_ready(&n.name));
                self.count_ready(ready.count(), cluster.kubernetes_nodes().count());
            }
            LaunchEvent::ClusterAwaited(missing) => {
                for line in awaited_lines(&self.stamp(), missing) {
                    self.printer.print(&line);
                }
            }
            LaunchEvent::Ended(end) => {
                print_end_and_picture(end, self.picture.as_deref(), &*self.printer);
            }
            LaunchEvent::NodeSaid(_) | LaunchEvent::Tick(_) => {}
            LaunchEvent::PictureWritten(path) => self.picture = Some(path.to_path_buf()),
            LaunchEvent::StepBegun(_) | LaunchEvent::Broken(_) | LaunchEvent::StateHeld(_) => {}
        }
    }

    fn download_bar(&self) -> Box<dyn Bar> {
        pull::download_bar(false)
    }
}

impl LineReport {
    pub fn new(printer: Box<dyn Printer>) -> Self {
        Self {
            printer,
            begun: Instant::now(),
            told: BTreeMap::new(),
            ready: 0,
            picture: None,
        }
    }

    fn stamp(&self) -> String {
        format!("{:>4.0} s", self.begun.elapsed().as_secs_f32())
    }

    fn node_changed(&mut self, node: &NodeProgress, change: NodeChange) {
        let now = Instant::now();
        let last = self.told.get(&node.name);
        let recent = last.is_some_and(|t| now.duration_since(*t) < WAITING_EVERY);
        if change == NodeChange::Waiting && recent {
            return;
        }
        self.told.insert(node.name.clone(), now);
        let (stage, words) = (node.stage, printable_line(&waiting_for(node)));
        let (stamp, role) = (self.stamp(), node.role.label());
        let line = format!("{stamp}  {}  {role:<13}  {stage:<9}  {words}", node.name);
        self.printer.print(line.trim_end());
    }

    fn count_ready(&mut self, ready: usize, all: usize) {
        if ready != self.ready {
            let line = format!("{}  {ready} of {all} nodes are Ready", self.stamp());
            self.printer.print(&line);
        }
        self.ready = ready;
    }
}
