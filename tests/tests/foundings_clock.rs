//! A first control plane whose clock is two hours off, made anew beside a cluster that stands. Containers share this machine's
//! clock: it is a virtual machine on their network.

use std::time::Duration;

use anyhow::ensure;
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::founding::{FOUNDER, PEERS, wanted_rounds};
use ha_tests::kube::{all_voters, every_apiserver_shows};
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;
use ha_tests::virtual_founder::{Clock, VirtualFounder};
use ha_wire::event::{Event, EventKind};

/// Two emulated processors pull no image, and still take minutes for etcd's join and an apiserver's start.
const EMULATED_JOIN: Duration = Duration::from_secs(600);

#[test]
fn a_founder_whose_clock_is_off_waits_in_words_and_joins_once_it_is_set() {
    let story = Story::new("foundings-clock");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("e2e-foundings-clock", 3, 0);
        plan.network = Some("proxy: none, cni: none".into());
        Cluster::new(plan)
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    let identity = story.step("the cluster's identity", || cluster.kube().identity());
    let mut founder = story.step(&format!("a virtual machine is to be {FOUNDER}"), || {
        VirtualFounder::new(&cluster)
    });
    for round in 1..=wanted_rounds().unwrap_or(1) {
        for clock in [Clock::Behind, Clock::Ahead] {
            let what = format!("{round}: two hours {clock:?}: it founds nothing and says why");
            story.step(&what, || founder.waits_for_its_clock(clock));
        }
    }
    story.step("its clock is set: it joins", || {
        founder.switch_off();
        founder.switch_on(Clock::Right)?;
        wait_until("it is steady", EMULATED_JOIN, || {
            let events = founder.events()?;
            let is_steady = |event: &Event| matches!(event.what, EventKind::Steady);
            ensure!(events.iter().any(is_steady), "{:?}", events.last());
            Ok(())
        })
    });
    story.step("one cluster, the same one", || {
        all_voters(&cluster, PEERS[0], &cluster.control_planes())?;
        every_apiserver_shows(&cluster, PEERS[0], &identity)
    });
    drop(founder);
    story.step("destroy leaves nothing", || cluster.destroy());
}
