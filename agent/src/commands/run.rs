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
use crate::phases::{is_settled, leftovers, renewal};
use crate::plan::Plan;
use crate::report::{self, Reporter};
use crate::sys::files::Files;
use crate::sys::{Sys, new_runtime};
use crate::{driver, health, orderly_shutdown, status_facts};

/// Runs until systemd says stop.
pub fn run_service(node: NodeFile, files: Files) -> Result<Exit> {
    report::journal::start_logging();
    let cx = real_context(node, files);
    LocalSet::new().block_on(&new_runtime()?, run_until_stopped(cx))
}

/// The real machine as this node.
pub fn real_context(node: NodeFile, files: Files) -> Context {
    let sys = Sys::real(files);
    Context {
        report: Reporter::new(&node, sys.clock.clone(), sys.files.clone()),
        node: Arc::new(node),
        sys,
        clients: Rc::default(),
        cluster_seen_at: Rc::default(),
    }
}

async fn run_until_stopped(cx: Context) -> Result<Exit> {
    let mut stop = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let plan = if is_settled(&cx) {
        Plan::of_member(&cx.node)
    } else {
        Plan::of(&cx.node)
    };
    cx.report.started();
    leftovers::clear_leftovers(&cx);
    let balancer_stands = watch::Sender::new(false);
    let mut heartbeat = health::Heartbeat::default();
    if plan.steps.contains(&Phase::Balancer) {
        let files = cx.sys.files.clone();
        let machine = || Sys::real(files);
        heartbeat = health::start_thread(cx.node.clone(), balancer_stands.subscribe(), machine)?;
    }
    tokio::task::spawn_local(status_facts::keep_status_current(cx.clone()));
    tokio::task::spawn_local(orderly_shutdown::prepare_shutdowns(cx.clone()));
    tokio::task::spawn_local(renewal::keep_renewed(cx.clone()));
    let clock = cx.sys.clock.clone();
    tokio::task::spawn_local(report::run_watchdog(clock, move |now| {
        heartbeat.is_well(now)
    }));
    let work = async {
        tokio::join!(
            driver::run_background(&cx, &plan),
            driver::run_plan(&cx, &plan, &balancer_stands)
        )
    };
    tokio::select! {
        _ = work => {}
        _ = stop.recv() => {}
        _ = interrupt.recv() => {}
    }
    report::notify_stopping();
    tracing::info!(node = cx.node.name, "stopping");
    Ok(Exit::Done)
}
