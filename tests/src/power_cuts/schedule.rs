//! When power is cut: in steps of one second over what each role writes, and on after it. One launch carries a cut of each node.

use std::time::Duration;

use ha_wire::phase::Phase;

use super::{Moment, PowerCut};

/// `kubeadm init` takes 9 to 13 s.
const INIT: [u64; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
/// A control plane's join takes 9 to 25 s.
const CONTROL_PLANE_JOIN: [u64; 18] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
];
/// The same of the one that waits for the other's: its first second is a lease's.
const SECOND_JOIN: [u64; 7] = [0, 3, 6, 9, 12, 15, 18];
/// A worker's takes 2 to 4 s.
const WORKER_JOIN: [u64; 7] = [0, 1, 2, 3, 4, 5, 6];
/// The kernel writes what is dirty for 30 s.
const AFTER: [u64; 10] = [1, 2, 3, 4, 6, 8, 11, 15, 21, 29];
const FOUNDER_AFTER: [u64; 6] = [1, 2, 4, 8, 16, 29];

/// Of a second: alone on its machine `kubeadm init` takes 6 to 12 s.
const FOUNDER_QUARTERS: u64 = 48;

/// Every launch's cuts: of the founder, of the control planes that join, of the worker.
pub fn all_rounds() -> Vec<Vec<PowerCut>> {
    let founder = cuts_around_phase("node1", Phase::Init, &INIT, &FOUNDER_AFTER);
    let first = of_steps("node2", Moment::Begin(Phase::Join), &CONTROL_PLANE_JOIN);
    let mut second = cuts_around_phase("node3", Phase::Join, &SECOND_JOIN, &AFTER);
    // The two that join do not have theirs at the same second.
    second.reverse();
    let worker = cuts_around_phase("node4", Phase::Join, &WORKER_JOIN, &AFTER);
    let columns = [founder, first, second, worker];
    let longest = columns.iter().map(Vec::len).max().unwrap_or_default();
    (0..longest)
        .map(|i| columns.iter().filter_map(|c| c.get(i).copied()).collect())
        .collect()
}

/// The founder alone, in steps of a quarter of a second from its first write on: what is written together is cut apart.
pub fn of_the_founder() -> Vec<PowerCut> {
    (1..=FOUNDER_QUARTERS)
        .map(|quarter| PowerCut {
            node: "node1",
            moment: Moment::Begin(Phase::Init),
            after: Duration::from_millis(250 * quarter),
        })
        .collect()
}

/// A cut in each role, for a suite that has three minutes: a control plane's key files, a join under way, a node just settled.
pub fn short_round() -> Vec<PowerCut> {
    vec![
        cut_after("node1", Moment::Begin(Phase::Init), 5),
        cut_after("node2", Moment::Begin(Phase::Join), 6),
        cut_after("node4", Moment::End(Phase::Finish), 2),
    ]
}

/// In a phase, when the last phase begins, and after that.
fn cuts_around_phase(
    node: &'static str,
    phase: Phase,
    during: &[u64],
    after: &[u64],
) -> Vec<PowerCut> {
    let mut all = of_steps(node, Moment::Begin(phase), during);
    all.push(cut_after(node, Moment::Begin(Phase::Finish), 0));
    all.extend(of_steps(node, Moment::End(Phase::Finish), after));
    all
}

fn of_steps(node: &'static str, moment: Moment, seconds: &[u64]) -> Vec<PowerCut> {
    seconds
        .iter()
        .map(|s| cut_after(node, moment, *s))
        .collect()
}

fn cut_after(node: &'static str, moment: Moment, seconds: u64) -> PowerCut {
    PowerCut {
        node,
        moment,
        after: Duration::from_secs(seconds),
    }
}
