//! What public bug reports call "ready, and nothing works": each state is made for real on a standing cluster, `ha-host status`
//! says it with the next command, and is content again once it is mended. The time from each fault to its words is printed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::eventually;
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;
use serde_json::Value;

/// A look asks every node and every apiserver, of which some do not answer.
const LOOK: Duration = Duration::from_secs(45);
/// From the slowest fault to its words: what may be a start or a restart is waited for during a minute.
const TOLD: Duration = Duration::from_secs(150);
/// A mended cluster: an apiserver whose probes failed is restarted, a deleted Node comes back after a minute.
const WHOLE: Duration = Duration::from_secs(240);
/// The VIP's way from a keepalived that ends to a peer.
const MOVED: Duration = Duration::from_secs(30);
/// One more than a launch, a failover and restarts together make in ten minutes.
const MOVES: usize = 7;

/// Run on a node by its shell, by kubectl on the operator's machine (words without quotes), or given to a node's switch.
#[derive(Debug, Clone, Copy)]
enum Order {
    On(&'static str, &'static str),
    Kubectl(&'static str),
    Power(&'static str, &'static str),
}

/// A state that people take for ready.
struct Fault {
    name: &'static str,
    make: &'static [Order],
    mend: &'static [Order],
    /// All of these stand in one finding: what is wrong, and the next command.
    words: &'static [&'static str],
}

const NO_NAME_SERVER: &str = "cp /etc/resolv.conf /root/resolv.conf && : > /etc/resolv.conf";
const NAME_SERVER: &str = "cat /root/resolv.conf > /etc/resolv.conf";
const RESTART_DNS: Order =
    Order::Kubectl("-n kube-system delete pods -l k8s-app=kube-dns --wait=false");
const REFUSE_ANONYMOUS: &str = "m=/etc/kubernetes/manifests/kube-apiserver.yaml; \
    sed '/- kube-apiserver$/a\\    - --anonymous-auth=false' $m > /root/apiserver.yaml && cat /root/apiserver.yaml > $m";
const ALLOW_ANONYMOUS: &str = "m=/etc/kubernetes/manifests/kube-apiserver.yaml; \
    sed '/anonymous-auth/d' $m > /root/apiserver.yaml && cat /root/apiserver.yaml > $m";

const DNS: [Fault; 1] = [Fault {
    name: "pods have no upstream name server (coredns#5764)",
    make: &[
        Order::On("node1", NO_NAME_SERVER),
        Order::On("node2", NO_NAME_SERVER),
        Order::On("node3", NO_NAME_SERVER),
        Order::On("node4", NO_NAME_SERVER),
        RESTART_DNS,
    ],
    mend: &[
        Order::On("node1", NAME_SERVER),
        Order::On("node2", NAME_SERVER),
        Order::On("node3", NAME_SERVER),
        Order::On("node4", NAME_SERVER),
        RESTART_DNS,
    ],
    words: &[
        "no pod of CoreDNS serves: 0 of 2",
        "no nameservers found",
        "describe pod coredns-",
    ],
}];

/// Of different parts: they take their time side by side. CoreDNS's own words would be on a node that shows no logs.
const SIDE_BY_SIDE: [Fault; 2] = [
    Fault {
        name: "nobody signs a serving certificate (kubernetes#73356)",
        make: &[Order::On(
            "node3",
            "echo 'serverTLSBootstrap: true' >> /var/lib/kubelet/config.yaml && systemctl restart kubelet",
        )],
        mend: &[
            Order::On(
                "node3",
                "sed -i /serverTLSBootstrap/d /var/lib/kubelet/config.yaml && systemctl restart kubelet",
            ),
            Order::Kubectl("delete csr --all"),
        ],
        words: &["node3", "serving certificate", "Pending", "kubectl"],
    },
    Fault {
        name: "a node's service table is empty",
        make: &[Order::On(
            "node4",
            "pkill -STOP -x kube-proxy && nft delete table ip kube-proxy",
        )],
        mend: &[
            Order::On("node4", "pkill -CONT -x kube-proxy"),
            Order::Kubectl(
                "-n kube-system delete pods -l k8s-app=kube-proxy --field-selector spec.nodeName=node4 --wait=false",
            ),
        ],
        words: &[
            "service address does not answer on node4",
            "logs -l k8s-app=kube-proxy",
        ],
    },
];

