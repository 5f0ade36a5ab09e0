//! Faults of the VIP's holder, one after the other, while something else is at work.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};

use crate::chaos::cut_power;
use crate::cluster::Cluster;
use crate::eventually::wait_until;

/// From one fault to the next. If the last one is not mended by then, the next one waits: two control planes down are not a quorum.
const EVERY: Duration = Duration::from_secs(20);
/// A killed apiserver waits for the kubelet's back-off, which doubles with each kill up to five minutes.
const MENDED: Duration = Duration::from_secs(420);
/// How soon the end of the other work is seen.
const LOOK: Duration = Duration::from_millis(200);
/// What a fault ends, and what a control plane is not whole without.
const UNITS: &str = "systemctl is-active haproxy keepalived kubelet ha-agent";

/// What is done to the holder, in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderFault {
    /// kill -9 of keepalived: the VIP moves.
    KillKeepalived,
    /// kill -9 of haproxy: every session through the VIP is cut.
    KillHaproxy,
    /// kill -9 of the apiserver: the sessions that it served are cut.
    KillApiserver,
    /// The plug is pulled and put back.
    CutPower,
}

const FAULTS: [HolderFault; 4] = [
    HolderFault::KillKeepalived,
    HolderFault::KillHaproxy,
    HolderFault::KillApiserver,
    HolderFault::CutPower,
];

/// One fault that was made.
#[derive(Debug, Clone)]
pub struct MadeFault {
    /// When, `15:04:05` UTC.
    pub time: String,
    /// Who held the VIP.
    pub node: String,
    /// What was done to it.
    pub fault: HolderFault,
    /// From the fault to three whole control planes.
    pub mended: Duration,
}

impl fmt::Display for MadeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mended = self.mended.as_secs_f64();
        write!(
            f,
            "{} {:?} on {}, whole after {mended:.1} s",
            self.time, self.fault, self.node
        )
    }
}

/// Acts, and hurts the holder again and again meanwhile.
pub fn under_fire<T>(
    cluster: &Cluster,
    act: impl FnOnce() -> Result<T>,
) -> Result<(T, Vec<MadeFault>)> {
    let stop = AtomicBool::new(false);
    let (done, faults) = thread::scope(|scope| {
        let faults = scope.spawn(|| hurt_until(cluster, &stop));
        let done = act();
        stop.store(true, Ordering::Relaxed);
        (done, faults.join())
    });
    let faults = faults.map_err(|_| anyhow!("the thread of the faults panicked"))??;
    Ok((done?, faults))
}

fn hurt_until(cluster: &Cluster, stop: &AtomicBool) -> Result<Vec<MadeFault>> {
    let mut made = Vec::new();
    for fault in FAULTS.into_iter().cycle() {
        let begun = Instant::now();
        made.push(hurt_holder(cluster, fault)?);
        while begun.elapsed() < EVERY && !stop.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(made)
}

fn hurt_holder(cluster: &Cluster, fault: HolderFault) -> Result<MadeFault> {
    let name = cluster.vip_holder()?;
    let node = cluster.node(&name);
    let (time, begun) = (time_of_day(), Instant::now());
    match fault {
        HolderFault::KillKeepalived => node.kill("keepalived.service").map(drop)?,
        HolderFault::KillHaproxy => node.kill("haproxy.service").map(drop)?,
        HolderFault::KillApiserver => {
            node.sh("kill -9 $(pidof kube-apiserver)")?;
        }
        HolderFault::CutPower => cut_power(node)?,
    }
    wait_until("three whole control planes", MENDED, || {
        node.sh(UNITS)?;
        let client = cluster.client()?;
        for server in cluster.apiservers() {
            client.ready(server)?;
        }
        client.ready(cluster.endpoint())
    })?;
    Ok(MadeFault {
        time,
        node: name.clone(),
        fault,
        mended: begun.elapsed(),
    })
}

fn time_of_day() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs() % 86400;
    format!("{:02}:{:02}:{:02}", now / 3600, now / 60 % 60, now % 60)
}
