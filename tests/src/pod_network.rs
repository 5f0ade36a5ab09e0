//! Whether pods, services and DNS serve, asked from everywhere: from every pod, every node, and from outside.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::process::run_to_end;
use crate::services::readiness_from_pod;
use crate::story::Story;

pub mod dual_stack;

/// The servers' service, with IPv4 and with IPv6 alone, and where it answers on every node.
const SERVICE: &str = "10.96.80.80";
const SERVICE_V6: &str = "fd00:10:96::8080";
const NODE_PORT: u16 = 30080;
/// Where each server itself answers.
const PORT: u16 = 8080;
const LABEL: &str = "app=web";
/// From a manifest to a pod on every node, with a pod network that compiles its programs for the first of them.
const STARTED: Duration = Duration::from_secs(300);
/// One question from one place.
const ANSWER: Duration = Duration::from_secs(20);
/// Until a network that was disturbed serves everywhere again.
const SERVES: Duration = Duration::from_secs(120);

/// A pod on every node that answers with the node's name, and a service of them.
const SERVERS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  clusterIP: 10.96.80.80
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      tolerations: [{operator: Exists}]
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: docker.io/lab/net:1
          imagePullPolicy: Never
          env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
          command: [/bin/sh, -c, 'b=/usr/local/bin/busybox; $b mkdir -p /tmp/www; echo $NODE > /tmp/www/index.html; exec $b httpd -f -p 8080 -h /tmp/www']
          readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
"#;

/// Starts the servers: the first pods of a cluster, and one on every node.
pub fn a_server_on_every_node(story: &Story, cluster: &Cluster) {
    story.step("a pod on every node", || {
        let file = cluster.dir().join("servers.yaml");
        let service = format!("\"{}\"", service_address(cluster));
        std::fs::write(&file, SERVERS.replace(SERVICE, &service))?;
        cluster
            .kube()
            .ctl(&["apply", "-f", &file.display().to_string()])?;
        wait_until("Ready", STARTED, || ready_servers(cluster))
    });
}

/// Fails with who got no good answer, or what it said.
type Question = fn(&Cluster) -> Result<()>;

/// Asks from everywhere. `when`: what has just happened.
pub fn serves_everywhere(story: &Story, cluster: &Cluster, when: &str) {
    let questions: [(&str, Question); 5] = [
        ("pod to pod, each to each", each_pod_reaches_each),
        ("a service's name from every pod", pods_resolve),
        ("a service from every pod and node", service_answers),
        ("a NodePort from outside, on every node", node_ports_answer),
        ("the API from every pod", pods_reach_the_api),
    ];
    for (what, ask) in questions {
        story.step(&format!("{when}: {what}"), || {
            wait_until(what, SERVES, || ask(cluster))
        });
    }
}

/// Node and address of the server on each node; an error while one is missing.
fn ready_servers(cluster: &Cluster) -> Result<Vec<Server>> {
    let pods = cluster.kube().get(&["pods", "-l", LABEL])?;
    let pods = pods["items"].as_array().context("no items")?;
    let ready = pods.iter().filter_map(Server::of_ready).collect::<Vec<_>>();
    let nodes = cluster.plan().nodes().len();
    ensure!(
        ready.len() == nodes,
        "{} of {nodes} are ready: {ready:?}",
        ready.len()
    );
    Ok(ready)
}

#[derive(Debug)]
struct Server {
    pod: String,
    node: String,
    address: IpAddr,
}

impl Server {
    fn of_ready(pod: &serde_json::Value) -> Option<Self> {
        let conditions = pod["status"]["conditions"].as_array()?;
        let ready = conditions
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True");
        let gone = !pod["metadata"]["deletionTimestamp"].is_null();
        if !ready || gone {
            return None;
        }
        let word = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        Some(Self {
            pod: word(&pod["metadata"]["name"])?,
            node: word(&pod["spec"]["nodeName"])?,
            address: word(&pod["status"]["podIP"])?.parse().ok()?,
        })
    }

    fn ask(&self, cluster: &Cluster, script: &str) -> Result<String> {
        let script = format!("set -e; b=/usr/local/bin/busybox; {script}");
        cluster
            .kube()
            .in_pod(&self.pod, &script, ANSWER)
            .with_context(|| format!("from {} on {}", self.pod, self.node))
    }
}

fn service_address(cluster: &Cluster) -> IpAddr {
    let v6 = cluster.plan().vip().is_ipv6();
    let service = if v6 { SERVICE_V6 } else { SERVICE };
    service.parse().expect("an address")
}

fn each_pod_reaches_each(cluster: &Cluster) -> Result<()> {
    let servers = ready_servers(cluster)?;
    let script: String = servers
        .iter()
        .map(|s| SocketAddr::new(s.address, PORT))
        .map(|at| format!("$b wget -qO- -T 3 http://{at}/; "))
        .collect();
    let wanted: Vec<&str> = servers.iter().map(|s| s.node.as_str()).collect();
    for server in &servers {
        let answers = server.ask(cluster, &script)?;
        let answers: Vec<&str> = answers.lines().collect();
        ensure!(
            answers == wanted,
            "from {}: {answers:?}, not {wanted:?}",
            server.node
        );
    }
    Ok(())
}

fn pods_resolve(cluster: &Cluster) -> Result<()> {
    for server in ready_servers(cluster)? {
        let answer = server.ask(cluster, "$b nslookup web.default.svc.cluster.local")?;
        let service = service_address(cluster).to_string();
        ensure!(answer.contains(&service), "from {}: {answer}", server.node);
    }
    Ok(())
}

fn service_answers(cluster: &Cluster) -> Result<()> {
    let servers = ready_servers(cluster)?;
    let service = SocketAddr::new(service_address(cluster), 80);
    let is_a_node = |answer: &str| servers.iter().any(|s| s.node == answer.trim());
    for server in &servers {
        let answer = server.ask(cluster, &format!("$b wget -qO- -T 3 http://{service}/"))?;
        ensure!(is_a_node(&answer), "a pod on {}: {answer:?}", server.node);
        let curl = format!("curl -fsS --max-time 3 http://{service}/");
        let answer = cluster.node(&server.node).sh(&curl)?;
        ensure!(is_a_node(&answer), "{} itself: {answer:?}", server.node);
    }
    Ok(())
}

fn node_ports_answer(cluster: &Cluster) -> Result<()> {
    let servers = ready_servers(cluster)?;
    for (name, _, address) in cluster.plan().nodes() {
        let answer = from_outside(cluster, SocketAddr::new(address, NODE_PORT))?;
        ensure!(
            servers.iter().any(|s| s.node == answer.trim()),
            "{name}: {answer:?}"
        );
    }
    Ok(())
}

fn from_outside(cluster: &Cluster, at: SocketAddr) -> Result<String> {
    let there = cluster.reach(at)?;
    let mut curl = cluster.operator().command("curl");
    curl.args(["-fsS", "--max-time", "3"])
        .arg(format!("http://{there}/"));
    Ok(run_to_end(curl, ANSWER)?.ok()?.stdout)
}

fn pods_reach_the_api(cluster: &Cluster) -> Result<()> {
    for server in ready_servers(cluster)? {
        let answer = server.ask(cluster, &readiness_from_pod(&cluster.plan().api_service()))?;
        ensure!(answer.trim() == "ok", "from {}: {answer:?}", server.node);
    }
    Ok(())
}
