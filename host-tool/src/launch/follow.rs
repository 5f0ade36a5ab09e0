//! The loop of a launch: makes the machines, hears the nodes, asks the cluster, until it is whole or lost.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, Node};
use ha_wire::phase::Phase;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

mod lost;

use super::console::Console;
use super::news::{self, News, Sender};
use super::spent::Spent;
use super::tail::Tail;
use super::track::{Change, Life, Track};
use super::{Lost, configs};
use crate::api::{Api, Look};
use crate::ask;
use crate::ignition::Extras;
use crate::pki::Pki;
use crate::progress::Show;
use crate::state::Store;
use ha_providers::{Machine, Made, Provider};

/// How often the event files are read.
const TICK: Duration = Duration::from_millis(100);
/// Pause between looks at the cluster until every node said that its network stands.
const PAUSE: u64 = 700;
/// Pause between looks when the end is near.
const PAUSE_NEAR_END: u64 = 200;
/// So many looks in a row must find a machine off: a reboot passes through off.
const OFF_LOOKS: u32 = 4;
/// A whole cluster with a node that says nothing for so long has no way for its words.
const UNHEARD: Duration = Duration::from_secs(60);

/// How a launch ended.
#[derive(Debug)]
pub enum Outcome {
    /// The cluster is whole.
    Ready {
        /// The last look.
        look: Look,
        /// Where the time went.
        spent: Spent,
        /// Which node holds the VIP, if it says so.
        holder: Option<String>,
    },
    /// A node needs a person.
    Lost(Lost),
    /// It took too long.
    TimedOut {
        /// What each node waits for.
        missing: Vec<String>,
    },
    /// Ctrl-C.
    Interrupted,
}

/// One launch at work.
pub struct Follow<'a> {
    store: &'a Store,
    cluster: &'a Cluster,
    pki: &'a Pki,
    extras: &'a Extras,
    provider: Arc<dyn Provider>,
    show: &'a mut dyn Show,
    begun: Instant,
    tracks: Vec<Track>,
    tails: Vec<Tail>,
    consoles: Vec<Console>,
    off: Vec<u32>,
    made: Vec<bool>,
    /// Since when the cluster looks whole.
    whole_since: Option<Instant>,
    unmade: Option<Lost>,
    look: Look,
    pause: Arc<AtomicU64>,
}

impl<'a> Follow<'a> {
    /// Takes in what earlier launches heard; nodes that gave up then are told to try again.
    pub fn new(
        store: &'a Store,
        cluster: &'a Cluster,
        pki: &'a Pki,
        extras: &'a Extras,
        provider: Arc<dyn Provider>,
        show: &'a mut dyn Show,
        begun: Instant,
    ) -> Result<Self> {
        let now = Instant::now();
        let mut tracks: Vec<Track> = cluster.nodes.iter().map(|n| Track::new(n, now)).collect();
        let mut tails: Vec<Tail> = cluster
            .nodes
            .iter()
            .map(|n| Tail::new(provider.events(n)))
            .collect();
        for ((node, track), tail) in cluster.nodes.iter().zip(&mut tracks).zip(&mut tails) {
            let stuck = track.replay(&tail.poll_all(), now);
            if stuck && provider.state(node)? == Machine::Running {
                restart_agent(&*provider, node)?;
            }
        }
        let consoles = cluster
            .nodes
            .iter()
            .map(|n| Console::new(provider.console(n)))
            .collect();
        let (off, made) = (vec![0; tracks.len()], vec![false; tracks.len()]);
        let (look, pause) = (Look::default(), Arc::new(AtomicU64::new(PAUSE)));
        Ok(Self {
            store,
            cluster,
            pki,
            extras,
            provider,
            show,
            begun,
            tracks,
            tails,
            consoles,
            off,
            whole_since: None,
            made,
            unmade: None,
            look,
            pause,
        })
    }

