//! Whether nodes, pods and a service have addresses of both families, and answer by each.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{PORT, SERVES, from_outside, ready_servers};
use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::story::Story;

/// Another one than the servers' own service has.
const NODE_PORT: u16 = 30090;
/// A service of the servers that must have both.
const SERVICE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: both}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30090}]
"#;

/// Asks of both families; the servers are there.
pub fn both_families_serve(story: &Story, cluster: &Cluster) {
    story.step("a service that requires both families is made", || {
        let file = cluster.dir().join("both.yaml");
        std::fs::write(&file, SERVICE)?;
        let kube = cluster.kube();
        kube.ctl(&["apply", "-f", &file.display().to_string()])
    });
    type Question = fn(&Cluster) -> Result<()>;
    let questions: [(&str, Question); 4] = [
        ("every node has both its addresses", nodes_have_both),
        ("each pod reaches each by either address", pods_reach_pods),
        (
            "either address of the service answers in every pod",
            service_answers,
        ),
        (
            "its NodePort answers at either address of every node",
            node_ports_answer,
        ),
    ];
    for (what, ask) in questions {
        story.step(what, || wait_until(what, SERVES, || ask(cluster)));
    }
}

/// As the API shows them: in the order of the cluster file.
fn nodes_have_both(cluster: &Cluster) -> Result<()> {
    for (name, _, first) in cluster.plan().nodes() {
        let node = cluster.kube().get(&["node", &name])?;
        let all = node["status"]["addresses"]
            .as_array()
            .context("no addresses")?;
        let inner = all.iter().filter(|at| at["type"] == "InternalIP");
        let seen: Vec<&str> = inner.filter_map(|at| at["address"].as_str()).collect();
        let second = cluster
            .plan()
            .second_address(first)
            .context("not of two families")?;
        ensure!(
            seen == [first.to_string(), second.to_string()],
            "{name}: {seen:?}"
        );
        let parts = node["spec"]["podCIDRs"].as_array().map(Vec::len);
        ensure!(parts == Some(2), "{name}: {}", node["spec"]);
    }
    Ok(())
}

/// Both of an object's, the VIP's family first.
fn both_addresses(cluster: &Cluster, list: &Value) -> Result<[IpAddr; 2]> {
    let v4 = cluster.plan().vip().is_ipv4();
    let words = list.as_array().context("no list")?.iter();
    let all = words.map(|word| {
        let word = word.get("ip").unwrap_or(word);
        Ok(word.as_str().context("no text")?.parse()?)
    });
    let all: Vec<IpAddr> = all.collect::<Result<_>>()?;
    match all[..] {
        [first, second] if first.is_ipv4() == v4 && second.is_ipv4() != v4 => Ok([first, second]),
        _ => anyhow::bail!("{all:?}"),
    }
}

fn pods_reach_pods(cluster: &Cluster) -> Result<()> {
    let servers = ready_servers(cluster)?;
    for to in &servers {
        let pod = cluster.kube().get(&["pod", &to.pod])?;
        for address in both_addresses(cluster, &pod["status"]["podIPs"])? {
            let at = SocketAddr::new(address, PORT);
            for from in &servers {
                let answer = from.ask(cluster, &format!("$b wget -qO- -T 3 http://{at}/"))?;
                ensure!(
                    answer.trim() == to.node,
                    "{} to {at}: {answer:?}",
                    from.node
                );
            }
        }
    }
    Ok(())
}

fn service_answers(cluster: &Cluster) -> Result<()> {
    let servers = ready_servers(cluster)?;
    let service = cluster.kube().get(&["service", "both"])?;
    for address in both_addresses(cluster, &service["spec"]["clusterIPs"])? {
        let at = SocketAddr::new(address, 80);
        for from in &servers {
            let answer = from.ask(cluster, &format!("$b wget -qO- -T 3 http://{at}/"))?;
            let is_a_node = servers.iter().any(|server| server.node == answer.trim());
            ensure!(is_a_node, "{} to {at}: {answer:?}", from.node);
        }
    }
    Ok(())
}

fn node_ports_answer(cluster: &Cluster) -> Result<()> {
    let servers = ready_servers(cluster)?;
    for (name, _, first) in cluster.plan().nodes() {
        for address in [Some(first), cluster.plan().second_address(first)] {
            let at = SocketAddr::new(address.context("not of two families")?, NODE_PORT);
            let answer = from_outside(cluster, at)?;
            let is_a_node = servers.iter().any(|server| server.node == answer.trim());
            ensure!(is_a_node, "{name} at {at}: {answer:?}");
        }
    }
    Ok(())
}
