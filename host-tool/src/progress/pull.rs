//! How a pull looks: on a terminal, in a pipe, to a machine.

use std::io::IsTerminal;

use ha_flatcar_image::{Bar, Step};
use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{Printer, StandardStreams};

/// The version of the JSON lines.
const VERSION: u32 = 1;
/// Plain lines: one for so many per cent.
const LINE_EVERY: u64 = 10;

/// The right one for where the output goes.
pub fn download_bar(json: bool) -> Box<dyn Bar> {
    let printer = Box::new(StandardStreams);
    if json {
        Box::new(JsonBar::new(printer))
    } else if std::io::stdout().is_terminal() && std::io::stderr().is_terminal() {
        Box::new(TerminalBar::default())
    } else {
        Box::new(LineBar::new(printer))
    }
}

/// How far a step is, told only when it matters.
#[derive(Debug, Default)]
struct ToldShare {
    total: Option<u64>,
    told: Option<u64>,
}

impl ToldShare {
    /// The share in per cent when it has passed another multiple of `every`.
    fn passed(&mut self, done: u64, every: u64) -> Option<u64> {
        let total = self.total.filter(|t| *t > 0)?;
        let now = done.saturating_mul(100) / total / every * every;
        (self.told.replace(now) != Some(now)).then_some(now)
    }
}

/// A bar that changes in place.
#[derive(Debug, Default)]
struct TerminalBar(Option<ProgressBar>);

impl Bar for TerminalBar {
    fn begin(&mut self, step: Step, total: Option<u64>) {
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let keys = match total {
            Some(_) => {
                "  {msg:<9} {wide_bar} {decimal_bytes:>10} / {decimal_total_bytes:<10} {eta:>4}"
            }
            None => "  {msg:<9} {decimal_bytes}",
        };
        // A template of known keys cannot be wrong.
        let style =
            ProgressStyle::with_template(keys).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.0 = Some(
            bar.with_style(style.progress_chars("█░"))
                .with_message(step.name()),
        );
    }

    fn at(&mut self, done: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.abandon();
            // The bar stays; what follows begins a line.
            eprintln!();
        }
    }

    fn note(&mut self, text: &str) {
        println!("{text}");
    }
}

/// Plain lines, one for ten per cent.
#[derive(Debug)]
pub struct LineBar {
    printer: Box<dyn Printer>,
    step: Option<Step>,
    share: ToldShare,
}

impl LineBar {
    pub fn new(printer: Box<dyn Printer>) -> Self {
        Self {
            printer,
            step: None,
            share: ToldShare::default(),
        }
    }
}

impl Bar for LineBar {
    fn begin(&mut self, step: Step, total: Option<u64>) {
        self.step = Some(step);
        self.share = ToldShare {
            total,
            told: Some(0),
        };
        let size = total.map_or_else(String::new, |t| format!("  {}", DecimalBytes(t)));
        self.printer.print(&format!("{}{size}", step.name()));
    }

    fn at(&mut self, done: u64) {
        if let (Some(step), Some(share)) = (self.step, self.share.passed(done, LINE_EVERY)) {
            let line = format!("{:<9} {share:>3} %", step.name());
            self.printer.print(&line);
        }
    }

    fn end(&mut self) {
        self.step = None;
    }

    fn note(&mut self, text: &str) {
        self.printer.print(text);
    }
}

/// One JSON object a line, one for each per cent.
#[derive(Debug)]
pub struct JsonBar {
    printer: Box<dyn Printer>,
    step: Option<Step>,
    share: ToldShare,
}

impl JsonBar {
    pub fn new(printer: Box<dyn Printer>) -> Self {
        Self {
            printer,
            step: None,
            share: ToldShare::default(),
        }
    }

    fn print_object(&self, kind: &str, mut object: Value) {
        object["version"] = json!(VERSION);
        object["type"] = json!(kind);
        self.printer.print(&object.to_string());
    }
}

impl Bar for JsonBar {
    fn begin(&mut self, step: Step, total: Option<u64>) {
        self.step = Some(step);
        self.share = ToldShare { total, told: None };
        self.print_object("step", json!({"step": step.name(), "total": total}));
    }

    fn at(&mut self, done: u64) {
        if let (Some(step), Some(_)) = (self.step, self.share.passed(done, 1)) {
            let (name, total) = (step.name(), self.share.total);
            let object = json!({"step": name, "done": done, "total": total});
            self.print_object("progress", object);
        }
    }

    fn end(&mut self) {
        self.step = None;
    }

    fn note(&mut self, text: &str) {
        self.print_object("note", json!({"text": text}));
    }
}

#[cfg(test)]
#[derive(Debug)]
pub struct SilentBar;

#[cfg(test)]
impl Bar for SilentBar {
    fn begin(&mut self, _step: Step, _total: Option<u64>) {}
    fn at(&mut self, _done: u64) {}
    fn end(&mut self) {}
    fn note(&mut self, _text: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_once() {
        let mut share = ToldShare {
            total: Some(200),
            told: Some(0),
        };
        let told: Vec<u64> = (0..=200).filter_map(|d| share.passed(d, 10)).collect();
        assert_eq!(told, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
        assert_eq!(ToldShare::default().passed(5, 1), None);
    }
}