const ALARM: [Fault; 1] = [Fault {
    name: "etcd has an alarm",
    make: &[Order::On(
        "node2",
        "p=/etc/kubernetes/pki/etcd; ask() { curl -sSf --max-time 5 --cacert $p/ca.crt --cert $p/healthcheck-client.crt \
         --key $p/healthcheck-client.key -d \"$2\" https://127.0.0.1:2379/v3/maintenance/$1; }; \
         id=$(ask status '{}' | sed 's/.*\"member_id\":\"\\([0-9]*\\)\".*/\\1/') && \
         ask alarm '{\"action\": \"ACTIVATE\", \"alarm\": \"NOSPACE\", \"memberID\": \"'$id'\"}'",
    )],
    mend: &[Order::On(
        "node2",
        "p=/etc/kubernetes/pki/etcd; ask() { curl -sSf --max-time 5 --cacert $p/ca.crt --cert $p/healthcheck-client.crt \
         --key $p/healthcheck-client.key -d \"$2\" https://127.0.0.1:2379/v3/maintenance/$1; }; \
         id=$(ask status '{}' | sed 's/.*\"member_id\":\"\\([0-9]*\\)\".*/\\1/') && \
         ask alarm '{\"action\": \"DEACTIVATE\", \"alarm\": \"NOSPACE\", \"memberID\": \"'$id'\"}'",
    )],
    words: &["alarm NOSPACE of node2"],
}];

const NODES: [Fault; 2] = [
    Fault {
        name: "a living control plane's Node object is deleted (kubernetes#100677)",
        make: &[Order::Kubectl("delete node node2 --wait=false")],
        mend: &[],
        words: &["node2's Node object is gone"],
    },
    Fault {
        name: "a machine boots without its agent (systemd#36409)",
        make: &[
            Order::On(
                "node4",
                "d=/etc/systemd/system/systemd-sysext.service.d; mkdir -p $d; printf '[Service]\\nExecStartPre=false\\n' > $d/90-e2e.conf; sync",
            ),
            Order::Power("node4", "off"),
            Order::Power("node4", "on"),
        ],
        // It is tried again by itself.
        mend: &[Order::On(
            "node4",
            "rm /etc/systemd/system/systemd-sysext.service.d/90-e2e.conf && systemctl daemon-reload",
        )],
        words: &[
            "node4",
            "runs without its agent",
            "systemd-sysext.service",
            "ha-host logs",
        ],
    },
];

const CLAIMED: [Fault; 1] = [Fault {
    name: "a Service claims the VIP (kubernetes#66966)",
    make: &[Order::Kubectl(
        "-n kube-system expose deployment coredns --name=on-the-vip --port=6444 --external-ip=10.77.0.30",
    )],
    mend: &[Order::Kubectl(
        "--server https://10.77.0.11:6443 -n kube-system delete service on-the-vip",
    )],
    words: &[
        "Service kube-system/on-the-vip claims that address",
        "kubectl --server https://10.77.0.1",
        "edit service on-the-vip",
    ],
}];

const ANONYMOUS: [Fault; 1] = [Fault {
    name: "apiservers refuse anonymous requests (kubeadm#3174)",
    make: &[
        Order::On("node1", REFUSE_ANONYMOUS),
        Order::On("node2", REFUSE_ANONYMOUS),
        Order::On("node3", REFUSE_ANONYMOUS),
    ],
    mend: &[
        Order::On("node1", ALLOW_ANONYMOUS),
        Order::On("node2", ALLOW_ANONYMOUS),
        Order::On("node3", ALLOW_ANONYMOUS),
    ],
    words: &["no apiserver passes the check of", "L7STS/401"],
}];

