//! What ends machines and clusters, made for real on a standing cluster: `ha-host doctor` names each fault with the command that
//! shows it and the remedy, and is content again once it is mended.
//!
//! Not made here: CRI-O's directories (the lab's runtime is containerd). They are a test of their evaluation.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::health::vip_moved_to;
use ha_tests::lab::Lab;
use ha_tests::plan::ClusterPlan;
use ha_tests::process::RunningProcess;
use ha_tests::services::restart_dns;
use ha_tests::story::Story;
use ha_wire::doctor::{Check, Verdict};
use serde::Deserialize;

mod faults;
mod kernels;
mod ways;

use faults::{FIRST, Fault, SECOND, THIRD};

/// One look at four nodes, on two busy cores.
const EXAMINED: Duration = Duration::from_secs(90);
/// A second holder of the VIP comes up, a mended node's agent looks again (twice a minute).
const SEEN: Duration = Duration::from_secs(120);

/// What `ha-host doctor --json` prints.
#[derive(Debug, Deserialize)]
struct DoctorReport {
    version: u32,
    well: bool,
    nodes: Vec<NodeReport>,
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
struct NodeReport {
    node: String,
    error: String,
    checks: Vec<Check>,
}

#[test]
#[ignore = "a cluster of its own: make test-faults"]
fn every_fault_is_named_with_its_command_and_its_remedy() {
    let story = Story::new("doctor");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-doctor", 3, 1))
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    let world = story.step("a name server for the world outside", || {
        outer_name_server(&cluster)
    });
    story.step("a good cluster is well, exit code 0", || {
        is_well(&cluster)?;
        wait_until("outer names are resolved", SEEN, || {
            let report = run_doctor(&cluster)?;
            ["outer names", "outer names in pods"]
                .iter()
                .try_for_each(|name| {
                    let named = ensure_named(&report, Some("node4"), name, &[]);
                    ensure!(named.is_err(), "{report:?}");
                    Ok(())
                })
        })
    });
    story.note(&format!(
        "{:?}",
        run_doctor(&cluster).map(|report| warning_lines(&report))
    ));
    faults_are_named(&story, &cluster, "first", &FIRST);
    faults_are_named(&story, &cluster, "second", &SECOND);
    faults_are_named(&story, &cluster, "third", &THIRD);
    a_silent_holder_is_named(&story, &cluster);
    a_silent_name_server_is_named(&story, &cluster, world);
    pods_without_a_place_are_named(&story, &cluster);
    a_node_that_is_off_is_named(&story, &cluster);
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn run_doctor(cluster: &Cluster) -> Result<DoctorReport> {
    examined_within(cluster, EXAMINED)
}

fn examined_within(cluster: &Cluster, within: Duration) -> Result<DoctorReport> {
    let done = cluster.ha_host(&["doctor", cluster.name(), "--json"], within)?;
    let report: DoctorReport = serde_json::from_str(&done.stdout)
        .with_context(|| format!("{}{}", done.stdout, done.stderr))?;
    let expected = if report.well { 0 } else { 1 };
    ensure!(
        report.version == 1 && done.code == Some(expected),
        "exit code {:?}",
        done.code
    );
    Ok(report)
}

fn is_well(cluster: &Cluster) -> Result<()> {
    wait_until("doctor finds nothing", SEEN, || {
        let report = run_doctor(cluster)?;
        let everything = report.nodes.iter().flat_map(|node| &node.checks);
        let everything = everything.chain(&report.checks);
        let bad = everything.filter(|c| matches!(c.verdict, Verdict::Fail | Verdict::Wait));
        let bad: Vec<&Check> = bad.collect();
        let silent: Vec<&str> = report.nodes.iter().map(|n| n.error.as_str()).collect();
        ensure!(report.well, "{bad:?} {silent:?}");
        Ok(())
    })
}

fn warning_lines(report: &DoctorReport) -> Vec<String> {
    let of_nodes = report.nodes.iter().flat_map(|node| &node.checks);
    let told = of_nodes
        .chain(&report.checks)
        .filter(|c| c.verdict == Verdict::Warn);
    told.map(|c| format!("{}: {}", c.name, c.reason)).collect()
}

/// The check of this name is not well, and says all of this.
fn ensure_named(report: &DoctorReport, at: Option<&str>, name: &str, words: &[&str]) -> Result<()> {
    let checks = match at {
        None => &report.checks,
        Some(at) => {
            let node = report.nodes.iter().find(|node| node.node == at);
            &node.context("no such node")?.checks
        }
    };
    let unwell: Vec<&Check> = checks
        .iter()
        .filter(|c| c.verdict != Verdict::Pass)
        .collect();
    let mut why = format!("{name} is not named at {at:?}: {unwell:?}");
    for check in unwell.iter().filter(|check| check.name == name) {
        let Check {
            reason,
            command,
            remedy,
            ..
        } = check;
        ensure!(!command.is_empty() && !remedy.is_empty(), "{check:?}");
        let all = format!("{reason} {command} {remedy}");
        ensure!(!all.contains("secret"), "a password is told: {all:?}");
        match words.iter().find(|word| !all.contains(**word)) {
            None => return Ok(()),
            Some(word) => why = format!("{word:?} is not in {all:?}"),
        }
    }
    bail!(why)
}

/// None of these is told any more: warnings too.
fn none_is_named(report: &DoctorReport, faults: &[Fault]) -> Result<()> {
    let told =
        |fault: &&Fault| ensure_named(report, fault.named_at, fault.check, fault.words).is_ok();
    match faults.iter().find(told) {
        None => Ok(()),
        Some(fault) => bail!("{} is still named", fault.check),
    }
}

fn faults_are_named(story: &Story, cluster: &Cluster, which: &str, faults: &[Fault]) {
    story.step(&format!("the {which} faults are made and named"), || {
        for fault in faults {
            cluster.node(fault.node).sh(fault.make)?;
        }
        wait_until("each is named", SEEN, || {
            let report = run_doctor(cluster)?;
            for fault in faults {
                ensure_named(&report, fault.named_at, fault.check, fault.words)?;
            }
            Ok(())
        })
    });
    story.step(
        &format!("the {which} faults are mended: all is well"),
        || {
            for fault in faults {
                cluster.node(fault.node).sh(fault.mend)?;
            }
            is_well(cluster)?;
            wait_until("none is named any more", SEEN, || {
                none_is_named(&run_doctor(cluster)?, faults)
            })
        },
    );
}

fn a_silent_holder_is_named(story: &Story, cluster: &Cluster) {
    story.step("the VIP's holder may send no VRRP: it is named, and mended", || {
        // Of the highest priority: another one gives way to the peer who cannot hear it.
        let holder = vip_moved_to(cluster, "node1")?;
        let node = cluster.node(&holder);
        node.sh(
            "nft add table inet e2e && nft 'add chain inet e2e out { type filter hook output priority 0; }' && \
             nft add rule inet e2e out ip protocol vrrp drop",
        )?;
        let named = wait_until("both ends are named", SEEN, || {
            let report = run_doctor(cluster)?;
            let rule = ["rules drop", "VRRP", "inet e2e out", "nft list ruleset"];
            ensure_named(&report, Some(&holder), "firewall rules", &rule)?;
            let words = ["advertises it too", "protocol 112", "tcpdump"];
            ensure_named(&report, Some(&holder), "VRRP", &words)
        });
        node.sh("nft delete table inet e2e")?;
        named?;
        is_well(cluster)
    });
}

/// The world outside of the cluster: it knows of every name that there is none. It ends with the answer's value.
fn outer_name_server(cluster: &Cluster) -> Result<RunningProcess> {
    let file = cluster.dir().join("Corefile");
    let zone = ".:53 {\n  bind 10.77.0.1\n  template ANY ANY {\n    rcode NXDOMAIN\n  }\n}\n";
    std::fs::write(&file, zone)?;
    let program = Lab::default().kubectl().with_file_name("coredns");
    let mut command = cluster.operator().command(program);
    command.arg("-conf").arg(file);
    RunningProcess::start(command)
}

fn a_silent_name_server_is_named(story: &Story, cluster: &Cluster, world: RunningProcess) {
    story.step(
        "the name server outside is gone: no node and no pod resolves outer names",
        || {
            drop(world);

            wait_until("it is named", SEEN, || {
                let report = run_doctor(cluster)?;
                for node in ["node1", "node4"] {
                    let words = [
                        "no name outside",
                        "10.77.0.1:53",
                        "nslookup -type=ns . 10.77.0.1",
                        "UDP port 53",
                    ];
                    ensure_named(&report, Some(node), "outer names", &words)?;
                    let words = [
                        "10.96.0.10:53",
                        "SERVFAIL",
                        "nslookup -type=ns . 10.96.0.10",
                        "configmap coredns",
                    ];
                    ensure_named(&report, Some(node), "outer names in pods", &words)?;
                }
                Ok(())
            })
        },
    );
}

fn pods_without_a_place_are_named(story: &Story, cluster: &Cluster) {
    let kube = cluster.kube();
    let all: Vec<String> = cluster.plan().nodes().into_iter().map(|n| n.0).collect();
    let on_all = |order: &str| {
        let nodes = all.iter().map(String::as_str);
        let args: Vec<&str> = [order].into_iter().chain(nodes).collect();
        kube.ctl(&args).map(drop)
    };
    let is_told = |words: &[&str]| {
        wait_until("it is told", SEEN, || {
            ensure_named(&run_doctor(cluster)?, None, "pending pod", words)
        })
    };
    story.step(
        "a pod that no node takes is told in the scheduler's words",
        || {
            let place =
                r#"--overrides={"spec":{"nodeSelector":{"kubernetes.io/hostname":"node1"}}}"#;
            kube.ctl(&["run", "e2e-unplaced", "--image=none", place])?;
            is_told(&["default/e2e-unplaced", "untolerated taint", "describe pod"])
        },
    );
    story.step("all of CoreDNS is pending: so is that", || {
        on_all("cordon")?;
        restart_dns(cluster)?;
        let words = ["kube-system/coredns-", "4 node(s) were unschedulable"];
        is_told(&[&words[..], &["describe pod coredns-"]].concat())
    });
    story.step("they have a place: all is well", || {
        on_all("uncordon")?;
        kube.ctl(&[
            "delete",
            "pod",
            "e2e-unplaced",
            "--grace-period=0",
            "--force",
        ])?;
        is_well(cluster)?;
        wait_until("no pod waits", SEEN, || {
            let named = ensure_named(&run_doctor(cluster)?, None, "pending pod", &[]);
            ensure!(named.is_err(), "a pod is still pending");
            Ok(())
        })
    });
}

fn a_node_that_is_off_is_named(story: &Story, cluster: &Cluster) {
    story.step(
        "a node that is off is not examined, and the others say so too",
        || {
            cluster.node("node4").power("off")?;
            let done = cluster.ha_host(&["doctor", cluster.name()], EXAMINED)?;
            let done = done.expect_exit_code(1)?;
            ensure!(
                done.stdout.contains("node4    not examined"),
                "{}",
                done.stdout
            );
            ensure!(done.stdout.contains("node1 to node4"), "{}", done.stdout);
            let bad = cluster.ha_host(&["doctor", cluster.name(), "node9"], EXAMINED)?;
            bad.expect_exit_code(2).map(drop)
        },
    );
}
