//! The cluster as its API shows it, asked from the operator's machine through the VIP.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ha_kube::etcd::{Member, MemberList};
use ha_kube::objects::{List, Node, Pod};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::process::{FinishedProcess, RunningProcess, run_to_end};

/// A request that takes longer has failed.
const REQUEST: &str = "--request-timeout=10s";
/// kubectl with all its retries.
const DEADLINE: Duration = Duration::from_secs(30);

/// A pod's manifest for `kubectl run --overrides`: on one node, whatever its taints.
const OVERRIDES: &str = r#"{"spec":{"nodeName":"NODE","terminationGracePeriodSeconds":0,"tolerations":[{"operator":"Exists"}]}}"#;

/// kubectl on the operator's machine.
#[derive(Debug, Clone, Copy)]
pub struct Kube<'a> {
    cluster: &'a Cluster,
}

impl<'a> Kube<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        Self { cluster }
    }

    /// A kubectl command, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self
            .cluster
            .operator()
            .command(self.cluster.kubectl_program());
        command
            .arg("--kubeconfig")
            .arg(self.cluster.kubeconfig())
            .args(args)
            .env("KUBECACHEDIR", self.cluster.dir().join("kube-cache"));
        command
    }

    /// Runs kubectl to the end; its output.
    pub fn ctl(&self, args: &[&str]) -> Result<String> {
        // First: what follows a "--" is a pod's.
        let command = self.command(&[&[REQUEST], args].concat());
        run_to_end(command, DEADLINE)
            .and_then(FinishedProcess::ok)
            .map(|d| d.stdout)
    }

    /// `kubectl get ... -o json`.
    pub fn get(&self, args: &[&str]) -> Result<Value> {
        let text = self.ctl(&[&["get", "-o", "json"], args].concat())?;
        serde_json::from_str(&text).context("kubectl printed no JSON")
    }

    /// Every Node object: name -> (uid, Ready, boot id).
    pub fn nodes(&self) -> Result<BTreeMap<String, NodeSeen>> {
        let list: List<Node> = serde_json::from_value(self.get(&["nodes"])?)?;
        let seen = |node: Node| (node.metadata.name.clone(), NodeSeen::of(node));
        Ok(list.items.into_iter().map(seen).collect())
    }

    /// Every node of the plan is there and Ready, and no other.
    pub fn all_ready(&self) -> Result<()> {
        let seen = self.nodes()?;
        let nodes = self.cluster.plan().nodes().into_iter();
        let mut wanted: Vec<String> = nodes.map(|n| n.0).collect();
        wanted.sort();
        let ready: Vec<String> = seen
            .iter()
            .filter(|(_, n)| n.ready)
            .map(|(name, _)| name.clone())
            .collect();
        ensure!(
            ready == wanted && seen.len() == wanted.len(),
            "Ready: {ready:?}, there: {:?}",
            seen.keys()
        );
        Ok(())
    }

    /// The uid of namespace kube-system: the identity of the cluster.
    pub fn identity(&self) -> Result<String> {
        Ok(text_of(
            &self.get(&["namespace", "kube-system"])?["metadata"]["uid"],
        ))
    }

    /// The pods of kube-system with this label.
    pub fn system_pods(&self, label: &str) -> Result<Vec<PodSeen>> {
        let list: List<Pod> =
            serde_json::from_value(self.get(&["pods", "-n", "kube-system", "-l", label])?)?;
        Ok(list.items.into_iter().map(PodSeen::of).collect())
    }

    /// Starts a pod on one node that does nothing, from an image that every node has, and waits until it is Ready.
    pub fn idle_pod(&self, name: &str, node: &str) -> Result<()> {
        let image = self.lab_image()?;
        let overrides = OVERRIDES.replace("NODE", node);
        let image = format!("--image={image}");
        let overrides = format!("--overrides={overrides}");
        let run = [
            "run",
            name,
            &image,
            "--image-pull-policy=Never",
            &overrides,
            "--command",
            "--",
        ];
        self.ctl_plain(
            &[&run[..], &["/usr/local/bin/busybox", "sleep", "3600"]].concat(),
            DEADLINE,
        )?;
        let pod = format!("pod/{name}");
        let wait = ["wait", "--for=condition=Ready", "--timeout=60s", &pod];
        self.ctl_plain(&wait, 3 * DEADLINE)
            .map(drop)
            .with_context(|| self.ctl(&["describe", &pod]).unwrap_or_default())
    }

    /// The image that the lab's pod network runs: busybox and kubectl.
    pub fn lab_image(&self) -> Result<String> {
        let sets = self.get(&["daemonsets", "-n", "kube-system"])?;
        let sets = sets["items"].as_array().context("no items")?;
        let images = sets
            .iter()
            .map(|s| text_of(&s["spec"]["template"]["spec"]["containers"][0]["image"]));
        let found: Vec<String> = images.collect();
        found
            .iter()
            .find(|i| i.contains("net"))
            .cloned()
            .with_context(|| format!("no lab image among {found:?}"))
    }

    /// Runs a shell script in a pod.
    pub fn in_pod(&self, pod: &str, script: &str, deadline: Duration) -> Result<String> {
        self.ctl_plain(&exec_arguments(pod, script), deadline)
    }

    /// Starts a shell script in a pod.
    pub fn start_in_pod(&self, pod: &str, script: &str) -> Result<RunningProcess> {
        RunningProcess::start(self.command(&exec_arguments(pod, script)))
    }

    /// kubectl without a request time-out, for what lasts.
    fn ctl_plain(&self, args: &[&str], deadline: Duration) -> Result<String> {
        run_to_end(self.command(args), deadline)
            .and_then(FinishedProcess::ok)
            .map(|d| d.stdout)
    }
}