#[test]
#[ignore = "ten minutes: make test-faults"]
fn what_looks_ready_is_said_to_be_degraded() {
    let story = Story::new("degraded");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-degraded", 3, 1))
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step("the cluster is whole", || is_whole(&cluster));
    are_told(&story, &cluster, &DNS);
    are_told(&story, &cluster, &SIDE_BY_SIDE);
    are_told(&story, &cluster, &ALARM);
    are_told(&story, &cluster, &NODES);
    are_told(&story, &cluster, &CLAIMED);
    are_told(&story, &cluster, &ANONYMOUS);
    two_holders_are_told(&story, &cluster);
    a_wandering_vip_is_told(&story, &cluster);
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn give(cluster: &Cluster, orders: &[Order]) -> Result<()> {
    for order in orders {
        match order {
            Order::On(node, script) => drop(cluster.node(node).sh(script)?),
            Order::Kubectl(words) => {
                let args: Vec<&str> = words.split(' ').collect();
                cluster.kube().ctl(&args)?;
            }
            Order::Power(node, order) => cluster.node(node).power(order)?,
        }
    }
    Ok(())
}

/// Makes them all, waits until each is told, mends them, and waits until nothing is told any more.
fn are_told(story: &Story, cluster: &Cluster, faults: &[Fault]) {
    let mut made = Vec::new();
    for fault in faults {
        story.step(fault.name, || give(cluster, fault.make));
        made.push(Instant::now());
    }
    story.step("status tells each", || {
        let mut told = vec![None; faults.len()];
        eventually("all are told", TOLD, || {
            let findings = findings(cluster)?;
            for (at, fault) in faults.iter().enumerate() {
                if told[at].is_none() {
                    told[at] = line_with(&findings, fault.words).map(|l| (made[at].elapsed(), l));
                }
            }
            ensure!(told.iter().all(Option::is_some), "{told:?}; {findings:?}");
            Ok(())
        })?;
        for (after, line) in told.into_iter().flatten() {
            story.note(&format!("after {:.1} s: {line}", after.as_secs_f64()));
        }
        Ok(())
    });
    story.step("mended, the cluster is whole", || {
        for fault in faults {
            give(cluster, fault.mend)?;
        }
        is_whole(cluster)
    });
}

fn line_with(findings: &[String], words: &[&str]) -> Option<String> {
    let mut lines = findings.iter();
    lines
        .find(|line| words.iter().all(|word| line.contains(word)))
        .cloned()
}

/// What is wrong and the next command of each finding. With findings the exit code is 1.
fn findings(cluster: &Cluster) -> Result<Vec<String>> {
    let done = cluster.ha_host(&["status", cluster.name(), "--json"], LOOK)?;
    let report: Value = serde_json::from_str(&done.stdout)?;
    let findings = report["findings"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines: Vec<String> = findings
        .map(|f| format!("{} -> {}", text(&f["what"]), text(&f["next"])))
        .collect();
    let expected = i32::from(!lines.is_empty());
    ensure!(done.code == Some(expected), "{:?} {lines:?}", done.code);
    Ok(lines)
}

fn is_whole(cluster: &Cluster) -> Result<()> {
    eventually("the cluster is whole", WHOLE, || {
        let findings = findings(cluster)?;
        ensure!(findings.is_empty(), "{findings:?}");
        Ok(())
    })
}

/// keepalived#2642: a firewall of the host drops what the holder advertises.
fn two_holders_are_told(story: &Story, cluster: &Cluster) {
    story.step("the holder's adverts are dropped: two hold the VIP", || {
        let holder = cluster.vip_holder()?;
        let node = cluster.node(&holder);
        node.sh("iptables -w -I OUTPUT -p 112 -j DROP")?;
        let told = is_told_after(cluster, Instant::now(), &["at once", "Cant send advert"]);
        node.sh("iptables -w -D OUTPUT -p 112 -j DROP")?;
        story.note(&told?);
        is_whole(cluster)
    });
}

/// keepalived#2220: it moves although nobody died.
fn a_wandering_vip_is_told(story: &Story, cluster: &Cluster) {
    story.step("the VIP moves again and again", || {
        for _ in 0..MOVES {
            let holder = cluster.vip_holder()?;
            cluster.node(&holder).sh("systemctl stop keepalived")?;
            eventually("a peer holds it", MOVED, || {
                ensure!(cluster.vip_holder()? != holder, "{holder} holds it");
                Ok(())
            })?;
            cluster.node(&holder).sh("systemctl start keepalived")?;
        }
        let words = ["times in ten minutes", "loadBalancer.advertInterval"];
        story.note(&is_told_after(cluster, Instant::now(), &words)?);
        Ok(())
    });
}

fn is_told_after(cluster: &Cluster, begun: Instant, words: &[&str]) -> Result<String> {
    eventually("it is told", TOLD, || {
        let findings = findings(cluster)?;
        let line = line_with(&findings, words);
        ensure!(line.is_some(), "{findings:?}");
        let after = begun.elapsed().as_secs_f64();
        Ok(format!("after {after:.1} s: {}", line.unwrap_or_default()))
    })
}
