//! `logs CLUSTER NODE`: the node's journal; if the machine is off, what its console and its agent said last.

use std::process::ExitCode;

use anyhow::Result;
use ha_host_base::exit::Exit;
use ha_providers::Machine;

use super::{KnownCluster, exec};
use crate::cli::Logs;
use crate::state::StateRoot;

/// Ends with journalctl's own exit code.
pub fn run(args: &Logs, root: &StateRoot) -> Result<ExitCode> {
    let known = KnownCluster::find(root, &args.cluster)?;
    let node = known.node(&args.node)?;
    if known.provider.state(node)? != Machine::Running {
        eprintln!(
            "{} is off; this is what its console and its agent said",
            node.name
        );
        for path in [known.provider.console(node), known.provider.events(node)] {
            let bytes = std::fs::read(&path).unwrap_or_default();
            println!(
                "--- {}\n{}",
                path.display(),
                String::from_utf8_lossy(&bytes)
            );
        }
        return Ok(Exit::Done.into());
    }
    let mut argv = vec!["journalctl", "--no-pager", "--no-hostname"];
    if args.follow {
        argv.extend(["--follow", "--lines=200"]);
    }
    if let Some(unit) = &args.unit {
        argv.extend(["--unit", unit]);
    }
    Ok(exec::exit_code(known.provider.exec(node, &argv)?.status()?))
}
