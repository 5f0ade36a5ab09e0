//! `guest-exec`: what `exec` and `logs` run for a virtual machine.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use ha_host_base::exit::Exit;
use ha_providers::vm::guest::{Agent, GuestTransport};
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::GuestExec;

/// Ends with the command's own exit code. Ctrl-C ends the command in the machine too.
pub fn run(args: &GuestExec) -> Result<ExitCode> {
    // Whoever called us may be killed; nobody would read what we follow then.
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)
        .context("cannot set the parent-death signal")?;
    let way = match (&args.qemu, args.libvirt.as_slice()) {
        (None, [uri, domain]) => GuestTransport::Libvirt {
            uri: uri.clone(),
            domain: domain.clone(),
        },
        (path, _) => GuestTransport::Socket(path.clone().unwrap_or_default()),
    };
    let agent = Agent::new(&args.node, way.open());
    let argv = args.argv.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let code = ha_host_base::block_on(async move {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut run = tokio::task::spawn_blocking(move || {
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            agent.exec(&argv, &mut std::io::stdout(), &mut std::io::stderr(), &told)
        });
        loop {
            tokio::select! {
                code = &mut run => return code?,
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            stop.store(true, Ordering::SeqCst);
        }
    })??;
    Ok(u8::try_from(code).map_or_else(|_| Exit::Failed.into(), ExitCode::from))
}
