//! How a launch looks: on a terminal, in a pipe, to a machine.

use std::fmt::Debug;
use std::io::IsTerminal;
use std::path::Path;

use ha_cluster_file::cluster::Cluster;
use ha_host_base::text::{pluralize, printable_line, shown_path, wrap_list};
use ha_wire::phase::Role;
use indicatif::MultiProgress;

mod bars;
pub mod describe;
mod end;
mod interruptible;
mod json;
mod lines;
pub mod pull;
#[cfg(test)]
pub mod tests;

use crate::launch::report::{End, Report};

#[cfg(test)]
pub use end::end_text;
pub use end::what_failed;
pub use interruptible::InterruptibleReport;

/// Lines of findings are no wider than this.
const WIDTH: usize = 110;

/// A step that went well as text, after `margin`, for so many columns.
fn step_line(margin: &str, name: &str, facts: &[String], columns: usize) -> String {
    let head = format!("{margin}  {name:<11} ok   ");
    let facts = wrap_list(facts, columns.min(WIDTH), head.chars().count());
    head + &facts
}

/// What a cluster whose nodes are there still needs as text, after `margin`.
fn awaited_lines(margin: &str, missing: &[String]) -> Vec<String> {
    let line = |what: &String| format!("{margin}  waiting for {}", printable_line(what));
    missing.iter().map(line).collect()
}

/// The end, and where the launch's picture is, on the same stream.
fn print_end_and_picture(end: &End, picture: Option<&Path>, printer: &dyn Printer) {
    end::print_end(end, printer);
    let Some(place) = picture.map(shown_path) else {
        return;
    };
    match end {
        End::Ready(_) | End::AlreadyReady(_) => printer.print(&format!("  report: {place}")),
        _ => printer.print_error(&format!("  report   {place}")),
    }
}

/// A warning as text.
pub fn warning_line(message: &str) -> String {
    format!("warning: {}", printable_line(message))
}

/// Where the lines of a report go.
pub trait Printer: Debug + Send {
    /// What was asked for.
    fn print(&self, line: &str);
    /// Warnings, and ends that are not what was asked for.
    fn print_error(&self, line: &str);
}

/// This process's own streams.
#[derive(Debug)]
pub struct StandardStreams;

impl Printer for StandardStreams {
    fn print(&self, line: &str) {
        println!("{line}");
    }

    fn print_error(&self, line: &str) {
        eprintln!("{line}");
    }
}

/// The right one for where standard output goes.
pub fn choose_report(json: bool) -> Box<dyn Report> {
    let printer = Box::new(StandardStreams);
    if json {
        Box::new(json::JsonReport::new(printer))
    } else if std::io::stdout().is_terminal() {
        let columns = bars::columns_of_terminal;
        Box::new(bars::BarReport::new(printer, MultiProgress::new(), columns))
    } else {
        Box::new(lines::LineReport::new(printer))
    }
}

/// Load balancers are named where they have machines of their own: `3 control planes, 2 workers, VIP 10.77.0.30:6444, Kubernetes 1.36.3, nspawn`.
pub fn cluster_headline(cluster: &Cluster) -> String {
    let planes = cluster.control_planes().count();
    let workers = cluster
        .nodes
        .iter()
        .filter(|n| n.role == Role::Worker)
        .count();
    let balancers = match cluster.balancer_machines().count() {
        0 => String::new(),
        machines => format!("{}, ", pluralize(machines, "load balancer")),
    };
    format!(
        "{}, {}, {balancers}{} {}, Kubernetes {}, {}",
        pluralize(planes, "control plane"),
        pluralize(workers, "worker"),
        match cluster.has_external_balancer() {
            true => "API at",
            false => "VIP",
        },
        cluster.endpoint.authority(),
        cluster.kubernetes.version,
        cluster.provider.name()
    )
}
