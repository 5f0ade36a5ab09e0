//! A holder's haproxy that is stopped: connections are made, and nobody answers.

use std::time::Duration;

use anyhow::ensure;
use ha_wire::paths;

use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::probe::asked_meanwhile;
use crate::story::Story;

/// From the fault to a VIP that somebody else holds, with the agent's patience.
const MOVED: Duration = Duration::from_secs(40);

/// The agent restarts it after half a minute.
const RESTARTED: Duration = Duration::from_secs(90);

/// The VIP leaves the node; the step's note says what was seen through it meanwhile.
pub fn haproxy_hangs(story: &Story, cluster: &Cluster) {
    let seen = story.step("haproxy hangs on the holder: the VIP moves", || {
        let holder = cluster.vip_holder()?;
        let node = cluster.node(&holder);
        let seen = asked_meanwhile(cluster, || node.sh(&signal_command("STOP")).map(drop));
        let moved = wait_until("another holder", MOVED, || cluster.vip_left(&holder));
        node.sh(&signal_command("CONT"))?;
        moved.and(seen)
    });
    story.note(&seen.to_string());
}

/// Nobody comes who lets it go on.
pub fn haproxy_hangs_for_good(story: &Story, cluster: &Cluster) {
    const MAIN_PID: &str = "systemctl show --property=MainPID --value haproxy";
    story.step("a haproxy that hangs for good is restarted", || {
        let node = cluster.node("node2");
        let hung = node.sh(MAIN_PID)?;
        node.sh(&signal_command("STOP"))?;
        wait_until("another haproxy, a healthy one", RESTARTED, || {
            ensure!(node.sh(MAIN_PID)? != hung, "it is {hung} still");
            let word = node.read(paths::HEALTH_FILE)?;
            ensure!(word.trim() == "0", "health: {word:?}");
            Ok(())
        })
    });
}

fn signal_command(name: &str) -> String {
    format!("systemctl kill --kill-whom=all -s {name} haproxy")
}
