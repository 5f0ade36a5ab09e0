//! What a keeper needs to know to boot its node, and the command line that follows from it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use ha_host_base::files;
use ha_host_base::stored::parse_stored;
use ha_wire::format::Version;
use serde::{Deserialize, Serialize};

use super::cgroup;
use super::layout::{DATA, NodeDir, Wiring};

/// Where the node finds the directory that it reports into.
const REPORT_IN_NODE: &str = "/run/ha-host";
/// Host devices that kubelet and image tools want, bound if the host has them.
const DEVICES: [&str; 2] = ["/dev/fuse", "/dev/kmsg"];
/// System calls beyond nspawn's own list: runc makes session keyrings, Cilium loads programs.
const SYSTEM_CALLS: &str = "@keyring bpf @mount add_key keyctl request_key perf_event_open";

/// Written by `ensure` each time before a keeper starts; read by that keeper alone. A field that comes later has a default: a
/// keeper may be of the next release already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub version: Version<1>,
    /// The cluster, for its cgroups.
    pub cluster: String,
    pub node: String,
    /// Its name for nspawn.
    pub machine: String,
    /// The image's root directory.
    pub image_root: PathBuf,
    pub wiring: Wiring,
    /// For a resolv.conf, if the node brings none.
    pub name_servers: Vec<String>,
    /// Local system extensions: directory on the host by name.
    pub extensions: Vec<(String, PathBuf)>,
    /// The extensions are directories, not images.
    pub unpacked: bool,
    /// A control plane: how many of them share the cluster's real-time budget.
    #[serde(default)]
    pub real_time_among: Option<u32>,
    /// A new disk: the Ignition program and the node's config.
    pub ignition: Option<(PathBuf, PathBuf)>,
}

impl Plan {
    /// Reads it from a node's directory.
    pub fn read(dir: &Path) -> Result<Self> {
        let file = dir.join(NodeDir::PLAN);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        parse_stored(&text, Version::<1>).with_context(|| format!("cannot use {}", file.display()))
    }

    pub fn write(&self, dir: &NodeDir) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("cannot write the boot plan down")?;
        files::write_atomic(&dir.join(NodeDir::PLAN), text.as_bytes())
    }

    /// systemd-nspawn in the node's cgroups, with the node's directory `dir`.
    pub fn command(&self, dir: &Path, groups: &[PathBuf]) -> Command {
        let mut command = cgroup::joining_command(&cgroup::proc_files(groups), true);
        command.arg("systemd-nspawn").args(self.arguments(dir));
        command
    }

    fn arguments(&self, dir: &Path) -> Vec<String> {
        let option = |name: &str, value: &str| format!("--{name}={value}");
        let mut all = vec![
            "--quiet".into(),
            // Both, or nspawn wants the system bus.
            "--register=no".into(),
            "--keep-unit".into(),
            "--settings=no".into(),
            option("machine", &self.machine),
            option("hostname", &self.node),
            option("directory", &dir.join(NodeDir::ROOT).to_string_lossy()),
            option(
                "network-namespace-path",
                &self.wiring.path().to_string_lossy(),
            ),
            // networkd inside needs CAP_NET_ADMIN, pods need nearly all.
            "--capability=all".into(),
            option("system-call-filter", SYSTEM_CALLS),
            "--resolv-conf=off".into(),
            "--timezone=off".into(),
            "--link-journal=no".into(),
            "--notify-ready=yes".into(),
            "--console=read-only".into(),
        ];
        all.extend(self.binds(dir));
        all.push("--boot".into());
        all
    }

    /// What of the host is seen in the node.
    fn binds(&self, dir: &Path) -> Vec<String> {
        let mut all = vec![bind_option(
            "bind",
            &dir.join(NodeDir::REPORT),
            REPORT_IN_NODE,
        )];
        for (name, place, _) in DATA {
            all.push(bind_option(
                "bind",
                &dir.join(NodeDir::DATA).join(name),
                place,
            ));
        }
        for (name, source) in &self.extensions {
            all.push(bind_option(
                "bind-ro",
                source,
                &format!("{}/{name}", super::extensions::MOUNTED),
            ));
        }
        all.extend(
            DEVICES
                .iter()
                .filter(|d| Path::new(d).exists())
                .map(|device| format!("--bind={device}")),
        );
        all
    }
}

/// nspawn parts source, target and options by colons.
fn bind_option(option: &str, source: &Path, target: &str) -> String {
    let source = source
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace(':', "\\:");
    format!("--{option}={source}:{target}")
}

#[cfg(test)]
mod tests {
    use super::super::layout::Layout;
    use super::*;

    fn sample_plan() -> Plan {
        Plan {
            version: Version,
            cluster: "demo".into(),
            node: "node1".into(),
            machine: "demo.node1".into(),
            image_root: "/image/root".into(),
            wiring: Layout::new("demo", Path::new("/s")).wiring("node1", "eth0"),
            name_servers: vec!["10.77.0.1".into()],
            extensions: vec![("ha-agent".into(), "/s/machines/_extensions/ha-agent".into())],
            unpacked: false,
            real_time_among: Some(3),
            ignition: None,
        }
    }

    #[test]
    fn the_command_line_binds_what_must_not_lie_on_the_overlay() {
        let arguments = sample_plan().arguments(Path::new("/s:1/machines/node1"));
        for expected in [
            "--network-namespace-path=/run/netns/ha-demo.node1",
            "--bind=/s\\:1/machines/node1/data/etcd:/var/lib/etcd",
            "--bind=/s\\:1/machines/node1/report:/run/ha-host",
            "--bind-ro=/s/machines/_extensions/ha-agent:/run/ha-host-extensions/ha-agent",
            "--boot",
        ] {
            assert!(
                arguments.iter().any(|a| a == expected),
                "{expected} is missing in {arguments:?}"
            );
        }
    }

    #[test]
    fn a_plan_survives_the_way_to_the_keeper() {
        let text = serde_json::to_string(&sample_plan()).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), sample_plan());
    }

    #[test]
    fn a_plan_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let node = NodeDir(dir.path().into());
        sample_plan().write(&node).unwrap();
        let before = dir.path().join("before");
        std::fs::hard_link(node.join(NodeDir::PLAN), &before).unwrap();
        let next = Plan {
            unpacked: true,
            ..sample_plan()
        };
        next.write(&node).unwrap();
        assert_eq!(Plan::read(&node.0).unwrap(), next);
        let text = std::fs::read_to_string(&before).unwrap();
        assert!(
            text.contains("\"unpacked\": false"),
            "what is written over in place is empty after a power cut: {text}"
        );
    }
}
