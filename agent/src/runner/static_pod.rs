//! The kubelet's static pods. Both share the node's process numbers and leave theirs in /run: whether one runs, and where a signal
//! goes, needs no word of the container runtime, which may hang while they serve.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ha_wire::settings::BalancerImages;

use super::{Runner, program_of_unit};
use crate::render::{haproxy, static_pod};
use crate::sys::{Boxed, Cmd, Sys, Systemd};

/// Between two looks: a haproxy that died is missed by who asks it, long before.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// A signal is sent at once.
const SIGNAL_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct StaticPod<'a> {
    pub sys: &'a Sys,
    pub images: &'a BalancerImages,
}

impl StaticPod<'_> {
    /// None: it does not run. A number that a dead one left may be another process' by now.
    fn pid(&self, unit: &str) -> Result<Option<String>> {
        let name = program_of_unit(unit);
        let Some(pid) = self.sys.files.read(&static_pod::pid_file(name))? else {
            return Ok(None);
        };
        let pid = pid.trim().to_owned();
        let comm = self.sys.files.read(&format!("/proc/{pid}/comm"))?;
        Ok(comm.is_some_and(|comm| comm.trim() == name).then_some(pid))
    }

    /// Whether this machine's own processes may have SYS_RESOURCE: one that is a container itself may lack it. Not known: as any machine.
    fn raises_limits(&self) -> bool {
        const SYS_RESOURCE: u32 = 24;
        let status = self.sys.files.read("/proc/1/status").ok().flatten();
        let set = status.as_deref().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        });
        set.is_none_or(|set| set >> SYS_RESOURCE & 1 == 1)
    }

    fn state_now(&self, unit: &str) -> Result<String> {
        let state = self.pid(unit)?.map_or("inactive", |_| "active");
        Ok(state.to_owned())
    }

    async fn signal(&self, signal: &str, unit: &str) -> Result<()> {
        let pid = self.pid(unit)?;
        let pid = pid.with_context(|| format!("{} does not run", program_of_unit(unit)))?;
        let kill = Cmd::new("kill", &[signal, &pid], SIGNAL_WITHIN);
        self.sys.commands.run(kill).await.map(drop)
    }
}

impl Runner for StaticPod<'_> {
    /// Not asked: none of both is a unit.
    fn systemd(&self) -> &dyn Systemd {
        &*self.sys.systemd
    }

    fn files(&self) -> Vec<(&'static str, String)> {
        vec![
            (static_pod::HAPROXY, static_pod::haproxy(self.images)),
            (
                static_pod::KEEPALIVED,
                static_pod::keepalived(self.images, self.raises_limits()),
            ),
        ]
    }

    fn state<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<String>> {
        Box::pin(async move { self.state_now(unit) })
    }

    fn changed<'a>(&'a self, unit: &'a str, known: &'a str) -> Boxed<'a, Result<String>> {
        Box::pin(async move {
            loop {
                let state = self.state_now(unit)?;
                if state != known {
                    return Ok(state);
                }
                self.sys.clock.sleep(POLL_INTERVAL).await;
            }
        })
    }

    /// The kubelet sees the manifest, and what has ended.
    fn start_again<'a>(&'a self, _unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn start<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        self.start_again(unit)
    }

    fn restart<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(self.signal("-TERM", unit))
    }

    fn restart_hung<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(self.signal("-KILL", unit))
    }

    fn reload<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        let signal = if unit == haproxy::UNIT {
            "-USR2"
        } else {
            "-HUP"
        };
        Box::pin(self.signal(signal, unit))
    }

    fn missing(&self, unit: &str) -> String {
        format!("the kubelet runs no {}", program_of_unit(unit))
    }

    fn journal(&self, unit: &str) -> String {
        format!(
            "tail /var/log/pods/kube-system_{}-*/*/*",
            program_of_unit(unit)
        )
    }

    fn is_kubelet(&self) -> bool {
        true
    }
}
