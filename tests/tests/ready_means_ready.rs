//! Ready means ready: what is broken on standing control planes is said by their own agents, and a Node object that somebody
//! deletes comes back as this product made it; and how soon `ha-host status` tells of each. The faults overlap: each takes its time
//! to be a fault.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::health::{Told, status_tells, vip_moved_to};
use ha_tests::node::ClusterNode;
use ha_tests::plan::ClusterPlan;
use ha_tests::services::{dns_on_one_node_is_told, restart_dns};
use ha_tests::story::Story;
use ha_wire::status::{Answer, PhaseState, Status};

/// From a fault of one node to its agent's word, on two busy cores.
const SAID: Duration = Duration::from_secs(60);
/// From a deleted Node to a new one with all that it had: a minute's patience, and a kubelet's start.
const BACK: Duration = Duration::from_secs(150);
/// What a node knows by itself is told within this,
const LOCAL: Duration = Duration::from_secs(10);
/// and what is the cluster's within this.
const OF_CLUSTER: Duration = Duration::from_secs(60);
/// A runtime is asked every five to seven seconds, has two for its answer, and may be silent for five.
const SILENT: Duration = Duration::from_secs(30);
/// An agent's last word counts for thirty seconds.
const OLD: Duration = Duration::from_secs(45);
/// An apiserver begins anew, and its probes pass.
const RESTARTED: Duration = Duration::from_secs(120);
/// A command on a node.
const LOOK: Duration = Duration::from_secs(20);

/// Leaves /run as full as it can be, and undoes it.
const FILL_RUN: &str = "used=$(df -k --output=used /run | tail -n 1)
mount -o remount,size=$((used + 256))k /run
dd if=/dev/zero of=/run/filler bs=4k 2>/dev/null; test -s /run/filler";
const EMPTY_RUN: &str = "rm /run/filler && mount -o remount,size=64m /run";

