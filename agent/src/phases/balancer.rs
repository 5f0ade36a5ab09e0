//! keepalived and haproxy run with this cluster's configuration (control planes).

use anyhow::{Context as _, Result};
use ha_wire::node::Peer;
use ha_wire::paths;

use super::{ConfigFile, NeedsAPerson, Outcome};
use crate::context::Context;
use crate::health;
use crate::render::{haproxy, keepalived};
use crate::runner::{self, Runner};

/// The cluster's CA as Ignition brings it.
use ha_wire::paths::CA_CERT as CLUSTER_CA;
/// Where it is kept what the units were told in this boot: memory, because a reboot starts them with what is on the disk.
const LAST_LOADED: &str = "/run/ha-agent/told";
/// How often a freshly started haproxy is asked, every [`ANSWER_PAUSE`]: it answers within 100 ms.
const ANSWER_TRIES: u32 = 50;
const ANSWER_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// What both programs are to run with.
struct WantedConfig {
    ca: String,
    haproxy: String,
    keepalived: String,
    /// What reads both, where that is no unit of the node's own.
    runner: Vec<(&'static str, String)>,
}

impl WantedConfig {
    fn of(cx: &Context, backends: &[Peer]) -> Result<Self> {
        let ca = cx
            .sys
            .files
            .read(CLUSTER_CA)?
            .with_context(|| format!("{CLUSTER_CA} is not there"))?;
        Ok(Self {
            ca,
            haproxy: haproxy::render_config(&cx.node, backends),
            keepalived: keepalived::render_config(&cx.node),
            runner: runner::runner_for(&cx.node, &cx.sys)?.files(),
        })
    }

