//! The verbs, one file each, and what their exit codes mean.

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use ha_wire::node::{NodeFile, UNUSABLE_EXIT_CODE};

use crate::cli::{Cli, Verb};
use crate::sys::files::{Files, read_named_file};

mod close_bootstrap;
mod doctor;
mod probe;
mod render;
mod run;
mod status;
mod try_ports;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// As wished; `status`: steady.
    Done = 0,
    /// It failed; `status`: the node failed.
    Failed = 1,
    /// The node file or the command line is wrong; nothing was written.
    BadInput = UNUSABLE_EXIT_CODE,
    Working = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Does what the command line says.
pub fn run_verb(cli: Cli) -> Result<Exit> {
    let files = Files::new(&cli.root);
    match cli.verb {
        Verb::Run => with_node(&cli.node, |node| run::run_service(node, files)),
        Verb::Status { json, watch } => status::print_status(&files, json, watch),
        Verb::Doctor { json } => {
            with_node(&cli.node, |node| doctor::examine_machine(node, files, json))
        }
        Verb::Render { out } => with_node(&cli.node, |node| {
            render::print_config_files(node, files, out.as_deref())
        }),
        Verb::CloseBootstrap => with_node(&cli.node, |node| {
            close_bootstrap::close_bootstrap(node, files)
        }),
        Verb::Probe => probe::probe_once(&files),
        Verb::TryPorts { to } => try_ports::try_ports(&to),
    }
}

/// Prints. False: nobody reads any more (`| head`), which is no fault.
fn print_out(text: &str) -> std::io::Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// Reads the node file first: a bad one gets one message with place and cause.
fn with_node(path: &Path, verb: impl FnOnce(NodeFile) -> Result<Exit>) -> Result<Exit> {
    match node_file(path) {
        Ok(node) => verb(node),
        Err(error) => {
            eprintln!("error: {error:#}");
            Ok(Exit::BadInput)
        }
    }
}

fn node_file(path: &Path) -> Result<NodeFile> {
    let name = path.display();
    let text =
        read_named_file(path).with_context(|| format!("cannot read the node file {name}"))?;
    NodeFile::parse(&text).with_context(|| format!("{name}"))
}