#[test]
#[ignore = "ten minutes: make test-faults"]
fn what_is_broken_is_said_and_a_deleted_node_comes_back() {
    let story = Story::new("ready means ready");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-ready", 3, 0))
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step("every node was answered by what it lives on", || {
        cluster.all_steady(BACK)?;
        wait_until("good answers", SAID, || are_answered(&cluster))
    });
    // Of the highest priority: another one gives way to the peer who cannot hear it.
    let holder = story.step("node1 holds the VIP", || vip_moved_to(&cluster, "node1"));
    let names = cluster.control_planes();
    let other = names.iter().rfind(|name| **name != holder).unwrap();
    let (holder, other) = (cluster.node(&holder), cluster.node(other));
    what_a_node_knows(&story, &cluster, other);
    // Before node1's Node is deleted: with another podCIDR the lab's bridge, which keeps its address, takes no pod any more.
    dns_on_one_node_is_told(&story, &cluster);
    what_is_taken_away_is_told(&story, &cluster, other);
    a_holder_that_nobody_hears_is_told(&story, &cluster, holder);
    story.step("node1 is back with its label and its taint", || {
        wait_until("node1's Node", BACK, || is_marked(&cluster, "node1"))
    });
    words_grow_old(&story, &cluster, holder);
    an_empty_service_table_is_told(&story, &cluster, other);
    an_alarm_is_told(&story, &cluster, other);
    a_restless_vip_is_told(&story, &cluster);
    a_service_on_the_vip_is_told(&story, &cluster);
    refused_checks_are_told(&story, &cluster);
    story.step("all of it is over, and every node says so", || {
        cluster.all_steady(RESTARTED + BACK)
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn are_answered(cluster: &Cluster) -> Result<()> {
    for name in cluster.control_planes() {
        let (status, _) = cluster.node(&name).status()?;
        for answer in [&status.service, &status.dns, &status.runtime] {
            let is_good = |a: &Answer| a.error.is_empty();
            ensure!(answer.as_ref().is_some_and(is_good), "{name}: {answer:?}");
        }
        let etcd = status.etcd.context("no word of etcd")?;
        ensure!(
            etcd.database_bytes.is_some() && etcd.quota_bytes == Some(2 << 30),
            "{etcd:?}"
        );
    }
    Ok(())
}

/// A person sees it, by its words and by the exit code.
fn is_said(node: ClusterNode<'_>, words: &str) -> Result<()> {
    wait_until(&format!("{words:?}"), SAID, || {
        let (status, code): (Status, _) = node.status()?;
        let said = status.faults.iter().any(|fault| fault.contains(words));
        ensure!(
            said && status.state == PhaseState::Degraded && code == Some(1),
            "{code:?} {status:?}"
        );
        Ok(())
    })
}

/// A hanging runtime, and a machine that booted without its agent.
fn what_a_node_knows(story: &Story, cluster: &Cluster, node: ClusterNode<'_>) {
    story.step("a hanging runtime is said", || {
        let hangs = Told::begin("a hanging runtime", "answers no CRI call", SILENT);
        node.sh("systemctl kill -s STOP --kill-whom=main containerd")?;
        let told = status_tells(story, cluster, &[hangs]);
        let said = is_said(node, "answers no CRI call");
        node.sh("systemctl kill -s CONT --kill-whom=main containerd")?;
        told.and(said)
    });
    story.step("a machine without its agent is told", || {
        node.sh("systemctl mask --runtime --now ha-agent 2>&1 && mv /run/ha-agent/status.json /run/e2e-status")?;
        let gone = Told::begin(
            "a machine without its agent",
            "runs without its agent",
            LOCAL,
        );
        let told = status_tells(story, cluster, &[gone]);
        node.sh("systemctl unmask --runtime ha-agent 2>&1 && systemctl start ha-agent && rm /run/e2e-status")?;
        told
    });
}

/// A Node object, CoreDNS' name servers, and nobody who signs what a kubelet asks for.
fn what_is_taken_away_is_told(story: &Story, cluster: &Cluster, other: ClusterNode<'_>) {
    story.step(
        "a Node is deleted, CoreDNS has no name servers, a kubelet asks in vain: told",
        || {
            let asked = Told::begin(
                "a kubelet's request for a serving certificate",
                "request for a serving certificate is Pending",
                OF_CLUSTER,
            );
            ask_for_certificate(cluster)?;
            let gone = Told::begin(
                "a Node object that is deleted",
                "node1's Node object is gone",
                OF_CLUSTER,
            );
            cluster.kube().ctl(&["delete", "node", "node1"])?;
            let silent = Told::begin(
                "CoreDNS without a name server",
                "no pod of CoreDNS serves",
                OF_CLUSTER,
            );
            without_name_servers(cluster)?;
            status_tells(story, cluster, &[asked, gone, silent])
        },
    );
    story.step(
        "cluster DNS that does not answer is said by an agent",
        || {
            is_said(other, "cluster DNS does not resolve")?;
            with_name_servers(cluster)?;
            cluster.kube().ctl(&["delete", "csr", "e2e"]).map(drop)
        },
    );
}

fn a_holder_that_nobody_hears_is_told(story: &Story, cluster: &Cluster, holder: ClusterNode<'_>) {
    let rule = |order: &str| format!("iptables -w {order} OUTPUT -p 112 -j DROP");
    story.step("a holder that nobody hears quotes its keepalived", || {
        holder.sh(&rule("-I"))?;
        let two = Told::begin(
            "two holders of the VIP",
            "at once: their adverts",
            OF_CLUSTER,
        );
        let told = status_tells(story, cluster, &[two]);
        let said = is_said(holder, "Cant send advert");
        holder.sh(&rule("-D"))?;
        told.and(said)
    });
}

/// As a kubelet of `serverTLSBootstrap: true` does it, whom nobody answers.
fn ask_for_certificate(cluster: &Cluster) -> Result<()> {
    let script = "cd /run && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null \
        -subj '/O=system:nodes/CN=system:node:node2' -addext 'subjectAltName=DNS:node2,IP:10.77.0.12' | base64 -w 0";
    let request = cluster.node("node2").sh(script)?;
    let file = cluster.dir().join("csr.json");
    let spec = serde_json::json!({"signerName": "kubernetes.io/kubelet-serving", "request": request,
        "usages": ["digital signature", "server auth"]});
    let object = serde_json::json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": "e2e"}, "spec": spec});
    std::fs::write(&file, object.to_string())?;
    let file = file.display().to_string();
    let kubelet = [
        "--as=system:node:node2",
        "--as-group=system:nodes",
        "--as-group=system:authenticated",
    ];
    let create = ["create", "-f", &file];
    cluster
        .kube()
        .ctl(&[&create[..], &kubelet].concat())
        .map(drop)
}

/// Row 9 of the reports: `network.dns` is missing.
fn without_name_servers(cluster: &Cluster) -> Result<()> {
    on_all(
        cluster,
        "cp /etc/resolv.conf /var/tmp/e2e-resolv && : > /etc/resolv.conf",
    )?;
    restart_dns(cluster)
}

fn with_name_servers(cluster: &Cluster) -> Result<()> {
    on_all(cluster, "cat /var/tmp/e2e-resolv > /etc/resolv.conf")?;
    restart_dns(cluster)
}

fn on_all(cluster: &Cluster, script: &str) -> Result<()> {
    let planes = cluster.control_planes();
    planes
        .iter()
        .try_for_each(|name| cluster.node(name).sh(script).map(drop))
}

fn a_restless_vip_is_told(story: &Story, cluster: &Cluster) {
    story.step("a VIP that moves and moves is told", || {
        for _ in 0..8 {
            let holder = cluster.vip_holder()?;
            cluster.node(&holder).sh("systemctl restart keepalived")?;
            wait_until("it has moved", SAID, || {
                ensure!(cluster.vip_holder()? != holder, "{holder} holds it yet");
                Ok(())
            })?;
        }
        let moves = Told::begin(
            "a VIP that moves eight times",
            "times in ten minutes",
            OF_CLUSTER,
        );
        status_tells(story, cluster, &[moves])
    });
}

/// What a kube-proxy that stands still would not mend.
fn an_empty_service_table_is_told(story: &Story, cluster: &Cluster, node: ClusterNode<'_>) {
    story.step("a node whose service table is empty is told", || {
        let pid = node.sh("pgrep -o -x kube-proxy")?;
        let order = |signal: &str| format!("kill -{signal} {}", pid.trim());
        node.sh(&order("STOP"))?;
        node.sh("nft delete table ip kube-proxy")?;
        let empty = Told::begin(
            "an empty service table",
            "the API's service address does not answer on node3",
            OF_CLUSTER,
        );
        let told = status_tells(story, cluster, &[empty]);
        node.sh(&order("CONT"))?;
        // Its successor writes the table anew.
        node.sh(&order("TERM"))?;
        told
    });
}

fn an_alarm_is_told(story: &Story, cluster: &Cluster, node: ClusterNode<'_>) {
    story.step("an alarm of etcd's is told", || {
        let alarm = Told::begin("an alarm of etcd's", "alarm NOSPACE of node3", OF_CLUSTER);
        order_alarm(node, "ACTIVATE")?;
        let told = status_tells(story, cluster, &[alarm]);
        order_alarm(node, "DEACTIVATE")?;
        told
    });
}

/// By etcd's own interface, for the node's own member.
fn order_alarm(node: ClusterNode<'_>, action: &str) -> Result<()> {
    let ask = "p=/etc/kubernetes/pki/etcd; ask() { curl -sSf --max-time 5 --cacert $p/ca.crt --cert $p/healthcheck-client.crt \
               --key $p/healthcheck-client.key -d \"$2\" https://127.0.0.1:2379/v3/maintenance/$1; }";
    let own = r#"id=$(ask status '{}' | sed 's/.*"member_id":"\([0-9]*\)".*/\1/')"#;
    let order =
        format!(r#"ask alarm '{{"action": "{action}", "alarm": "NOSPACE", "memberID": "'$id'"}}'"#);
    node.sh(&format!("{ask}; {own} && {order}")).map(drop)
}

fn a_service_on_the_vip_is_told(story: &Story, cluster: &Cluster) {
    let kube = cluster.kube();
    story.step(
        "a Service that takes the VIP is told, with the way past it",
        || {
            let make = ["create", "service", "clusterip", "e2e", "--tcp=6444:6444"];
            kube.ctl(&make)?;
            let patch = r#"{"spec":{"externalIPs":["10.77.0.30"]}}"#;
            kube.ctl(&["patch", "service", "e2e", "-p", patch])?;
            let taken = Told::begin(
                "a Service that claims the VIP",
                "Service default/e2e claims that address",
                OF_CLUSTER,
            );
            let told = status_tells(story, cluster, &[taken]);
            kube.ctl(&[
                "--server",
                "https://10.77.0.11:6443",
                "delete",
                "service",
                "e2e",
            ])?;
            told
        },
    );
}

fn refused_checks_are_told(story: &Story, cluster: &Cluster) {
    story.step("apiservers that refuse anonymous requests are told", || {
        let manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml";
        let line = r"/^    - kube-apiserver$/a\    - --anonymous-auth=false";
        let add = format!("sed -i '{line}' {manifest}");
        on_all(cluster, &add)?;
        let ask = "curl -sk -o /dev/null -w '%{http_code}' https://127.0.0.1:6443/readyz";
        wait_until("all of them refuse", RESTARTED, || {
            for name in cluster.control_planes() {
                let code = cluster.node(&name).sh(ask)?;
                ensure!(code == "401", "{name}: {code}");
            }
            Ok(())
        })?;
        let refused = Told::begin(
            "apiservers that refuse haproxy's check",
            "no apiserver passes the check",
            OF_CLUSTER,
        );
        let told = status_tells(story, cluster, &[refused]);
        on_all(cluster, &format!("sed -i /anonymous-auth/d {manifest}"))?;
        told
    });
}

fn is_marked(cluster: &Cluster, name: &str) -> Result<()> {
    let node = cluster.kube().get(&["node", name])?;
    let labels = &node["metadata"]["labels"];
    for label in [
        "node-role.kubernetes.io/control-plane",
        "node.kubernetes.io/exclude-from-external-load-balancers",
    ] {
        ensure!(labels[label].is_string(), "{label} is missing: {labels}");
    }
    let taints = node["spec"]["taints"].as_array().context("no taints")?;
    let is_marked = |t: &serde_json::Value| {
        t["key"] == "node-role.kubernetes.io/control-plane" && t["effect"] == "NoSchedule"
    };
    ensure!(taints.iter().any(is_marked), "{taints:?}");
    Ok(())
}

fn words_grow_old(story: &Story, cluster: &Cluster, node: ClusterNode<'_>) {
    story.step("words that cannot be written are old words", || {
        node.sh(FILL_RUN)?;
        let full = Told::begin("a full /run", "/run of node1 is full", LOCAL);
        let old = Told::begin("old words", "its agent says nothing any more", OLD);
        let told = status_tells(story, cluster, &[full, old]);
        let old = wait_until("old words", SAID, || {
            let told = node.run(&["ha-agent", "status"], LOOK)?;
            ensure!(
                told.code == Some(1) && told.stdout.contains("not heard of since"),
                "{:?} {}",
                told.code,
                told.stdout
            );
            Ok(())
        });
        node.sh(EMPTY_RUN)?;
        told.and(old)
    });
}