    /// Name and content of each file, the CA's copy last: `haproxy.path` starts haproxy as soon as that is there.
    fn files(&self) -> [(&'static str, &str); 3] {
        [
            (haproxy::CONFIG, &self.haproxy),
            (keepalived::CONFIG, &self.keepalived),
            (haproxy::CA, &self.ca),
        ]
    }

    /// What each unit reads.
    fn units(&self) -> [(&'static str, String); 2] {
        [
            (haproxy::UNIT, format!("{}{}", self.ca, self.haproxy)),
            (keepalived::UNIT, self.keepalived.clone()),
        ]
    }

    fn is_there(&self, cx: &Context) -> Result<bool> {
        for (name, content) in self.files() {
            if cx.sys.files.read(name)?.as_deref() != Some(content) {
                return Ok(false);
            }
        }
        for (name, text) in &self.runner {
            if cx.sys.files.read(name)?.as_deref() != Some(text) {
                return Ok(false);
            }
        }
        for (unit, content) in self.units() {
            if last_loaded(cx, unit)? != Some(content) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Before the first file of a boot is written: a unit that may run already does so with what lies on the disk. Without the
    /// CA's copy nothing starts haproxy, so that it will run with what is about to be written.
    async fn note_boot_config(&self, cx: &Context, runner: &dyn Runner) -> Result<()> {
        let read =
            |name: &str| Ok::<_, anyhow::Error>(cx.sys.files.read(name)?.unwrap_or_default());
        for (unit, wanted) in self.units() {
            if last_loaded(cx, unit)?.is_some() {
                continue;
            }
            let config = match unit {
                keepalived::UNIT => read(keepalived::CONFIG)?,
                _ if cx.sys.files.exists(haproxy::CA) || runner.state(unit).await? == "active" => {
                    format!("{}{}", read(haproxy::CA)?, read(haproxy::CONFIG)?)
                }
                _ => wanted,
            };
            note_loaded(cx, unit, &config)?;
        }
        Ok(())
    }

    /// The runner's files last, but for the CA's copy: whoever reads them finds the configuration.
    async fn write(&self, cx: &Context, runner: &dyn Runner) -> Result<()> {
        let write = |name: &str, text: &str| cx.sys.files.write(name, 0o644, text.as_bytes());
        let [haproxy, keepalived, (ca, pem)] = self.files();
        for (name, content) in [haproxy, keepalived] {
            write(name, content)?;
        }
        // A static pod without it would look for it in vain, and is started by nobody's path unit.
        if runner.is_kubelet() {
            write(ca, pem)?;
        }
        let mut changed = false;
        for (name, text) in &self.runner {
            changed |= write(name, text)?;
        }
        if changed || self.is_unread(runner).await? {
            runner.reread().await?;
        }
        write(ca, pem).map(drop)
    }

    /// An attempt before may have ended between writing and telling.
    async fn is_unread(&self, runner: &dyn Runner) -> Result<bool> {
        Ok(!self.runner.is_empty() && runner.state(haproxy::UNIT).await? == "not-found")
    }
}

/// Both programs' configuration; the CA's copy beside haproxy's is left out.
pub fn config_files(cx: &Context) -> Result<Vec<ConfigFile>> {
    let haproxy = haproxy::render_config(&cx.node, &configured_backends(cx)?);
    let mut all = vec![
        ConfigFile::new(haproxy::CONFIG, haproxy),
        ConfigFile::new(keepalived::CONFIG, keepalived::render_config(&cx.node)),
    ];
    let of_runner = runner::runner_for(&cx.node, &cx.sys)?.files().into_iter();
    all.extend(of_runner.map(|(name, text)| ConfigFile::new(name, text)));
    Ok(all)
}

/// What a unit was last told to read, in this boot. The files alone do not say it: an attempt may end between writing them
/// and the reload, and neither program shows what it runs with.
fn last_loaded(cx: &Context, unit: &str) -> Result<Option<String>> {
    cx.sys.files.read(&format!("{LAST_LOADED}/{unit}"))
}

fn note_loaded(cx: &Context, unit: &str, config: &str) -> Result<()> {
    let record = format!("{LAST_LOADED}/{unit}");
    let written = cx.sys.files.write(&record, 0o644, config.as_bytes());
    written.map(drop)
}

/// Whether files differ, units do not run, or haproxy does not answer.
pub async fn needed(cx: &Context) -> Result<bool> {
    let wanted = WantedConfig::of(cx, &configured_backends(cx)?)?;
    let runner = runner::runner_for(&cx.node, &cx.sys)?;
    let (haproxy, keepalived) = (runner.state(haproxy::UNIT), runner.state(keepalived::UNIT));
    let active = haproxy.await? == "active" && keepalived.await? == "active";
    Ok(!(active && wanted.is_there(cx)? && health::probe_haproxy(&cx.sys.files).await.is_ok()))
}

/// With static pods it is done once their files are there: the kubelet runs them when kubeadm has started it, a founder's in the
/// same moment as its apiserver, and the gate of those who join asks through a VIP that others hold.
pub async fn run(cx: &Context) -> Result<Outcome> {
    let backends = configured_backends(cx)?;
    let runner = runner::runner_for(&cx.node, &cx.sys)?;
    if runner.is_kubelet() {
        load_config_into_units(cx, &backends, &*runner).await?;
    } else {
        apply_backends(cx, &backends).await?;
    }
    Ok(Outcome::Done)
}

/// Brings keepalived and haproxy in line with these apiservers. Nothing happens if they are already. Returns when
/// haproxy answers and both units are active.
pub async fn apply_backends(cx: &Context, backends: &[Peer]) -> Result<()> {
    let runner = runner::runner_for(&cx.node, &cx.sys)?;
    if runner.is_kubelet() {
        load_config_into_units(cx, backends, &*runner).await?;
        return wait_for_haproxy(cx, &*runner).await;
    }
    let wanted = write_wanted_config(cx, backends, &*runner).await?;
    let [(haproxy, its), (keepalived, others)] = wanted.units();
    bring_up(cx, &*runner, haproxy, &its).await?;
    wait_for_haproxy(cx, &*runner).await?;
    write_healthy_word(cx)?;
    bring_up(cx, &*runner, keepalived, &others).await
}

/// What runs is told at once, what does not runs with it later.
async fn load_config_into_units(
    cx: &Context,
    backends: &[Peer],
    runner: &dyn Runner,
) -> Result<()> {
    write_healthy_word(cx)?;
    let wanted = write_wanted_config(cx, backends, runner).await?;
    for (unit, content) in wanted.units() {
        bring_up(cx, runner, unit, &content).await?;
    }
    Ok(())
}

async fn write_wanted_config(
    cx: &Context,
    backends: &[Peer],
    runner: &dyn Runner,
) -> Result<WantedConfig> {
    let wanted = WantedConfig::of(cx, backends)?;
    wanted.note_boot_config(cx, runner).await?;
    wanted.write(cx, runner).await?;
    Ok(wanted)
}

/// keepalived finds a healthy node from its first look on: the VIP comes up at once.
fn write_healthy_word(cx: &Context) -> Result<()> {
    let fine = keepalived::FINE.as_bytes();
    cx.sys.files.put_new(paths::HEALTH_FILE, fine)
}

/// The apiservers that the configuration on the disk names, so that a restart of the agent does not fall back to the
/// node file's; at first the node file's.
pub fn configured_backends(cx: &Context) -> Result<Vec<Peer>> {
    let config = cx.sys.files.read(haproxy::CONFIG)?.unwrap_or_default();
    let known = haproxy::parse_servers(&config);
    Ok(if known.is_empty() {
        cx.node.control_planes.clone()
    } else {
        known
    })
}

/// Started, or reloaded if it runs with something else. A keepalived on the bakery's empty configuration does not begin by a
/// reload: it is restarted.
async fn bring_up(cx: &Context, runner: &dyn Runner, unit: &str, content: &str) -> Result<()> {
    let told = last_loaded(cx, unit)?;
    match runner.state(unit).await?.as_str() {
        "not-found" => return Err(NeedsAPerson(runner.missing(unit)).into()),
        "active" if told.as_deref() == Some(content) => return Ok(()),
        "active" if told.is_none_or(|t| t.trim().is_empty()) && unit == keepalived::UNIT => {
            runner.restart(unit).await?;
        }
        "active" => runner.reload(unit).await?,
        "failed" => runner.start_again(unit).await?,
        _ => runner.start(unit).await?,
    }
    note_loaded(cx, unit, content)
}

/// `Type=simple` is active before it can answer, and dies after it is active.
async fn wait_for_haproxy(cx: &Context, runner: &dyn Runner) -> Result<()> {
    let mut tries = 0;
    loop {
        let Err(error) = health::probe_haproxy(&cx.sys.files).await else {
            return Ok(());
        };
        tries += 1;
        if tries == ANSWER_TRIES {
            let journal = runner.journal(haproxy::UNIT);
            return Err(error.context(format!(
                "haproxy was started but does not answer ({journal})"
            )));
        }
        cx.sys.clock.sleep(ANSWER_PAUSE).await;
    }
}

#[cfg(test)]
mod tests;
