//! One line per node that changes in place: for terminals.

use std::time::{Duration, Instant};

use ha_cluster_file::cluster::Cluster;
use ha_host_base::text::{Paint, printable};
use ha_wire::event::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{End, Show, end, headline, step};
use crate::api::Look;
use crate::launch::{Change, Life, Track};

/// Cells of a bar.
const CELLS: usize = 14;
/// Redrawn this often: people see no more, and processors are dear.
const REDRAW: Duration = Duration::from_millis(250);
/// More nodes than this share one line of counts: a terminal has so many lines.
const MAX_LINES: usize = 40;

/// Lines that change in place.
#[derive(Debug)]
pub struct Bars {
    lines: MultiProgress,
    bars: Vec<ProgressBar>,
    drawn: Option<Instant>,
    ready: Vec<String>,
}

impl Default for Bars {
    fn default() -> Self {
        Self {
            lines: MultiProgress::new(),
            bars: Vec::new(),
            drawn: None,
            ready: Vec::new(),
        }
    }
}

impl Show for Bars {
    fn begin(&mut self, cluster: &Cluster) {
        println!("{}: {}", cluster.name, headline(cluster));
    }

    fn step(&mut self, name: &str, seen: &[String]) {
        println!("{}", step("", name, seen));
    }

    fn event(&mut self, _event: &Event) {}

    fn change(&mut self, _track: &Track, _change: Change) {}

    fn look(&mut self, look: &Look, cluster: &Cluster) {
        let ready = cluster.nodes.iter().filter(|n| look.is_ready(&n.name));
        self.ready = ready.map(|n| n.name.clone()).collect();
    }

    fn tick(&mut self, tracks: &[Track]) {
        if self.drawn.is_some_and(|t| t.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        if self.bars.is_empty() {
            // A template of one plain key cannot be wrong.
            let style = ProgressStyle::with_template("{wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let lines = if tracks.len() > MAX_LINES {
                1
            } else {
                tracks.len()
            };
            let bar = |_| {
                self.lines
                    .add(ProgressBar::new(1).with_style(style.clone()))
            };
            self.bars = (0..lines).map(bar).collect();
        }
        if tracks.len() > MAX_LINES {
            self.bars[0].set_message(counts(tracks, self.ready.len()));
            return;
        }
        let width = tracks.iter().map(|t| t.name.len()).max().unwrap_or(0);
        for (bar, track) in self.bars.iter().zip(tracks) {
            bar.set_message(line(track, width, self.ready.contains(&track.name)));
        }
    }

    fn end(&mut self, end: &End) {
        for bar in &self.bars {
            bar.abandon();
        }
        if !self.bars.is_empty() {
            println!();
        }
        end::print(end);
    }
}

fn counts(tracks: &[Track], ready: usize) -> String {
    let steady = tracks.iter().filter(|t| t.life == Life::Steady).count();
    let failing = tracks.iter().filter(|t| t.trouble.is_some()).count();
    format!(
        "  {ready} Ready, {steady} steady, {failing} failing, {} in all",
        tracks.len()
    )
}

fn line(track: &Track, width: usize, ready: bool) -> String {
    let full = (track.share() * CELLS as f32) as usize;
    let bar: String = (0..CELLS)
        .map(|i| if i < full { '█' } else { '░' })
        .collect();
    let words = match (track.life, ready) {
        (Life::Steady, true) => "Ready".to_owned(),
        _ => printable(&track.words()),
    };
    let paint = Paint::stderr();
    let place = format!("{:<9}", track.place());
    let place = match (&track.trouble, track.life) {
        (Some(_), _) => paint.red(&place),
        (None, Life::Steady) => paint.green(&place),
        _ => place,
    };
    let (name, role, since) = (
        &track.name,
        track.role.words(),
        track.since.elapsed().as_secs(),
    );
    let time = if track.life == Life::Steady {
        String::new()
    } else {
        format!("  {since} s")
    };
    format!("  {name:<width$}  {role:<13}  {place}  {bar}  {words}{time}")
}
