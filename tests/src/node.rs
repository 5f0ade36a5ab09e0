//! One machine of the cluster, reached by the provider's exec: no SSH, no network.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_wire::event::Event;
use ha_wire::paths;
use ha_wire::status::Status;

use crate::cluster::Cluster;
use crate::process::{FinishedProcess, run_to_end};

/// A look at a node is short; a node that cannot answer it in this time is not there.
const LOOK: Duration = Duration::from_secs(20);
/// The same at an emulated machine that shares two processors with others.
const EMULATED_LOOK: Duration = Duration::from_secs(120);

/// So many tenths of a second a killed process may take until systemd has asked for its exit code.
const DYING: u32 = 50;

/// kubectl on a control plane, by the administrator's kubeconfig that kubeadm wrote.
pub const ADMIN_KUBECTL: &str = "kubectl --kubeconfig /etc/kubernetes/admin.conf";

/// A node.
#[derive(Debug, Clone, Copy)]
pub struct ClusterNode<'a> {
    cluster: &'a Cluster,
    name: &'a str,
}

impl<'a> ClusterNode<'a> {
    pub(crate) fn new(cluster: &'a Cluster, name: &'a str) -> Self {
        Self { cluster, name }
    }

    /// Runs a command as root, whatever its exit code.
    pub fn run(&self, argv: &[&str], deadline: Duration) -> Result<FinishedProcess> {
        let operator = self.cluster.operator();
        let command =
            operator.ha_host([&["exec", self.cluster.name(), self.name, "--"], argv].concat());
        run_to_end(command, deadline).with_context(|| format!("on {}", self.name))
    }

    /// Runs a shell script that must succeed; its output.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.run(&["sh", "-c", script], self.look())?
            .ok()
            .with_context(|| format!("on {}", self.name))
            .map(|d| d.stdout)
    }

    fn look(&self) -> Duration {
        if self.cluster.plan().kind.is_virtual() {
            EMULATED_LOOK
        } else {
            LOOK
        }
    }

    /// A file's text.
    pub fn read(&self, path: &str) -> Result<String> {
        self.sh(&format!("cat {path}"))
    }

    /// What the agent said, in all of the machine's boots, as the host heard it. A line that is being written is left out.
    pub fn events(&self) -> Result<Vec<Event>> {
        let machine = self.cluster.machine_of(self.name);
        let text = match self.cluster.plan().kind.is_virtual() {
            true => fs::read_to_string(machine.join("events.jsonl"))?,
            false => fs::read_to_string(machine.join("report/events.jsonl"))
                .or_else(|_| self.read(paths::EVENTS_FILE))?,
        };
        Ok(text
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect())
    }

    /// `ha-agent status --json` and its exit code.
    pub fn status(&self) -> Result<(Status, Option<i32>)> {
        let done = self.run(&["ha-agent", "status", "--json"], self.look())?;
        let status = serde_json::from_str(&done.stdout)
            .with_context(|| format!("ha-agent status printed {:?}", done.stdout))?;
        Ok((status, done.code))
    }

    /// Whether this node holds an address.
    pub fn holds(&self, address: IpAddr) -> Result<bool> {
        Ok(self
            .sh("ip -o address show")?
            .contains(&format!(" {address}/")))
    }

    /// The kernel's boot id does not tell containers apart; systemd's own start does.
    pub fn boot(&self) -> Result<String> {
        Ok(self.sh("systemctl show --property=UserspaceTimestampMonotonic --value; cat /etc/machine-id")?.trim().to_owned())
    }

    /// A unit's main process; an error if it has none.
    pub fn main_pid(&self, unit: &str) -> Result<u32> {
        let pid = self.sh(&format!("systemctl show -P MainPID {unit}"))?;
        let pid = pid
            .trim()
            .parse()
            .with_context(|| format!("{unit}: {pid:?}"))?;
        ensure!(pid > 0, "{}: {unit} has no main process", self.name);
        Ok(pid)
    }

    /// kill -9 of a unit's main process, which is gone when this returns. Its process id.
    pub fn kill(&self, unit: &str) -> Result<u32> {
        let pid = self.main_pid(unit)?;
        self.sh(&format!(
            "systemctl kill --signal=KILL --kill-whom=main {unit}; i=0; \
             while [ -d /proc/{pid} ]; do i=$((i+1)); [ $i -lt {DYING} ] || exit 1; sleep 0.1; done"
        ))
        .with_context(|| format!("kill process {pid} of {unit}"))?;
        Ok(pid)
    }

    /// Which cluster this apiserver shows to this control plane: the uid of namespace kube-system.
    pub fn identity_at(&self, server: SocketAddr) -> Result<String> {
        let get = "get namespace kube-system -o jsonpath={.metadata.uid}";
        let seen = self.sh(&format!("{ADMIN_KUBECTL} --server https://{server} {get}"))?;
        Ok(seen.trim().to_owned())
    }

    /// Cuts the machine off from all others while its own link stays up, or lets it back.
    pub fn cut(&self, off: bool) -> Result<()> {
        let mut args = vec!["cut", self.cluster.name(), self.name];
        args.extend((!off).then_some("--heal"));
        self.cluster.ha_host(&args, self.look())?.ok().map(drop)
    }

    /// Powers the machine off, on, or restarts it.
    pub fn power(&self, order: &str) -> Result<()> {
        self.cluster
            .ha_host(
                &[
                    "power",
                    self.cluster.name(),
                    self.name,
                    order,
                    "--during-launch",
                ],
                3 * self.look(),
            )?
            .ok()?;
        self.cluster.note_power(self.name, order != "off");
        Ok(())
    }
}
