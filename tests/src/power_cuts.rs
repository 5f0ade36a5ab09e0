//! Power cuts that lose what was not synced, at named moments of a launch: [`schedule`] says when, this module cuts and judges
//! what became of the cluster.

use std::collections::BTreeSet;
use std::fmt::{Display, Formatter};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use ha_wire::event::{Event, EventKind};
use ha_wire::phase::Phase;

use crate::chaos::{LOOK, cut_power, lives_among};
use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::kube::{all_voters, every_apiserver_shows};
use crate::node::ClusterNode;
use crate::plan::ClusterPlan;
use crate::post_mortem;
use crate::story::print_uncaptured;

pub mod schedule;

/// A launch takes 40 s, each cut adds a boot and at most a phase's second run. One that hangs is to cost no ten minutes.
const LAUNCH: Duration = Duration::from_secs(240);
/// From power-on to the agent's first word: 3 s, and a hundred times as long were seen on a machine with a load of 150.
const BOOT: Duration = Duration::from_secs(300);
/// From the last cut, or the launch's end, to a whole cluster: a control plane's pods come back in this time.
const WHOLE: Duration = Duration::from_secs(120);
/// From a launch's end to the last agent's end of its last phase.
const FINISH: Duration = Duration::from_secs(60);
/// Between two looks at the cluster's identity.
const WATCH: Duration = Duration::from_secs(3);

/// From what on a cut's seconds count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A phase's first attempt begins.
    Begin(Phase),
    /// A phase ends well.
    End(Phase),
}

/// One power cut of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerCut {
    /// Its name.
    pub node: &'static str,
    /// The event.
    pub moment: Moment,
    /// So much later.
    pub after: Duration,
}

impl Display for PowerCut {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let (phase, what) = match self.moment {
            Moment::Begin(phase) => (phase, "begun"),
            Moment::End(phase) => (phase, "done"),
        };
        let after = self.after.as_secs_f64();
        write!(f, "{} {phase} {what} + {after} s", self.node)
    }
}

/// A cluster of three control planes and a worker whose power cuts lose what was not synced.
pub fn power_cut_plan(name: &str) -> ClusterPlan {
    plan_of(name, 3, 1)
}

/// A founder that is its whole cluster.
pub fn plan_alone(name: &str) -> ClusterPlan {
    plan_of(name, 1, 0)
}

fn plan_of(name: &str, control_planes: u8, workers: u8) -> ClusterPlan {
    ClusterPlan {
        losing_page_cache: true,
        ..ClusterPlan::new(name, control_planes, workers)
    }
}

/// [`launch_and_cut`] with a cluster of its own, which is gone afterwards; a failed one leaves its evidence.
pub fn launch_with_cuts(plan: ClusterPlan, cuts: &[PowerCut]) -> Result<()> {
    let plan = ClusterPlan {
        launch_within: Some(LAUNCH),
        ..plan
    };
    let cluster = Cluster::new(plan)?;
    let judged = launch_and_cut(&cluster, cuts);
    if judged.is_err() {
        post_mortem::write_evidence(&cluster, cluster.dir());
    }
    let destroyed = cluster.destroy();
    judged.and(destroyed)
}

/// Launches this cluster, cuts its nodes' power meanwhile, and wants it whole in the end.
pub fn launch_and_cut(cluster: &Cluster, cuts: &[PowerCut]) -> Result<()> {
    let (launch_ended, all_done) = (AtomicBool::new(false), AtomicBool::new(false));
    let (launched, injected, identities) = thread::scope(|scope| {
        let watching = scope.spawn(|| identities_seen(cluster, &all_done));
        let cutting: Vec<_> = cuts
            .iter()
            .map(|cut| scope.spawn(|| cut_at(cluster, *cut, &launch_ended)))
            .collect();
        let launched = cluster.launch(&[]);
        launch_ended.store(true, Ordering::Relaxed);
        let injected: Vec<Result<CutSeen>> = cutting.into_iter().map(join_thread).collect();
        let whole = injected
            .iter()
            .all(Result::is_ok)
            .then(|| is_whole(cluster));
        all_done.store(true, Ordering::Relaxed);
        let identities = watching.join().unwrap_or_default();
        (
            launched.map(|done| (done.code, whole)),
            injected,
            identities,
        )
    });
    let (code, whole) = launched?;
    let faults = report_cuts(cluster, cuts, &injected);
    if let Some(whole) = whole {
        whole.with_context(|| format!("launch ended with {code:?}"))?;
    }
    ensure!(
        faults.is_empty(),
        "{}; launch ended with {code:?}",
        faults.join("; ")
    );
    ensure!(
        identities.len() == 1,
        "it has been {} clusters: {identities:?}",
        identities.len()
    );
    Ok(())
}

fn join_thread<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))
}

/// What a cut met.
#[derive(Debug)]
struct CutSeen {
    /// What the node was at: the last that it said.
    during: String,
    /// The host's clock at the cut, in milliseconds since 1970.
    at_ms: u64,
}