    /// Until the end.
    pub async fn run(mut self, timeout: Duration) -> Result<Outcome> {
        let (to, mut news) = unbounded_channel();
        self.start(&to)?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.hear();
            if let Some(outcome) = self.take_in(&mut news)? {
                return Ok(outcome);
            }
            if let Some(outcome) = self.judge(timeout) {
                return Ok(outcome);
            }
            self.show.tick(&self.tracks);
        }
    }

    fn start(&mut self, to: &Sender) -> Result<()> {
        for (index, node) in self.cluster.nodes.iter().enumerate() {
            self.tracks[index].making(Instant::now());
            self.show.change(&self.tracks[index], Change::Moved);
            news::make(
                self.provider.clone(),
                index,
                node.clone(),
                self.store.ignition(&node.name),
                to.clone(),
            );
        }
        news::watch_machines(
            self.provider.clone(),
            self.cluster.nodes.clone(),
            to.clone(),
        );
        let api = Api::new(self.cluster, self.pki, self.provider.clone())?;
        tokio::spawn(news::watch_cluster(api, self.pause.clone(), to.clone()));
        tokio::spawn(news::watch_signals(to.clone()));
        Ok(())
    }

    /// What the nodes said since the last tick.
    fn hear(&mut self) {
        let now = Instant::now();
        for (track, tail) in self.tracks.iter_mut().zip(&mut self.tails) {
            for event in tail.poll() {
                let change = track.apply(&event, now);
                self.show.event(&event);
                if change != Change::None {
                    self.show.change(track, change);
                }
            }
        }
        for (track, console) in self.tracks.iter_mut().zip(&mut self.consoles) {
            console.poll();
            if track.heard {
                continue;
            }
            track.console = console.last().pop().unwrap_or_default();
        }
    }

    fn take_in(&mut self, news: &mut UnboundedReceiver<News>) -> Result<Option<Outcome>> {
        while let Ok(piece) = news.try_recv() {
            match piece {
                News::Made(index, made) => self.took_shape(index, made),
                News::Machines(states) => self.count_off(&states),
                News::Look(look) => self.looked(look)?,
                News::Interrupt => return Ok(Some(Outcome::Interrupted)),
            }
        }
        Ok(None)
    }

    fn took_shape(&mut self, index: usize, made: Result<Made>) {
        self.made[index] = true;
        match made {
            Ok(made) => {
                let fresh = made != Made::Running;
                if fresh {
                    self.consoles[index].boots();
                }
                self.tracks[index].running(fresh, Instant::now());
            }
            Err(error) => {
                let node = &self.cluster.nodes[index];
                let mut lost = self.lost(node, None, "its machine could not be made".to_owned());
                lost.words = format!("{error:#}").lines().map(str::to_owned).collect();
                self.unmade.get_or_insert(lost);
            }
        }
        self.show.change(&self.tracks[index], Change::Moved);
    }

    fn count_off(&mut self, states: &[Option<Machine>]) {
        for (index, state) in states.iter().enumerate() {
            let off = self.made[index] && matches!(state, Some(Machine::Off | Machine::Absent));
            self.off[index] = if off { self.off[index] + 1 } else { 0 };
        }
    }

    fn looked(&mut self, look: Look) -> Result<()> {
        if look.vip.is_ok() && self.look.vip.is_err() {
            configs::close_founding(self.store, self.cluster, self.pki, self.extras)?;
        }
        if look != self.look {
            self.show.look(&look, self.cluster);
        }
        self.look = look;
        let whole = self.look.missing(self.cluster).is_empty();
        self.whole_since = whole.then(|| self.whole_since.unwrap_or_else(Instant::now));
        let late = |t: &Track| {
            matches!(
                t.life,
                Life::Steady | Life::Working(Phase::Network | Phase::Finish)
            )
        };
        let near = self.look.vip.is_ok() && self.tracks.iter().all(|t| late(t) || !t.heard);
        self.pause
            .store(if near { PAUSE_NEAR_END } else { PAUSE }, Ordering::Relaxed);
        Ok(())
    }

    fn judge(&self, timeout: Duration) -> Option<Outcome> {
        if self.whole() {
            let spent = Spent::measure(&self.tracks, self.begun, Instant::now());
            let holder =
                ask::vip_holder(self.cluster, &ask::statuses(self.cluster, &*self.provider));
            return Some(Outcome::Ready {
                look: self.look.clone(),
                spent,
                holder,
            });
        }
        if let Some(lost) = self.unmade.clone().filter(|_| self.made.iter().all(|m| *m)) {
            return Some(Outcome::Lost(lost));
        }
        if let Some(lost) = self
            .cluster
            .nodes
            .iter()
            .enumerate()
            .find_map(|(i, node)| self.is_lost(i, node))
        {
            return Some(Outcome::Lost(lost));
        }
        (self.begun.elapsed() >= timeout).then(|| Outcome::TimedOut {
            missing: self.missing(),
        })
    }

    /// The API says so, and every node says so too: the API may still remember an old machine of that name as Ready.
    /// A node whose words do not reach us at all is taken at the API's word after a while.
    fn whole(&self) -> bool {
        let Some(since) = self.whole_since else {
            return false;
        };
        let silent = since.elapsed() > UNHEARD;
        let done = |t: &Track| t.life == Life::Steady || (!t.heard && silent);
        self.made.iter().all(|m| *m) && self.tracks.iter().all(done)
    }
}

/// The agent gave up in an earlier launch; somebody mended the cause since, or it will say so again.
fn restart_agent(provider: &dyn Provider, node: &Node) -> Result<()> {
    let argv = ["systemctl", "restart", "--no-block", "ha-agent.service"];
    let output = provider.exec(node, &argv)?.stdin(Stdio::null()).output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "cannot restart ha-agent on {}: {}",
        node.name,
        words.trim()
    );
    Ok(())
}
