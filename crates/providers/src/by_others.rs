//! Provider `none`: others make the machines and boot them with the configs that `ha-host` writes. What such a machine does is
//! known from what it says: through the cluster's API, through ssh where the cluster file names keys for user `core`, and through
//! a file of events that whoever made the machine may fill.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Result, bail};
use ha_cluster_file::cluster::{Cluster, Node};
use ha_host_base::command::find_program;
use ha_host_base::files;

use super::shared::machines_dir::MachinesDir;
use super::{Finding, Machine, Made, Power, Provider};

mod ssh;
mod ssh_events;

use ssh::SshAccess;

/// What every order to a machine answers.
const REFUSAL: &str =
    "its machine was made by others (`provider: none`): that is done where it was made";
/// Why nobody can be asked.
const NO_WAY_IN: &str =
    "`provider: none` and no `ssh.authorizedKeys`: there is no way to run anything on it from here";

/// The machines of one cluster, which others make.
#[derive(Debug)]
pub struct ByOthers {
    machines: MachinesDir,
    ssh: Option<Arc<SshAccess>>,
}

impl ByOthers {
    /// `dir` is the cluster's state directory.
    pub fn new(cluster: &Cluster, dir: &Path) -> Self {
        let machines = MachinesDir::new(&cluster.name, dir);
        let keys = !cluster.authorized_keys.is_empty();
        Self {
            ssh: keys.then(|| Arc::new(SshAccess::new(machines.path()))),
            machines,
        }
    }

    fn dir_of(&self, node: &Node) -> PathBuf {
        self.machines.join(&node.name)
    }
}

impl Provider for ByOthers {
    fn preflight(&self) -> Result<Vec<Finding>> {
        let finding = |ok, message: &str, remedy: &str| Finding {
            ok,
            message: message.into(),
            remedy: remedy.into(),
        };
        Ok(vec![match (&self.ssh, find_program("ssh")) {
            (None, _) => finding(
                true,
                "machines are made by others, and looked at through the API alone",
                "",
            ),
            (Some(_), Some(_)) => finding(
                true,
                "machines are made by others, and looked at by ssh",
                "",
            ),
            (Some(_), None) => finding(
                false,
                "machines that others make are looked at by ssh, and there is no `ssh` here",
                "install an OpenSSH client (Debian: `apt install openssh-client`), or leave `ssh.authorizedKeys` out",
            ),
        }])
    }

    fn prepare(&self) -> Result<()> {
        files::make_dir(self.machines.path())
    }

    /// Notes that a machine may be made from this config from now on, and listens to it.
    fn ensure(&self, node: &Node, ignition: &Path) -> Result<Made> {
        files::make_dir(&self.dir_of(node))?;
        if let Some(ssh) = &self.ssh {
            ssh_events::follow_events(ssh.clone(), node.clone(), self.events(node));
        }
        Ok(Made::ByOthers {
            config: ignition.to_owned(),
        })
    }

    fn state(&self, node: &Node) -> Result<Machine> {
        Ok(match self.dir_of(node).is_dir() {
            true => Machine::Running,
            false => Machine::Absent,
        })
    }

    fn power(&self, node: &Node, _order: Power) -> Result<()> {
        bail!("{}: {REFUSAL}", node.name)
    }

    /// Forgets what was heard of it: its machine is to be made anew, from another config.
    fn remove(&self, node: &Node) -> Result<()> {
        files::remove_dir(&self.dir_of(node))
    }

    fn exec(&self, node: &Node, argv: &[&str]) -> Result<Command> {
        match &self.ssh {
            Some(ssh) => Ok(ssh.command(node, argv)),
            None => bail!("{}: {NO_WAY_IN}", node.name),
        }
    }

    fn events(&self, node: &Node) -> PathBuf {
        self.dir_of(node).join("events.jsonl")
    }

    fn console(&self, node: &Node) -> PathBuf {
        self.dir_of(node).join("console.log")
    }

    fn destroy(&self) -> Result<()> {
        files::remove_dir(self.machines.path())
    }
}

#[cfg(test)]
mod tests {
    use ha_test_support::{DEMO, parse_cluster};

    use super::*;

    fn provider_with_ssh(ssh: &str, dir: &Path) -> (Cluster, ByOthers) {
        let cluster = parse_cluster(&format!("{DEMO}provider: none\n{ssh}"), Path::new("/"));
        let provider = ByOthers::new(&cluster, dir);
        (cluster, provider)
    }

    #[test]
    fn a_machine_is_absent_until_its_config_was_given_out_and_may_run_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let (cluster, provider) = provider_with_ssh("", dir.path());
        let node = &cluster.nodes[1];
        assert_eq!(provider.state(node).unwrap(), Machine::Absent);
        provider.prepare().unwrap();
        let made = provider.ensure(node, Path::new("/node2.ign")).unwrap();
        let config = "/node2.ign".into();
        assert_eq!(made, Made::ByOthers { config });
        assert_eq!(provider.state(node).unwrap(), Machine::Running);
        std::fs::write(provider.events(node), "{}\n").unwrap();
        provider.remove(node).unwrap();
        assert_eq!(provider.state(node).unwrap(), Machine::Absent);
        assert!(!provider.events(node).exists());
        provider.destroy().unwrap();
        provider.destroy().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn without_keys_for_core_there_is_no_way_to_run_anything() {
        let dir = tempfile::tempdir().unwrap();
        let (cluster, provider) = provider_with_ssh("", dir.path());
        let error = provider.exec(&cluster.nodes[0], &["true"]).unwrap_err();
        assert!(error.to_string().contains("ssh.authorizedKeys"), "{error}");
        let error = provider
            .power(&cluster.nodes[0], Power::Off)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("node1: its machine was made by others"),
            "{error}"
        );
    }
}
