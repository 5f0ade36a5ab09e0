//! `guest-exec`: what `exec` and `logs` run for a virtual machine.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use ha_host_base::exit::Exit;
use ha_host_base::signals;
use ha_providers::vm::guest::{Agent, GuestTransport};
use nix::sys::signal::Signal;

use crate::cli::GuestExecArgs;

/// Ends with the command's own exit code. Ctrl-C ends the command in the machine too, if its agent answers soon.
pub fn run(args: &GuestExecArgs) -> Result<ExitCode> {
    // Whoever called us may be killed; nobody would read what we follow then.
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)
        .context("cannot set the parent-death signal")?;
    let stop = Arc::new(AtomicBool::new(false));
    signals::tell_of_signals(stop.clone())?;
    let way = match (&args.qemu, args.libvirt.as_slice()) {
        (None, [uri, domain]) => GuestTransport::Libvirt {
            uri: uri.clone(),
            domain: domain.clone(),
        },
        (path, _) => GuestTransport::Socket(path.clone().unwrap_or_default()),
    };
    let agent = Agent::new(&args.node, way.open());
    let argv: Vec<&str> = args.argv.iter().map(String::as_str).collect();
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let code = agent.exec(&argv, &mut out, &mut err, &stop)?;
    Ok(u8::try_from(code).map_or_else(|_| Exit::Failed.into(), ExitCode::from))
}