/// A Node object in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSeen {
    /// Another one: the node was deleted and joined anew.
    pub uid: String,
    /// The kernel's or the machine's boot, as the kubelet tells it.
    pub machine: String,
    /// Condition Ready is True.
    pub ready: bool,
}

impl NodeSeen {
    fn of(node: Node) -> Self {
        Self {
            ready: node.is_ready(),
            uid: node.metadata.uid,
            machine: node.status.node_info.machine_id,
        }
    }
}

/// A pod in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSeen {
    /// Its name.
    pub name: String,
    /// Another one: the pod was replaced.
    pub uid: String,
    /// The node that it runs on.
    pub node: String,
    /// Condition Ready is True, and it is not being deleted.
    pub ready: bool,
}

impl PodSeen {
    fn of(pod: Pod) -> Self {
        Self {
            ready: pod.is_ready(),
            name: pod.metadata.name,
            uid: pod.metadata.uid,
            node: pod.spec.node_name,
        }
    }
}

/// etcd's members as one control plane's own member tells them.
pub fn etcd_members(cluster: &Cluster, node: &str) -> Result<Vec<Member>> {
    const ASK: &str = "curl -sS --max-time 5 --cacert $p/ca.crt --cert $p/healthcheck-client.crt --key $p/healthcheck-client.key \
                       -d '{}' https://localhost:2379/v3/cluster/member/list";
    let text = cluster
        .node(node)
        .sh(&format!("p=/etc/kubernetes/pki/etcd; {ASK}"))?;
    let list: MemberList =
        serde_json::from_str(&text).with_context(|| format!("etcd says {text:?}"))?;
    let mut members = list.members;
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

/// etcd has exactly these members, each one started and voting.
pub fn all_voters(cluster: &Cluster, ask: &str, names: &[String]) -> Result<()> {
    let seen = etcd_members(cluster, ask)?;
    let voters: Vec<&String> = seen
        .iter()
        .filter(|m| m.is_voter())
        .map(|m| &m.name)
        .collect();
    if !voters.iter().copied().eq(names) || seen.len() != names.len() {
        bail!("etcd's members are {seen:?}, wanted voters {names:?}");
    }
    Ok(())
}

/// Every control plane's apiserver shows this cluster to this one.
pub fn every_apiserver_shows(cluster: &Cluster, ask: &str, identity: &str) -> Result<()> {
    for server in cluster.apiservers() {
        let seen = cluster.node(ask).identity_at(server)?;
        ensure!(
            seen == identity,
            "{server} shows {seen}, the cluster is {identity}"
        );
    }
    Ok(())
}

/// `kubectl exec` of a shell script, by the busybox that the lab's image has.
fn exec_arguments<'a>(pod: &'a str, script: &'a str) -> [&'a str; 7] {
    let shell = "/usr/local/bin/busybox";
    ["exec", pod, "--", shell, "sh", "-c", script]
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
