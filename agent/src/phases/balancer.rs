//! keepalived and haproxy run with this cluster's configuration (control planes).

use anyhow::{Context as _, Result};
use ha_spec::cluster::LbMode;
use ha_spec::node::Peer;
use ha_spec::paths;

use super::{NeedsAPerson, Outcome};
use crate::context::Context;
use crate::health;
use crate::render::{haproxy, keepalived};

/// haproxy's unit in the bakery's sysext.
pub const HAPROXY: &str = "haproxy.service";
/// keepalived's unit in the bakery's sysext.
pub const KEEPALIVED: &str = "keepalived.service";
/// The cluster's CA as Ignition brings it.
const CLUSTER_CA: &str = "/etc/kubernetes/pki/ca.crt";
/// How often a freshly started haproxy is asked, every [`ANSWER_PAUSE`]: it answers within 100 ms.
const ANSWER_TRIES: u32 = 50;
/// See [`ANSWER_TRIES`].
const ANSWER_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// What lies on the disk and is to be there: name, mode, content.
struct Wanted(Vec<(&'static str, u32, String)>);

impl Wanted {
    fn of(cx: &Context, backends: &[Peer]) -> Result<Self> {
        let ca = cx
            .sys
            .files
            .read(CLUSTER_CA)?
            .with_context(|| format!("{CLUSTER_CA} is not there"))?;
        Ok(Self(vec![
            (haproxy::CA, 0o644, ca),
            (haproxy::CONFIG, 0o644, haproxy::config(&cx.node, backends)),
            (keepalived::CONFIG, 0o644, keepalived::config(&cx.node)),
        ]))
    }

    fn is_there(&self, cx: &Context) -> Result<bool> {
        for (name, _, content) in &self.0 {
            if cx.sys.files.read(name)?.as_ref() != Some(content) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes what differs; says which files did.
    fn write(&self, cx: &Context) -> Result<Vec<&'static str>> {
        let mut changed = Vec::new();
        for (name, mode, content) in &self.0 {
            if cx.sys.files.write(name, *mode, content.as_bytes())? {
                changed.push(*name);
            }
        }
        Ok(changed)
    }
}

/// Whether files differ, units do not run, or haproxy does not answer.
pub async fn needed(cx: &Context) -> Result<bool> {
    let wanted = Wanted::of(cx, &backends(cx)?)?;
    let (haproxy, keepalived) = (
        cx.sys.systemd.active_state(HAPROXY),
        cx.sys.systemd.active_state(KEEPALIVED),
    );
    let active = haproxy.await? == "active" && keepalived.await? == "active";
    Ok(!(active && wanted.is_there(cx)? && health::probe(&cx.sys.files).await.is_ok()))
}

/// One attempt.
pub async fn run(cx: &Context) -> Result<Outcome> {
    if cx.node.load_balancer.mode != LbMode::Native {
        let mode = cx.node.load_balancer.mode;
        return Err(NeedsAPerson(format!(
            "loadBalancer mode {mode:?} is not supported by this agent yet"
        ))
        .into());
    }
    apply(cx, &backends(cx)?).await?;
    Ok(Outcome::Done)
}

/// Brings keepalived and haproxy in line with these apiservers. Nothing happens if they are already. Returns when
/// haproxy answers and both units are active.
pub async fn apply(cx: &Context, backends: &[Peer]) -> Result<()> {
    let empty = cx
        .sys
        .files
        .read(keepalived::CONFIG)?
        .is_none_or(|text| !text.contains("vrrp_instance"));
    let changed = Wanted::of(cx, backends)?.write(cx)?;
    let balancer_changed = changed.iter().any(|name| *name != keepalived::CONFIG);
    bring_up(cx, HAPROXY, balancer_changed, false).await?;
    answers(cx).await?;
    // keepalived finds a healthy node from its first look on: the VIP comes up at once.
    cx.sys
        .files
        .put_new(paths::HEALTH_FILE, keepalived::FINE.as_bytes())?;
    bring_up(cx, KEEPALIVED, changed.contains(&keepalived::CONFIG), empty).await
}

/// The apiservers that the configuration on the disk names, so that a restart of the agent does not fall back to the
/// node file's; at first the node file's.
pub fn backends(cx: &Context) -> Result<Vec<Peer>> {
    let config = cx.sys.files.read(haproxy::CONFIG)?.unwrap_or_default();
    let known = haproxy::servers(&config);
    Ok(if known.is_empty() {
        cx.node.control_planes.clone()
    } else {
        known
    })
}

/// Started, or reloaded if its configuration changed. `anew`: a program that ran on an empty configuration is restarted.
async fn bring_up(cx: &Context, unit: &str, changed: bool, anew: bool) -> Result<()> {
    let systemd = &cx.sys.systemd;
    match systemd.active_state(unit).await?.as_str() {
        "not-found" => Err(NeedsAPerson(format!(
            "systemd does not know {unit}: is its sysext merged? systemd-sysext status"
        ))
        .into()),
        "active" if anew => systemd.restart(unit).await,
        "active" if changed => systemd.reload_or_restart(unit).await,
        "active" => Ok(()),
        state => {
            if state == "failed" {
                systemd.reset_failed(unit).await?;
            }
            systemd.start(unit).await
        }
    }
}

/// `Type=simple` is active before it can answer, and dies after it is active.
async fn answers(cx: &Context) -> Result<()> {
    let mut tries = 0;
    loop {
        let Err(error) = health::probe(&cx.sys.files).await else {
            return Ok(());
        };
        tries += 1;
        if tries == ANSWER_TRIES {
            return Err(
                error.context("haproxy was started but does not answer (journalctl -u haproxy)")
            );
        }
        cx.sys.clock.sleep(ANSWER_PAUSE).await;
    }
}

#[cfg(test)]
#[path = "balancer_tests.rs"]
mod tests;
