//! `logs CLUSTER NODE`: the node's journal; if the machine is off, what its console and its agent said last.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use ha_host_base::command::{Input, run_attached};
use ha_host_base::exit::Exit;
use ha_host_base::files;
use ha_host_base::text::printable_line;
use ha_providers::Machine;

use super::{KnownCluster, exec};
use crate::cli::LogsArgs;
use crate::state::StateRoot;

/// So much of what a machine that is off said last is shown, of each of its two files: the end of any boot, and no flood.
const TAIL_BYTES: u64 = 256 * 1024;

/// Directories are named NAMESPACE_POD_UID.
const POD_LOGS: &str = r#"exec tail --lines=200 "$1" -- /var/log/pods/*_"$0"*/*/*.log"#;

/// Ends with the exit code of the node's own program.
pub fn run(args: &LogsArgs, root: &StateRoot) -> Result<ExitCode> {
    let known = KnownCluster::find(root, &args.cluster)?;
    let node = known.node(&args.node)?;
    if known.provider.state(node)? != Machine::Running {
        eprintln!(
            "{} is off; this is what its console and its agent said last",
            node.name
        );
        for path in [known.provider.console(node), known.provider.events(node)] {
            print_tail(&path)?;
        }
        return Ok(Exit::Done.into());
    }
    let argv = match &args.pod {
        Some(pod) => pod_argv(pod, args.follow),
        None => journal_argv(args),
    };
    let mut command = known.provider.exec(node, &argv)?;
    Ok(exec::exit_code(run_attached(&mut command, Input::Empty)?))
}

fn journal_argv(args: &LogsArgs) -> Vec<&str> {
    let mut argv = vec!["journalctl", "--no-pager", "--no-hostname"];
    if args.follow {
        argv.extend(["--follow", "--lines=200"]);
    }
    if let Some(unit) = &args.unit {
        argv.extend(["--unit", unit]);
    }
    argv
}

/// As the runtime writes them: they are there without an apiserver, and of containers that have ended.
fn pod_argv(pod: &str, follow: bool) -> Vec<&str> {
    let follow = if follow {
        "--follow=name"
    } else {
        "--lines=200"
    };
    vec!["sh", "-c", POD_LOGS, pod, follow]
}

/// The guest wrote it: its control characters must not reach a terminal.
fn print_tail(path: &Path) -> Result<()> {
    println!("--- {}", path.display());
    let bytes = files::read_tail(path, TAIL_BYTES)?.unwrap_or_default();
    for line in bytes.split(|byte| *byte == b'\n') {
        println!(
            "{}",
            printable_line(&String::from_utf8_lossy(line)).trim_end()
        );
    }
    Ok(())
}
