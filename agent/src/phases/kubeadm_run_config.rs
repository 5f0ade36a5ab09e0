//! The configuration of a run of kubeadm: what the machine decides of it, and where it lies meanwhile.

use anyhow::Result;
use tracing::warn;

use super::ConfigFile;
use crate::context::Context;
use crate::render::kubeadm::MachineTraits;
use crate::sys::files::Files;
use crate::sys::processor::is_emulated;

/// Where the configuration lies while kubeadm runs (0600: it may hold a token).
const CONFIG: &str = "/run/ha-agent/kubeadm.yaml";
/// Only a unified hierarchy has this file.
const CGROUP_V2: &str = "/sys/fs/cgroup/cgroup.controllers";

/// How many connections the kernel tracks; read-only outside the first network namespace.
const CONNTRACK_MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// systemd writes it where it runs in a container, with the container manager's name.
const CONTAINER: &str = "/run/systemd/container";

/// What the machine decides about kubeadm's configuration.
pub fn machine_traits(cx: &Context) -> MachineTraits {
    MachineTraits {
        cgroup_v2: cx.sys.files.exists(CGROUP_V2),
        owns_conntrack: cx.sys.files.is_writable_or_missing(CONNTRACK_MAX),
        owns_disk: !cx.sys.files.exists(CONTAINER),
        emulated: is_emulated(&cx.sys.files),
    }
}

/// The configuration of one run of kubeadm; it is there for as long as kubeadm runs.
pub fn config_file(run: &str, text: String) -> ConfigFile {
    ConfigFile::new(&format!("{CONFIG}.{run}"), text)
}

/// Whether a file is such a configuration.
pub fn is_config_file(name: &str) -> bool {
    let run = name.strip_prefix(CONFIG);
    run.is_some_and(|run| run.starts_with('.'))
}

/// A configuration file for as long as this value lives: a run that is given up takes it along.
#[derive(Debug)]
pub struct ConfigOnDisk<'a> {
    files: &'a Files,
    config: &'a ConfigFile,
}

impl<'a> ConfigOnDisk<'a> {
    pub fn write(cx: &'a Context, config: &'a ConfigFile) -> Result<Self> {
        let files = &cx.sys.files;
        files.write(&config.name, 0o600, config.text.as_bytes())?;
        Ok(Self { files, config })
    }

    /// Where it lies in the real file system.
    pub fn path(&self) -> String {
        let path = self.files.path(&self.config.name);
        path.to_string_lossy().into_owned()
    }
}

impl Drop for ConfigOnDisk<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.files.wipe(&self.config.name) {
            warn!("{error:#}");
        }
    }
}
