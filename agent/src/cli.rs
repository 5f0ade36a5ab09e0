//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use ha_wire::paths;

/// Brings a Flatcar node into its highly available Kubernetes cluster and keeps watch.
#[derive(Debug, Parser)]
#[command(name = "ha-agent", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// The node file: what this node is.
    #[arg(long, global = true, value_name = "FILE", default_value = paths::NODE_FILE)]
    pub node: PathBuf,
    /// Look for all other files below this directory.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/",
        hide = true
    )]
    pub root: PathBuf,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Bring this node into its cluster and keep watch (ha-agent.service does this).
    Run,
    /// Say how this node stands. Exit code: 0 steady, 1 failed, 3 still working.
    Status {
        /// The whole status as JSON.
        #[arg(long)]
        json: bool,
        /// Say it again whenever it changes.
        #[arg(long)]
        watch: bool,
    },
    /// Examine this machine and name each fault. Exit code: 0 fit, 1 not.
    Doctor {
        /// The checks as JSON, with what is compared across nodes.
        #[arg(long)]
        json: bool,
    },
    /// Show the files that the agent would write; changes nothing.
    Render {
        /// Write them below this directory instead.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Ask the local haproxy once (keepalived's safety net).
    #[command(hide = true)]
    Probe,
    /// Open a connection to each of these and say how that ended (`ha-host doctor` asks).
    #[command(hide = true)]
    TryPorts {
        /// Where to.
        #[arg(value_name = "ADDRESS:PORT")]
        to: Vec<SocketAddr>,
    },
    /// Keep an etcd that knows a cluster from beginning an empty one (before the kubelet starts).
    #[command(hide = true)]
    CloseBootstrap,
}
