//! A holder's haproxy that is stopped: connections are made, and nobody answers.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::eventually::eventually;
use crate::probe::asked_meanwhile;
use crate::story::Story;

/// From the fault to a VIP that somebody else holds, with the agent's patience.
const MOVED: Duration = Duration::from_secs(40);

/// The VIP leaves the node; the step's note says what was seen through it meanwhile.
pub fn haproxy_hangs(story: &Story, cluster: &Cluster) {
    let signal = |name: &str| format!("systemctl kill --kill-whom=all -s {name} haproxy");
    let seen = story.step("haproxy hangs on the holder: the VIP moves", || {
        let holder = cluster.vip_holder()?;
        let node = cluster.node(&holder);
        let seen = asked_meanwhile(cluster, || node.sh(&signal("STOP")).map(drop));
        let moved = eventually("another holder", MOVED, || cluster.vip_left(&holder));
        node.sh(&signal("CONT"))?;
        moved.and(seen)
    });
    story.note(&seen.to_string());
}
