//! Asks through the VIP again and again while something is broken on purpose, and says how long nobody answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::api::{Apiserver, Client};
use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::story::Story;

/// A fresh connection this often, each in a thread of its own: a hanging one hides nothing.
pub const EVERY: Duration = Duration::from_millis(20);

/// A probe runs so long before something is done.
const BEFORE: Duration = Duration::from_secs(2);
/// And so long afterwards, unless a machine is away.
const AFTER: Duration = Duration::from_secs(4);
/// A machine without power is seen for longer: its peers, its leases.
const AFTER_POWER: Duration = Duration::from_secs(10);

/// Someone who can be asked again and again.
pub trait ProbeTarget: Clone + Send + 'static {
    /// Moves the calling thread, and all threads that it starts, to where the question is put.
    fn enter(&self) -> Result<()>;
    /// One fresh connection, one question; an error if the answer is not good.
    fn ask(&self) -> Result<()>;
    /// Between two questions.
    fn every(&self) -> Duration {
        EVERY
    }
}

/// Whether `/readyz` says 200.
impl ProbeTarget for Apiserver {
    fn enter(&self) -> Result<()> {
        Apiserver::enter(self)
    }

    fn ask(&self) -> Result<()> {
        self.ready()
    }
}

/// One request.
#[derive(Debug, Clone)]
struct Attempt {
    ended: Duration,
    error: Option<String>,
}

/// A probe at work.
#[derive(Debug)]
pub struct Probe {
    stop: Arc<AtomicBool>,
    tries: Arc<Mutex<Vec<Attempt>>>,
    thread: JoinHandle<Result<Duration>>,
}

/// What it saw.
#[derive(Debug, Clone)]
pub struct ProbeReport {
    /// Requests in all.
    pub tries: usize,
    /// Requests that failed.
    pub failed: usize,
    /// The longest time between two good answers.
    pub gap: Duration,
    /// What the failed ones said, each once.
    pub errors: Vec<String>,
}

impl std::fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gap = self.gap.as_secs_f64();
        write!(
            f,
            "longest gap {gap:.2} s, {} of {} requests failed",
            self.failed, self.tries
        )?;
        if self.errors.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.errors.join("; "))
        }
    }
}

impl Probe {
    /// Starts to ask an apiserver whether it is ready.
    pub fn of_apiserver(client: &Client, server: SocketAddr) -> Result<Self> {
        Ok(Self::of_target(client.apiserver(server)?))
    }

    /// Starts to ask.
    pub fn of_target(whom: impl ProbeTarget) -> Self {
        let (stop, tries) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(Mutex::new(Vec::new())),
        );
        let (until, into) = (Arc::clone(&stop), Arc::clone(&tries));
        let thread = thread::spawn(move || ask_until_stopped(&whom, &until, &into));
        Self {
            stop,
            tries,
            thread,
        }
    }

    /// Stops and counts.
    pub fn stop(self) -> Result<ProbeReport> {
        self.stop.store(true, Ordering::Relaxed);
        let end = self
            .thread
            .join()
            .map_err(|_| anyhow::anyhow!("the probe panicked"))??;
        let tries = self.tries.lock().ok().context("the probe panicked")?;
        Ok(summarize_attempts(&tries, end))
    }
}

/// What is seen through the VIP while `act` is done and for a moment after it.
pub fn asked_meanwhile(cluster: &Cluster, act: impl FnOnce() -> Result<()>) -> Result<ProbeReport> {
    asked_around(cluster, AFTER, act)
}

fn asked_around(
    cluster: &Cluster,
    after: Duration,
    act: impl FnOnce() -> Result<()>,
) -> Result<ProbeReport> {
    let probe = Probe::of_apiserver(&cluster.client()?, cluster.endpoint())?;
    thread::sleep(BEFORE);
    act()?;
    thread::sleep(after);
    probe.stop()
}

/// What is seen through the VIP while a node loses its power: It stays off.
pub fn while_power_goes(cluster: &Cluster, node: &str) -> Result<ProbeReport> {
    asked_around(cluster, AFTER_POWER, || cluster.node(node).power("off"))
}

/// The VIP's holder loses its power, what is seen meanwhile is noted, and the machine comes back within `back`. Gives its name.
pub fn while_its_holder_is_away(story: &Story, cluster: &Cluster, back: Duration) -> String {
    let holder = story.step("one node holds the VIP", || cluster.vip_holder());
    let seen = story.step(&format!("{holder} loses power: the API answers"), || {
        while_power_goes(cluster, &holder)
    });
    story.note(&seen.to_string());
    story.step("it comes back whole", || {
        cluster.node(&holder).power("on")?;
        wait_until("every node is Ready", back, || cluster.kube().all_ready())?;
        cluster.all_steady(back)
    });
    holder
}

fn ask_until_stopped(
    whom: &impl ProbeTarget,
    stop: &AtomicBool,
    tries: &Arc<Mutex<Vec<Attempt>>>,
) -> Result<Duration> {
    whom.enter()?;
    let (begun, every) = (Instant::now(), whom.every());
    let mut asking: Vec<JoinHandle<()>> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let (whom, tries) = (whom.clone(), Arc::clone(tries));
        asking.push(thread::spawn(move || {
            let error = whom.ask().err().map(|error| format!("{error:#}"));
            if let Ok(mut tries) = tries.lock() {
                tries.push(Attempt {
                    ended: begun.elapsed(),
                    error,
                });
            }
        }));
        // The stack of one that ended stays until nobody may join it any more.
        asking.retain(|request| !request.is_finished());
        thread::sleep(every);
    }
    for request in asking {
        let _ = request.join();
    }
    Ok(begun.elapsed())
}

fn summarize_attempts(tries: &[Attempt], end: Duration) -> ProbeReport {
    let mut good: Vec<Duration> = tries
        .iter()
        .filter(|t| t.error.is_none())
        .map(|t| t.ended)
        .collect();
    good.push(Duration::ZERO);
    good.push(end);
    good.sort_unstable();
    let gap = good.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(end);
    let mut errors: Vec<String> = tries.iter().filter_map(|t| t.error.clone()).collect();
    let failed = errors.len();
    errors.sort_unstable();
    errors.dedup();
    ProbeReport {
        tries: tries.len(),
        failed,
        gap,
        errors,
    }
}

#[cfg(test)]
mod tests;
