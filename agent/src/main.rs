//! ha-agent: brings a Flatcar node into its highly available Kubernetes cluster and keeps watch.
//!
//! Read on in `plan.rs`: the table of contents of a node's life. `state_machine.rs` says what may follow on what, `driver.rs`
//! does it, and each phase is one file in `phases/`.

// clippy.toml says which; tests make the machine that they need.
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

/// How long to wait before the next attempt.
mod backoff;
mod cli;
/// Clients of the API and of etcd, each made once.
mod clients;
/// One file per verb.
mod commands;
/// What every phase is handed.
mod context;
/// The one loop that moves a node along its plan.
mod driver;
/// Deaths at named places, for tests.
mod failpoints;
/// The running haproxy, over its own socket.
mod haproxy;
/// The health source for keepalived.
mod health;
/// The cluster over HTTPS: its API, etcd, certificates.
mod kube;
mod needs_a_person;
/// What comes before an orderly reboot.
mod orderly_shutdown;
/// One phase, one file.
mod phases;
mod plan;
mod render;
/// What is reported: journal, systemd, state file, events.
mod report;
/// Who runs keepalived and haproxy.
mod runner;
mod state_machine;
mod status_facts;
/// The only place that touches the machine: clippy.toml forbids it to all others.
#[allow(clippy::disallowed_methods)]
mod sys;
#[cfg(test)]
mod testing;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run_verb(cli) {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            commands::Exit::Failed.into()
        }
    }
}
