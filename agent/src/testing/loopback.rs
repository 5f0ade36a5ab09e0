//! The networks 127.N.0.0 that tests serve at: one test at a time has one, however many threads run tests.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use ha_wire::node::NodeFile;

/// N, who has it, and how many machines that test made in it.
static TAKEN: Mutex<BTreeMap<u8, (ThreadId, usize)>> = Mutex::new(BTreeMap::new());
static GIVEN_BACK: Condvar = Condvar::new();
/// Far longer than any test.
const PATIENCE: Duration = Duration::from_secs(300);

/// A network that this test has until the last of these is dropped.
#[derive(Debug)]
pub struct OwnNetwork(u8);

impl OwnNetwork {
    /// The one of a node's VIP, once no other test has it; none: the VIP is somewhere else.
    pub fn of(node: &NodeFile) -> Option<Self> {
        let net = match node.endpoint.vip {
            IpAddr::V4(vip) if vip.is_loopback() => vip.octets()[1],
            _ => return None,
        };
        let me = std::thread::current().id();
        let is_anothers = |taken: &mut BTreeMap<u8, (ThreadId, usize)>| {
            taken.get(&net).is_some_and(|(owner, _)| *owner != me)
        };
        let taken = TAKEN.lock().unwrap();
        let waited = GIVEN_BACK.wait_timeout_while(taken, PATIENCE, is_anothers);
        let (mut taken, time) = waited.unwrap();
        assert!(!time.timed_out(), "another test has 127.{net}.0.0");
        taken.entry(net).or_insert((me, 0)).1 += 1;
        Some(Self(net))
    }
}

impl Drop for OwnNetwork {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap();
        let (_, machines) = taken.get_mut(&self.0).unwrap();
        *machines -= 1;
        if *machines == 0 {
            taken.remove(&self.0);
            GIVEN_BACK.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::testing::worker;

    #[test]
    fn a_second_test_gets_a_network_when_the_first_one_has_done_with_it() {
        let mut node = worker();
        node.endpoint.vip = [127, 255, 0, 30].into();
        let (first, again) = (OwnNetwork::of(&node), OwnNetwork::of(&node));
        assert!(
            first.is_some() && again.is_some(),
            "one test has two machines"
        );
        let (got, gets) = mpsc::channel();
        let second = std::thread::spawn(move || {
            let _own = OwnNetwork::of(&node);
            got.send(()).unwrap();
        });
        drop(first);
        assert!(
            gets.recv_timeout(Duration::from_millis(50)).is_err(),
            "the first test still has a machine in it"
        );
        drop(again);
        gets.recv_timeout(PATIENCE).unwrap();
        second.join().unwrap();
    }
}
