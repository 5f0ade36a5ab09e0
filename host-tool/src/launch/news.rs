//! Everything that a launch hears of, from threads and tasks, in one queue.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use ha_cluster_file::cluster::Node;
use ha_providers::{Machine, Made, Provider};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;

use crate::api::{Api, Look};

/// How often the machines are looked at: a look is cheap, but five nodes share this machine's processors.
const MACHINES: Duration = Duration::from_secs(1);

/// One piece of news.
#[derive(Debug)]
pub enum News {
    /// A node's machine was made, or could not be.
    Made(usize, Result<Made>),
    /// What every machine does.
    Machines(Vec<Option<Machine>>),
    /// What the cluster showed.
    Look(Look),
    /// Ctrl-C, or a polite kill.
    Interrupt,
}

/// Where news goes.
pub type Sender = UnboundedSender<News>;

/// Makes one node's machine in a thread of its own. The process may end before it does: a second launch goes on.
pub fn make(provider: Arc<dyn Provider>, index: usize, node: Node, ignition: PathBuf, to: Sender) {
    std::thread::spawn(move || {
        let made = provider.ensure(&node, &ignition);
        if let Ok(Made::New {
            warning: Some(warning),
        }) = &made
        {
            eprintln!("warning: {}: {warning}", node.name);
        }
        if made.is_ok() {
            open_events(&provider.events(&node));
        }
        // Nobody listens any more once the launch has ended.
        let _ = to.send(News::Made(index, made));
    });
}

/// The agent writes into what is there and makes nothing, or a missing port would become a file. A provider whose
/// channel is no plain file has made it by now.
pub fn open_events(path: &Path) {
    if let Err(error) = File::options().append(true).create(true).open(path) {
        eprintln!(
            "warning: {} cannot be made ({error}): this node will not be heard",
            path.display()
        );
    }
}

/// Looks at every machine, for ever.
pub fn watch_machines(provider: Arc<dyn Provider>, nodes: Vec<Node>, to: Sender) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(MACHINES);
            let states = nodes.iter().map(|n| provider.state(n).ok()).collect();
            if to.send(News::Machines(states)).is_err() {
                return;
            }
        }
    });
}

/// Looks at the cluster, for ever, with a pause that may change meanwhile.
pub async fn watch_cluster(api: Api, pause_ms: Arc<AtomicU64>, to: Sender) {
    loop {
        if to.send(News::Look(api.look().await)).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(pause_ms.load(Ordering::Relaxed))).await;
    }
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn watch_signals(to: Sender) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done?,
        _ = terminate.recv() => {}
    }
    let _ = to.send(News::Interrupt);
    Ok(())
}