/// Prints what each cut met and when its node was steady again; returns those that failed.
fn report_cuts(cluster: &Cluster, cuts: &[PowerCut], seen: &[Result<CutSeen>]) -> Vec<String> {
    let mut faults = Vec::new();
    for (cut, seen) in cuts.iter().zip(seen) {
        match seen {
            Ok(seen) => {
                let steady = steady_after(cluster.node(cut.node), seen.at_ms);
                let healed = steady.map_or_else(
                    || "not steady again".into(),
                    |ms| {
                        format!(
                            "steady {:.0} s later",
                            Duration::from_millis(ms).as_secs_f64()
                        )
                    },
                );
                print_uncaptured(&format!("       {cut}: {}, {healed}", seen.during));
            }
            Err(error) => {
                print_uncaptured(&format!("       {cut}: {error:#}"));
                faults.push(format!("{cut}: {error:#}"));
            }
        }
    }
    faults
}

/// Milliseconds from a cut to the node's next word that it is steady.
fn steady_after(node: ClusterNode<'_>, cut_ms: u64) -> Option<u64> {
    let events = node.events().ok()?;
    let steady = |e: &&Event| e.time_ms > cut_ms && matches!(e.what, EventKind::Steady);
    events.iter().find(steady).map(|e| e.time_ms - cut_ms)
}

fn cut_at(cluster: &Cluster, cut: PowerCut, launch_ended: &AtomicBool) -> Result<CutSeen> {
    let node = cluster.node(cut.node);
    let begun = wait_for(node, cut, launch_ended)?;
    // Nodes are containers: their clock is this one.
    let due = UNIX_EPOCH + Duration::from_millis(begun) + cut.after;
    thread::sleep(due.duration_since(SystemTime::now()).unwrap_or_default());
    let before = node.events()?;
    let at_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    cut_power(node)?;
    next_life(node, lives_among(&before))?;
    Ok(CutSeen {
        during: describe_position(&before),
        at_ms,
    })
}

/// Waits for the agent's first word after it had lived so often.
fn next_life(node: ClusterNode<'_>, lives: usize) -> Result<()> {
    wait_until("the agent's next life", BOOT, || {
        ensure!(lives_among(&node.events()?) > lives, "it has not begun");
        Ok(())
    })
}

/// When a cut's event came, in milliseconds since 1970.
fn wait_for(node: ClusterNode<'_>, cut: PowerCut, launch_ended: &AtomicBool) -> Result<u64> {
    let mut ended = None;
    loop {
        // There is no file of events before the first one.
        let events = node.events().unwrap_or_default();
        if let Some(at) = time_of(&events, cut.moment) {
            return Ok(at);
        }
        if launch_ended.load(Ordering::Relaxed) {
            let since = *ended.get_or_insert_with(Instant::now);
            ensure!(
                since.elapsed() < FINISH,
                "never came; {}",
                describe_position(&events)
            );
        }
        thread::sleep(LOOK);
    }
}

/// When this was first.
pub fn time_of(events: &[Event], moment: Moment) -> Option<u64> {
    let is = |e: &&Event| match (moment, &e.what) {
        (Moment::Begin(wanted), EventKind::Started { phase, .. })
        | (Moment::End(wanted), EventKind::Done { phase, .. }) => *phase == wanted,
        _ => false,
    };
    events.iter().find(is).map(|e| e.time_ms)
}

/// What a node is at, by what it said last; the images are fetched beside all else.
fn describe_position(events: &[Event]) -> String {
    let last = events.iter().rev().find_map(|e| match &e.what {
        EventKind::Started { phase, .. } if *phase != Phase::Images => Some(format!("in {phase}")),
        EventKind::Done { phase, .. } if *phase != Phase::Images => Some(format!("after {phase}")),
        EventKind::Failed { phase, error, .. } => Some(format!("failing in {phase}: {error}")),
        EventKind::Hello { .. } => Some("at its start".into()),
        EventKind::Steady => Some("steady".into()),
        _ => None,
    });
    last.unwrap_or_else(|| "silent".into())
}

/// Every uid of namespace kube-system that the VIP ever showed.
fn identities_seen(cluster: &Cluster, done: &AtomicBool) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    while !done.load(Ordering::Relaxed) {
        seen.extend(cluster.kube().identity());
        thread::sleep(WATCH);
    }
    seen
}

/// Every node Ready, every control plane an etcd voter and an apiserver of the same cluster, every agent steady.
pub fn is_whole(cluster: &Cluster) -> Result<()> {
    wait_until("every node is Ready", WHOLE, || cluster.kube().all_ready())?;
    cluster.all_steady(WHOLE)?;
    wait_until("one cluster of all control planes", WHOLE, || {
        let members = cluster.control_planes();
        all_voters(
            cluster,
            members.last().map_or("node1", |name| name),
            &members,
        )?;
        every_apiserver_shows(cluster, "node1", &cluster.kube().identity()?)
    })
}

#[cfg(test)]
mod tests;
