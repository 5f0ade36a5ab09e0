//! What is there before a launch makes anything: machines, what their agents said, what their disks hold, what the cluster
//! answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ha_cluster_file::cluster::{Cluster, Node};
use ha_providers::{Machine, Provider};
use ha_wire::event::EventKind;
use ha_wire::phase::Phase;

use super::console::ignition_failed;
use super::event_tail::EventTail;
use crate::api::Api;
use crate::node_status::{self, Asking};
use crate::pki::Pki;
use crate::state::ClusterStore;

/// A console of days is some MiB over a thin line.
const FETCHING: Asking = Asking {
    at_a_time: 8,
    each: Duration::from_secs(60),
    all: Duration::from_secs(60),
};
/// The last line that [`LOOK_SCRIPT`] prints: without it the look was cut off.
const LOOKED: &str = "looked";
/// Prints those of its arguments that exist, and the kubelet's kubeconfig if it names the file of the kubelet's own certificate.
const LOOK_SCRIPT: &str = r#"for path; do if [ -e "$path" ]; then echo "$path"; fi; done
if grep -qsF /var/lib/kubelet/pki/kubelet-client-current.pem /etc/kubernetes/kubelet.conf; then echo /etc/kubernetes/kubelet.conf; fi
echo looked"#;
/// etcd's static pod: kubeadm writes it before etcd runs for the first time.
const ETCD_MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";
/// With an external etcd this one: kubeadm writes it before anything is written there.
const APISERVER_MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// Where etcd keeps its data unless the cluster file says otherwise.
const ETCD_DATA: &str = "/var/lib/etcd";
/// The kubelet's own certificate: on a node that joins, the cluster signed it. On one that kubeadm initialises, the kubelet first
/// files the one that kubeadm made for it under this name.
const KUBELET_CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// The kubelet's kubeconfig; printed if it names the file above, which kubeadm has it do once the cluster has signed.
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";

/// Looks at one cluster's machines. Changes nothing but by [`Self::remove`].
pub struct Inspection<'a> {
    pub cluster: &'a Cluster,
    pub store: &'a ClusterStore,
    pki: &'a Pki,
    provider: &'a Arc<dyn Provider>,
    machines: Vec<Machine>,
    /// Nodes whose host keeps what they said and did not hand it over, with why.
    unread: BTreeMap<&'a str, String>,
}

/// What a node's disk shows of its past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskTraces {
    /// etcd ran here, or an apiserver that asks an external one, or was about to.
    pub etcd: bool,
    /// The node has joined the cluster once.
    pub joined: bool,
}

impl DiskTraces {
    /// What [`LOOK_SCRIPT`] printed; where a trace of etcd would be, and whether `kubeadm init` may have run there.
    fn read(seen: &str, of_etcd: [&str; 2], founder: bool) -> Result<Self> {
        let seen: Vec<&str> = seen.lines().collect();
        if seen.last() != Some(&LOOKED) {
            bail!("its answer was cut off");
        }
        Ok(Self {
            etcd: of_etcd.iter().any(|path| seen.contains(path)),
            joined: seen.contains(&KUBELET_CERTIFICATE)
                && (!founder || seen.contains(&KUBELET_CONF)),
        })
    }
}

impl<'a> Inspection<'a> {
    pub fn new(
        cluster: &'a Cluster,
        store: &'a ClusterStore,
        pki: &'a Pki,
        provider: &'a Arc<dyn Provider>,
    ) -> Result<Self> {
        let machines = provider.states(&cluster.nodes)?;
        let made = cluster.nodes.iter().zip(&machines);
        let made = made.filter(|(_, machine)| **machine != Machine::Absent);
        let made: Vec<&Node> = made.map(|(node, _)| node).collect();
        Ok(Self {
            cluster,
            store,
            pki,
            provider,
            machines,
            unread: fetch_outputs(&**provider, &made),
        })
    }

    /// The cluster seen from outside.
    pub fn api(&self) -> Result<Api> {
        Api::new(self.cluster, self.pki, self.provider.clone())
    }

    /// Every node with its machine, in the file's order.
    pub fn nodes(&self) -> impl Iterator<Item = (&'a Node, Machine)> {
        self.cluster.nodes.iter().zip(self.machines.iter().copied())
    }

    /// Those that have a machine which was made from the config that is kept, with that config's age.
    pub fn made_nodes(&self) -> Result<Vec<(&'a Node, Machine, Duration)>> {
        let mut made = Vec::new();
        for (node, machine) in self.nodes() {
            let path = self.store.ignition(&node.name);
            if machine != Machine::Absent && path.exists() {
                made.push((node, machine, age_of(&path)?));
            }
        }
        Ok(made)
    }

