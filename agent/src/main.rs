//! ha-agent: brings a Flatcar node into its highly available Kubernetes cluster and keeps watch.
//!
//! Read on in `plan.rs`: the table of contents of a node's life. `machine.rs` says what may follow on what, `driver.rs`
//! does it, and each phase is one file in `phases/`.

/// How long to wait before the next attempt.
mod backoff;
/// The command line.
mod cli;
/// Clients of the API and of etcd, each made once.
mod clients;
/// One file per verb.
mod commands;
/// What every phase is handed.
mod context;
/// The one loop that moves a node along its plan.
mod driver;
/// Facts for `status`.
mod facts;
/// Deaths at named places, for tests.
mod failpoints;
/// The running haproxy, over its own socket.
mod haproxy;
/// The health source for keepalived.
mod health;
/// The cluster over HTTPS: its API, etcd, certificates.
mod kube;
/// The state machine.
mod machine;
/// One phase, one file.
mod phases;
/// Role -> phases.
mod plan;
/// Pure renderers.
mod render;
/// The only place that touches the machine.
mod sys;
/// The agent's voice.
mod tell;
/// Fakes.
#[cfg(test)]
mod testing;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::dispatch(cli) {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            commands::Exit::Failed.into()
        }
    }
}
