//! ha-host: makes a highly available Kubernetes cluster of Flatcar machines from one cluster.yaml.
//!
//! Read `cli.rs` (the verbs), then `commands/` (one file a verb), then `launch.rs` (the main one).

#![allow(
    missing_docs,
    reason = "a program's documentation is read where it is written: names speak, comments say why"
)]
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic when nobody reads any more; see below"
)]

// In place of the standard library's in this whole program: a closed pipe ends no launch.
#[macro_use(print, println, eprintln)]
extern crate ha_host_base;

use std::process::ExitCode;

/// The cluster as it is seen from outside: the API, etcd and every apiserver.
mod api;
/// The disk that all virtual machines share.
mod assets;
/// Where each system extension comes from.
mod bakery;
/// The verbs and their options.
mod cli;
/// One file a verb.
mod commands;
/// One minimal Ignition config per node.
mod ignition;
/// The operator's own files that the cluster file names.
mod inputs;
/// From a cluster file to a cluster that stands.
mod launch;
/// What a launch leaves behind for people: its facts, and a page that shows them.
mod launch_picture;
/// What the nodes say about themselves.
mod node_status;
/// Certificate authorities, and what they sign.
mod pki;
/// How a launch looks: on a terminal, in a pipe, to a machine.
mod progress;
/// Why a node that has booted says nothing.
mod serve;
mod silent_node;
/// The cluster file as people hand it over.
mod source;
/// What is kept of each cluster.
mod state;
#[cfg(test)]
mod testing;

fn main() -> ExitCode {
    ha_host_base::exit::finish_program(commands::run_verb(&cli::parse_arguments()))
}
