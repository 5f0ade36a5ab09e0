//! Figures: each a row with its target and the ratio to it. Nothing here fails because something is slow.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

pub mod guide;
pub mod launch;
pub mod memory;
pub mod render;
pub mod size;

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// The figure; the median where there are several runs.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it is to be at most.
    pub target: Option<f64>,
    /// Value by target: up to 1 is good.
    pub ratio: Option<f64>,
    /// How it was measured.
    pub how: String,
}

impl Figure {
    /// A figure without a target.
    pub fn new(
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        how: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            value,
            unit,
            target: None,
            ratio: None,
            how: how.into(),
        }
    }

    /// The same with a target.
    #[must_use]
    pub fn at_most(mut self, target: f64) -> Self {
        self.target = Some(target);
        self.ratio = Some(self.value / target);
        self
    }
}

/// What the bench prints and writes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BenchReport {
    /// The figures.
    pub rows: Vec<Figure>,
    /// When each node met each phase, in seconds since the launch's begin.
    pub phases: Vec<launch::ObservedPhase>,
}

impl BenchReport {
    /// The figures as a table.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<44} {:>10} {:<4} {:>8} {:>6}  {}\n",
            "what", "value", "unit", "target", "ratio", "how"
        );
        let or_dash = |x: Option<f64>| x.map_or_else(|| "-".into(), |x| format!("{x:.2}"));
        for r in &self.rows {
            let (target, ratio) = (or_dash(r.target), or_dash(r.ratio));
            let _ = writeln!(
                text,
                "{:<44} {:>10.2} {:<4} {target:>8} {ratio:>6}  {}",
                r.what, r.value, r.unit, r.how
            );
        }
        if !self.phases.is_empty() {
            let _ = writeln!(
                text,
                "\nlaunch: when each node met each phase, seconds since the launch began (how long it took)"
            );
            text.push_str(&launch::table_by_node(&self.phases));
        }
        text
    }

    /// Where the JSON goes.
    pub fn path() -> PathBuf {
        crate::lab::workspace_root().join("target/bench/bench.json")
    }
}

/// The middle of several runs.
pub fn median_of(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Milliseconds with fractions.
pub fn as_milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests;
