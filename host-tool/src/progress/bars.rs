//! One line per node that changes in place: for terminals.

use std::time::{Duration, Instant};

use ha_cluster_file::cluster::Cluster;
use ha_flatcar_image::Bar;
use ha_host_base::text::{Paint, printable};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::describe::{STEPS, completed_steps, stage_name, waiting_for};
use super::{Printer, cluster_headline, end, pull, step_line, warning_line};
use crate::api::ClusterView;
use crate::launch::node_progress::{NodeProgress, Stage};
use crate::launch::report::{End, LaunchEvent, Report};

/// Redrawn this often: people see no more, and processors are dear.
const REDRAW: Duration = Duration::from_millis(250);
/// More nodes than this share one line of counts: a terminal has so many lines.
const MAX_LINES: usize = 40;
/// A node's line. Templates of known keys cannot be wrong.
const NODE_LINE: &str = "  {prefix}  {bar:14}  {wide_msg}";
const COUNTS_LINE: &str = "  {wide_msg}";

/// Lines that change in place.
#[derive(Debug)]
pub struct BarReport {
    printer: Box<dyn Printer>,
    lines: MultiProgress,
    bars: Vec<ProgressBar>,
    drawn: Option<Instant>,
    ready: Vec<String>,
}

impl Report for BarReport {
    fn tell(&mut self, happened: &LaunchEvent<'_>) {
        match happened {
            LaunchEvent::Begun(cluster) => {
                let line = format!("{}: {}", cluster.name, cluster_headline(cluster));
                self.printer.print(&line);
            }
            LaunchEvent::StepDone(name, facts) => self.printer.print(&step_line("", name, facts)),
            // Above the bars, if there are any.
            LaunchEvent::Warning(message) => self
                .lines
                .suspend(|| self.printer.print_error(&warning_line(message))),
            LaunchEvent::ClusterChanged(look, cluster) => self.note_ready(look, cluster),
            LaunchEvent::Tick(nodes) => self.redraw(nodes),
            LaunchEvent::Ended(end) => self.end(end),
            // The next tick shows it.
            LaunchEvent::NodeSaid(_) | LaunchEvent::NodeChanged(..) => {}
            LaunchEvent::StepBegun(_) | LaunchEvent::Broken(_) => {}
        }
    }

    fn download_bar(&self) -> Box<dyn Bar> {
        pull::download_bar(false)
    }
}

impl BarReport {
    /// The bars are drawn on standard error, or where `lines` draws.
    pub fn new(printer: Box<dyn Printer>, lines: MultiProgress) -> Self {
        Self {
            printer,
            lines,
            bars: Vec::new(),
            drawn: None,
            ready: Vec::new(),
        }
    }

    fn note_ready(&mut self, look: &ClusterView, cluster: &Cluster) {
        let ready = cluster.nodes.iter().filter(|n| look.is_ready(&n.name));
        self.ready = ready.map(|n| n.name.clone()).collect();
    }

    fn redraw(&mut self, nodes: &[&NodeProgress]) {
        if self.drawn.is_some_and(|t| t.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let each = nodes.len() <= MAX_LINES;
        if self.bars.is_empty() {
            self.begin(if each { nodes.len() } else { 1 }, each);
        }
        if !each {
            self.bars[0].set_message(counts_text(nodes, self.ready.len()));
            return;
        }
        let width = nodes.iter().map(|n| n.name.len()).max().unwrap_or(0);
        for (bar, node) in self.bars.iter().zip(nodes) {
            bar.set_prefix(node_prefix(node, width));
            bar.set_position(completed_steps(node.stage) as u64);
            bar.set_message(node_message(node, self.ready.contains(&node.name)));
        }
    }

    fn begin(&mut self, lines: usize, each: bool) {
        let template = if each { NODE_LINE } else { COUNTS_LINE };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("█░");
        let bar = || ProgressBar::new(STEPS as u64).with_style(style.clone());
        self.bars = (0..lines).map(|_| self.lines.add(bar())).collect();
    }

    fn end(&self, end: &End) {
        for bar in &self.bars {
            bar.abandon();
        }
        if !self.bars.is_empty() {
            self.printer.print("");
        }
        end::print_end(end, &*self.printer);
    }
}

fn counts_text(nodes: &[&NodeProgress], ready: usize) -> String {
    let steady = nodes.iter().filter(|n| n.stage == Stage::Steady).count();
    let failing = nodes.iter().filter(|n| n.trouble.is_some()).count();
    format!(
        "{ready} Ready, {steady} steady, {failing} failing, {} in all",
        nodes.len()
    )
}

fn node_prefix(node: &NodeProgress, width: usize) -> String {
    let paint = Paint::stderr();
    let stage = format!("{:<9}", stage_name(node.stage));
    let stage = match (&node.trouble, node.stage) {
        (Some(_), _) => paint.red(&stage),
        (None, Stage::Steady) => paint.green(&stage),
        _ => stage,
    };
    format!("{:<width$}  {:<13}  {stage}", node.name, node.role.label())
}

fn node_message(node: &NodeProgress, ready: bool) -> String {
    match (node.stage, ready) {
        (Stage::Steady, true) => "Ready".to_owned(),
        (Stage::Steady, false) => printable(&waiting_for(node)),
        _ => {
            let seconds = node.since.elapsed().as_secs();
            format!("{}  {seconds} s", printable(&waiting_for(node)))
        }
    }
}
