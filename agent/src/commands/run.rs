//! `ha-agent run`: the service.

use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use ha_wire::node::NodeFile;
use ha_wire::phase::Phase;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::Exit;
use crate::context::Context;
use crate::plan::Plan;
use crate::sys::files::Files;
use crate::sys::{Sys, runtime};
use crate::tell::{self, Tell};
use crate::{driver, facts, health};

/// Runs until systemd says stop.
pub fn run(node: NodeFile, files: Files) -> Result<Exit> {
    tell::journal::start();
    let cx = context(node, files);
    LocalSet::new().block_on(&runtime()?, live(cx))
}

/// The real machine as this node.
pub fn context(node: NodeFile, files: Files) -> Context {
    let sys = Sys::real(files);
    Context {
        tell: Tell::new(&node, sys.clock.clone(), sys.files.clone()),
        node: Arc::new(node),
        sys,
        clients: Rc::default(),
    }
}

async fn live(cx: Context) -> Result<Exit> {
    let mut stop = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let plan = Plan::of(&cx.node);
    cx.tell.hello();
    let balancer_stands = watch::Sender::new(false);
    if plan.steps.contains(&Phase::Balancer) {
        let files = cx.sys.files.clone();
        let machine = || Sys::real(files);
        health::start(cx.node.clone(), balancer_stands.subscribe(), machine)?;
    }
    tokio::task::spawn_local(facts::watch(cx.clone()));
    tokio::task::spawn_local(tell::watchdog(cx.sys.clock.clone()));
    let work = async {
        tokio::join!(
            driver::run_background(&cx, &plan),
            driver::drive(&cx, &plan, &balancer_stands)
        )
    };
    tokio::select! {
        _ = work => {}
        _ = stop.recv() => {}
        _ = interrupt.recv() => {}
    }
    tell::stopping();
    tracing::info!(node = cx.node.name, "stopping");
    Ok(Exit::Done)
}
