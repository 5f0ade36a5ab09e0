//! One file a verb.

use std::process::ExitCode;

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, Node};

mod check;
mod completions;
mod destroy;
mod doctor;
mod exec;
mod guest_exec;
mod image;
mod kubeconfig;
mod launch;
mod logs;
mod machines;
mod new;
mod render;
mod report;
mod serve;
mod status;

use crate::cli::{Cli, Verb};
use crate::progress;
use crate::source::{self, Source};
use crate::state::{ClusterDir, StateRoot};
use ha_host_base::exit::{Exit, Stop};
use ha_host_base::signals;
use ha_providers::{self, Provider};

/// Does what the command line says.
pub fn run_verb(cli: &Cli) -> Result<ExitCode> {
    take_signals(&cli.verb)?;
    let root = || {
        let root = StateRoot::new(cli.state_dir.as_deref())?;
        if let Some(warning) = root.check_place()? {
            eprintln!("{}", progress::warning_line(&warning));
        }
        Ok(root)
    };
    let done = |result: Result<()>| result.map(|()| Exit::Done.into());
    match &cli.verb {
        Verb::New(args) => done(new::run(args)),
        // Without a home no cluster is known, and a file can be checked all the same.
        Verb::Check(args) => {
            let root = StateRoot::new(cli.state_dir.as_deref()).ok();
            check::run(args, root.as_ref()).map(Into::into)
        }
        Verb::Render(args) => done(render::run(args, &root()?)),
        Verb::Launch(args) => launch::run(args, &root()?).map(Into::into),
        Verb::Serve(args) => done(serve::run(args, &root()?)),
        Verb::Status(args) => status::run(args, &root()?).map(Into::into),
        Verb::Doctor(args) => doctor::run(args, &root()?).map(Into::into),
        Verb::Report(args) => done(report::run(args, &root()?)),
        Verb::Kubeconfig(args) => done(kubeconfig::run(args, &root()?)),
        Verb::Logs(args) => logs::run(args, &root()?),
        Verb::Destroy(args) => done(destroy::run(args, &root()?)),
        Verb::Image(args) => done(image::run(args, root())),
        Verb::Completions(args) => done(completions::print_completions(args)),
        Verb::Man => done(completions::print_manual()),
        Verb::Exec(args) => exec::run(args, &root()?),
        Verb::Power(args) => done(machines::switch_power(args, &root()?)),
        Verb::Cut(args) => done(machines::cut_off(args, &root()?)),
        Verb::Reach(args) => done(machines::print_reach(args, &root()?)),
        Verb::Remake(args) => done(machines::remake_machine(args, &root()?)),
        Verb::GuestExec(args) => guest_exec::run(args),
        Verb::QemuFilter => done(ha_providers::qemu::filter::carry_frames()),
        Verb::NspawnKeeper(args) => done(ha_providers::nspawn::keeper::run(&args.args)),
    }
}

/// Every verb ends on a signal, but those that stay in the background, and the one that has a command in a machine to end first.
fn take_signals(verb: &Verb) -> Result<()> {
    match verb {
        Verb::QemuFilter | Verb::NspawnKeeper(_) | Verb::GuestExec(_) => Ok(()),
        _ => signals::end_on_signals(),
    }
}

/// To standard error, where they do not disturb whoever reads the result.
fn print_warnings(source: &Source) {
    if !source.warnings.is_empty() {
        eprintln!("{}", source.warnings);
    }
}

/// A known cluster with its provider.
struct KnownCluster {
    dir: ClusterDir,
    cluster: Cluster,
    provider: Box<dyn Provider>,
}

impl KnownCluster {
    fn find(root: &StateRoot, name: &str) -> Result<Self> {
        let dir = source::find_cluster(root, name)?;
        let cluster = dir.cluster()?;
        let provider = ha_providers::provider_of(&cluster, dir.path())?;
        Ok(Self {
            dir,
            cluster,
            provider,
        })
    }

    fn node(&self, name: &str) -> Result<&Node> {
        let names: Vec<&str> = self.cluster.nodes.iter().map(|n| n.name.as_str()).collect();
        let wrong = || {
            Stop::bad_input(format!(
                "{} has no node {name}; it has {}",
                self.cluster.name,
                names.join(", ")
            ))
        };
        self.cluster
            .nodes
            .iter()
            .find(|n| n.name == name)
            .ok_or_else(wrong)
    }
}
