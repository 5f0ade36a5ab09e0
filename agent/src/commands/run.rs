//! `ha-agent run`: the service.

use std::rc::Rc;

use anyhow::{Context as _, Result};
use ha_wire::node::NodeFile;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use super::{Exit, runtime};
use crate::context::Context;
use crate::plan::Plan;
use crate::sys::clock::MachineClock;
use crate::sys::command::ChildProcesses;
use crate::sys::files::Files;
use crate::sys::systemd::Bus;
use crate::sys::{Commands, Sys};
use crate::tell::{self, Tell};
use crate::{driver, facts};

/// Runs until systemd says stop.
pub fn run(node: NodeFile, files: Files) -> Result<Exit> {
    tell::journal::start();
    let cx = context(node, files);
    LocalSet::new().block_on(&runtime()?, live(cx))
}

/// The real machine as this node.
pub fn context(node: NodeFile, files: Files) -> Context {
    let commands: Rc<dyn Commands> = Rc::new(ChildProcesses);
    let clock = Rc::new(MachineClock);
    let systemd = Rc::new(Bus::new(commands.clone()));
    let tell = Tell::new(&node, clock.clone(), files.clone());
    Context {
        node: std::sync::Arc::new(node),
        sys: Sys {
            systemd,
            commands,
            clock,
            files,
        },
        tell,
        clients: Rc::default(),
    }
}

async fn live(cx: Context) -> Result<Exit> {
    let mut stop = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let plan = Plan::of(&cx.node);
    cx.tell.hello();
    tokio::task::spawn_local(facts::watch(cx.clone()));
    tokio::task::spawn_local(tell::watchdog(cx.sys.clock.clone()));
    let work = async { tokio::join!(driver::aside(&cx, &plan), driver::drive(&cx, &plan)) };
    tokio::select! {
        _ = work => {}
        _ = stop.recv() => {}
        _ = interrupt.recv() => {}
    }
    tell::stopping();
    tracing::info!(node = cx.node.name, "stops");
    Ok(Exit::Done)
}