    /// Why what a node said may not be known here; none: all of it is.
    pub fn why_unread(&self, node: &Node) -> Option<&str> {
        self.unread.get(node.name.as_str()).map(String::as_str)
    }

    /// Whether its agent was ever heard.
    pub fn was_heard(&self, node: &Node) -> bool {
        let events = self.provider.events(node);
        !EventTail::new(events).poll_history().is_empty()
    }

    /// The furthest that a node's agent ever said it was; none: it was never heard, or comes to its end without a cluster.
    pub fn furthest_phase(&self, node: &Node) -> Option<Phase> {
        if !node.role.is_kubernetes_node() {
            return None;
        }
        let lines = EventTail::new(self.provider.events(node)).poll_history();
        let events = lines.into_iter().flatten();
        events.filter_map(|event| reached_phase(&event.what)).max()
    }

    /// What the disks of running nodes show, in the order of these nodes; all are asked at once.
    pub fn disks(&self, nodes: &[&Node]) -> Vec<Result<DiskTraces>> {
        let settings = &self.cluster.kubernetes.cluster_configuration;
        let data = settings
            .get("etcd")
            .and_then(|e| e.pointer("/local/dataDir"));
        let data = data.and_then(|dir| dir.as_str()).unwrap_or(ETCD_DATA);
        let members = format!("{data}/member");
        let manifest = match self.cluster.kubernetes.external_etcd() {
            Some(_) => APISERVER_MANIFEST,
            None => ETCD_MANIFEST,
        };
        let of_etcd = [manifest, &members];
        let paths = [manifest, &members, KUBELET_CERTIFICATE];
        let argv = [&["sh", "-c", LOOK_SCRIPT, "sh"][..], &paths].concat();
        let answers = node_status::run_on_nodes(&**self.provider, nodes, &argv).into_iter();
        let founder = self.cluster.founder();
        let traces = |(node, seen): (&&Node, Result<String>)| {
            DiskTraces::read(&seen?, of_etcd, founder == Some(*node))
        };
        nodes.iter().zip(answers).map(traces).collect()
    }

    /// Whether nothing of a node ever ran, by its own words: Ignition failed on its last boot, and its agent was never heard.
    pub fn never_ran(&self, node: &Node) -> bool {
        let is_known = self.why_unread(node).is_none();
        is_known && !self.was_heard(node) && ignition_failed(&self.provider.console(node))
    }

    /// Whether a running node's disk shows that it joined once.
    pub fn has_joined(&self, node: &Node) -> Result<bool> {
        let mut disks = self.disks(&[node]).into_iter();
        disks.next().map_or(Ok(false), |disk| Ok(disk?.joined))
    }

    /// Removes a node's machine, disk included.
    pub fn remove(&mut self, node: &Node) -> Result<()> {
        let removed = self.provider.remove(node);
        removed.with_context(|| format!("{} cannot be made anew", node.name))?;
        let at = self.cluster.nodes.iter().position(|n| n.name == node.name);
        if let Some(machine) = at.and_then(|at| self.machines.get_mut(at)) {
            *machine = Machine::Absent;
        }
        Ok(())
    }
}

/// Has what these nodes said brought home. Why it is not, by node.
fn fetch_outputs<'a>(provider: &dyn Provider, nodes: &[&'a Node]) -> BTreeMap<&'a str, String> {
    let fetched = FETCHING.ask(nodes, |node, _| provider.fetch_output(node));
    let failed = nodes.iter().zip(fetched).filter_map(|(node, done)| {
        let why = match done {
            Some(done) => format!("{:#}", done.err()?),
            None => "there was no time left to fetch what it said".to_owned(),
        };
        Some((node.name.as_str(), why))
    });
    failed.collect()
}

/// The phase that an event shows a node to have reached.
fn reached_phase(event: &EventKind) -> Option<Phase> {
    match event {
        EventKind::Started { phase, .. } | EventKind::Done { phase, .. } => Some(*phase),
        EventKind::Steady => Some(Phase::Steady),
        _ => None,
    }
}

/// How long ago a config was written.
fn age_of(config: &Path) -> Result<Duration> {
    let written = std::fs::metadata(config)
        .and_then(|meta| meta.modified())
        .with_context(|| format!("cannot look at {}", config.display()))?;
    Ok(written.elapsed().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_look_names_what_exists_and_comes_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let (there, gone) = (dir.path().join("a b"), dir.path().join("gone"));
        std::fs::write(&there, "").unwrap();
        let output = std::process::Command::new("sh")
            .args(["-c", LOOK_SCRIPT, "sh"])
            .args([&gone, &there, &gone])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text, format!("{}\n{LOOKED}\n", there.display()));
    }
}
