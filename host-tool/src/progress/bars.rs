//! One line per node that changes in place: for terminals.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ha_cluster_file::cluster::Cluster;
use ha_flatcar_image::Bar;
use ha_host_base::text::{Paint, human_duration, pad_to_width, printable_line, truncate_to_width};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::describe::{STEPS, completed_steps, waiting_for};
use super::{
    Printer, awaited_lines, cluster_headline, print_end_and_picture, pull, step_line, warning_line,
};
use crate::api::ClusterView;
use crate::launch::node_progress::{NodeProgress, Stage};
use crate::launch::report::{End, LaunchEvent, Report};

/// Redrawn this often: people see no more, and processors are dear.
const REDRAW: Duration = Duration::from_millis(250);
/// More nodes than this share one line of counts: a terminal has so many lines.
const MAX_LINES: usize = 40;
/// A node's line. Templates of known keys cannot be wrong.
const NODE_LINE: &str = "  {prefix}  {bar:14}  {wide_msg}";
/// The same where columns are dear: the stage says how far it is.
const NARROW_LINE: &str = "  {prefix}  {wide_msg}";
/// A terminal with fewer columns has no room for bars.
const NARROW: usize = 100;
/// Lines are no wider: the eye does not find the time of a node behind a gap.
const WIDEST: usize = 140;
/// A longer name of a node is cut.
const LONGEST_NAME: usize = 24;
/// Room for the time, at the end of a line.
const TIME: usize = 10;
const COUNTS_LINE: &str = "  {wide_msg}";

/// How many columns the terminal has now.
pub type Columns = fn() -> usize;

/// Of the terminal on standard error, where the bars are.
pub fn columns_of_terminal() -> usize {
    usize::from(console::Term::stderr().size().1)
}

/// Lines that change in place.
#[derive(Debug)]
pub struct BarReport {
    printer: Box<dyn Printer>,
    lines: MultiProgress,
    columns: Columns,
    bars: Vec<ProgressBar>,
    narrow: bool,
    drawn: Option<Instant>,
    ready: Vec<String>,
    picture: Option<PathBuf>,
}

impl Report for BarReport {
    fn tell(&mut self, happened: &LaunchEvent<'_>) {
        match happened {
            LaunchEvent::Begun(cluster) => {
                let line = format!("{}: {}", cluster.name, cluster_headline(cluster));
                self.printer.print(&line);
            }
            LaunchEvent::StepDone(name, facts) => {
                let columns = (self.columns)();
                self.printer.print(&step_line("", name, facts, columns));
            }
            // Above the bars, if there are any.
            LaunchEvent::Warning(message) => self
                .lines
                .suspend(|| self.printer.print_error(&warning_line(message))),
            LaunchEvent::ClusterChanged(look, cluster) => self.note_ready(look, cluster),
            LaunchEvent::ClusterAwaited(missing) => self.lines.suspend(|| {
                for line in awaited_lines("", missing) {
                    self.printer.print(&line);
                }
            }),
            LaunchEvent::Tick(nodes) => self.redraw(nodes),
            LaunchEvent::Ended(end) => self.end(end),
            // The next tick shows it.
            LaunchEvent::NodeSaid(_) | LaunchEvent::NodeChanged(..) => {}
            LaunchEvent::PictureWritten(path) => self.picture = Some(path.to_path_buf()),
            LaunchEvent::StepBegun(_) | LaunchEvent::Broken(_) | LaunchEvent::StateHeld(_) => {}
        }
    }

    fn download_bar(&self) -> Box<dyn Bar> {
        pull::download_bar(false)
    }
}

impl BarReport {
    /// The bars are drawn on standard error, or where `lines` draws.
    pub fn new(printer: Box<dyn Printer>, lines: MultiProgress, columns: Columns) -> Self {
        Self {
            printer,
            lines,
            columns,
            bars: Vec::new(),
            narrow: false,
            drawn: None,
            ready: Vec::new(),
            picture: None,
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
        let (each, columns) = (nodes.len() <= MAX_LINES, (self.columns)().min(WIDEST));
        self.begin(if each { nodes.len() } else { 1 }, each, columns < NARROW);
        if !each {
            let counts = counts_text(nodes, self.ready.len());
            self.bars[0].set_message(truncate_to_width(&counts, columns.saturating_sub(2)));
            return;
        }
        let longest = nodes.iter().map(|n| n.name.chars().count()).max();
        let name = longest.unwrap_or(0).min(LONGEST_NAME);
        let before_words = match self.narrow {
            true => 2 + name + 28,
            false => 2 + name + 28 + 16,
        };
        let room = columns.saturating_sub(before_words);
        for (bar, node) in self.bars.iter().zip(nodes) {
            bar.set_prefix(node_prefix(node, name));
            bar.set_position(completed_steps(node.stage) as u64);
            bar.set_message(node_message(node, self.ready.contains(&node.name), room));
        }
    }

    /// The lines, as the terminal's width is now.
    fn begin(&mut self, lines: usize, each: bool, narrow: bool) {
        if !self.bars.is_empty() && self.narrow == narrow {
            return;
        }
        self.narrow = narrow;
        let template = match (each, narrow) {
            (false, _) => COUNTS_LINE,
            (true, true) => NARROW_LINE,
            (true, false) => NODE_LINE,
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("█░");
        if self.bars.is_empty() {
            let bar = || ProgressBar::new(STEPS as u64);
            self.bars = (0..lines).map(|_| self.lines.add(bar())).collect();
        }
        for bar in &self.bars {
            bar.set_style(style.clone());
        }
    }

    fn end(&self, end: &End) {
        for bar in &self.bars {
            bar.abandon();
        }
        if !self.bars.is_empty() {
            self.printer.print("");
        }
        print_end_and_picture(end, self.picture.as_deref(), &*self.printer);
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
    let stage = format!("{:<9}", node.stage);
    let stage = match (&node.trouble, node.stage) {
        (Some(_), _) => paint.red(&stage),
        (None, Stage::Steady) => paint.green(&stage),
        _ => stage,
    };
    let name = pad_to_width(&node.name, width);
    format!("{name}  {:<13}  {stage}", node.role.label())
}

/// What does not fit is cut, never the time behind it.
fn node_message(node: &NodeProgress, ready: bool, room: usize) -> String {
    match (node.stage, ready) {
        (Stage::Steady, true) => "Ready".to_owned(),
        (Stage::Steady, false) => truncate_to_width(&printable_line(&waiting_for(node)), room),
        _ => {
            let words = pad_to_width(
                &printable_line(&waiting_for(node)),
                room.saturating_sub(TIME),
            );
            format!("{words}{:>TIME$}", human_duration(node.since.elapsed()))
        }
    }
}
