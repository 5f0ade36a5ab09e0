//! `exec CLUSTER NODE -- CMD`: for tests and support.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use anyhow::Result;
use ha_host_base::command::{Input, run_attached};
use ha_host_base::exit::Exit;

use super::KnownCluster;
use crate::cli::ExecArgs;
use crate::state::StateRoot;

/// Ends with the command's own exit code.
pub fn run(args: &ExecArgs, root: &StateRoot) -> Result<ExitCode> {
    let known = KnownCluster::find(root, &args.cluster)?;
    let argv: Vec<&str> = args.argv.iter().map(String::as_str).collect();
    let mut command = known.provider.exec(known.node(&args.node)?, &argv)?;
    Ok(exit_code(run_attached(&mut command, Input::Ours)?))
}

/// A command's exit code as a shell would give it.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|s| 128 + s));
    code.and_then(|c| u8::try_from(c).ok())
        .map_or_else(|| Exit::Failed.into(), ExitCode::from)
}
