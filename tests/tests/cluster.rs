//! One cluster of three control planes and two workers, from launch to destroy, in the order in which an operator's life
//! with it goes: launch, look, use, launch again, kill daemons, lose the founder, make it anew, destroy.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::eventually;
use ha_tests::hung_apiserver::an_apiserver_hangs;
use ha_tests::kube::all_voters;
use ha_tests::plan::ClusterPlan;
use ha_tests::probe::Probe;
use ha_tests::services::{dns_is_spread, kube_proxy_restarts};
use ha_tests::story::Story;
use ha_wire::paths;
use ha_wire::status::PhaseState;

/// A second launch of a finished cluster only looks.
const LOOK_ONLY: Duration = Duration::from_secs(15);
/// The guides' haproxy cuts every quiet connection after 35 s.
const QUIET: u64 = 40;
/// From a killed daemon to its next life and a settled VIP.
const HEAL: Duration = Duration::from_secs(60);
/// A wiped control plane's way back, on two cores.
const REMAKE: Duration = Duration::from_secs(300);

#[test]
fn three_control_planes_and_two_workers() {
    let story = Story::new("cluster");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-cluster", 3, 2))
    });
    let old_ignition = launch_keeping_first_ignition(&story, &cluster);
    dns_is_spread(&story, &cluster);
    looks_right(&story, &cluster);
    is_used(&story, &cluster);
    kube_proxy_restarts(&story, &cluster);
    keeps_secrets(&story, &cluster);
    again_changes_nothing(&story, &cluster);
    an_apiserver_hangs(&story, &cluster, "node1");
    loses_daemons(&story, &cluster);
    loses_its_founder(&story, &cluster, &old_ignition);
    story.step("destroy leaves nothing", || cluster.destroy());
    story.step("destroy again says that there is none", || {
        cluster
            .ha_host(&["destroy", cluster.name(), "--yes"], HEAL)?
            .expect_exit_code(2)
    });
}

/// Launches, and takes a copy of the first node's Ignition while it still holds the permission to found.
fn launch_keeping_first_ignition(story: &Story, cluster: &Cluster) -> PathBuf {
    let stored = cluster
        .operator()
        .state_of(cluster.name())
        .join("nodes/node1.ign");
    let copy = cluster.dir().join("node1-first-boot.ign");
    let done = story.step("launch ends with exit code 0", || {
        let mut launch = cluster.start_launch(&[])?;
        while !launch.has_ended()? && !copy.exists() {
            copy_if_there(&stored, &copy)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        cluster.end_launch(launch)?.ok()
    });
    story.note(&format!("launch took {:.1} s", done.took.as_secs_f64()));
    story.step("launch says what it made and what to do next", || {
        for words in [
            "5 of 5 nodes",
            "3 of 3 etcd members",
            "VIP on node",
            "kubectl --kubeconfig",
            "ha-host destroy",
        ] {
            ensure!(
                done.stdout.contains(words),
                "{words:?} is not in:\n{}",
                done.stdout
            );
        }
        Ok(())
    });
    copy
}

/// Whole or not at all: `ha-host` renames finished files into place.
fn copy_if_there(stored: &Path, copy: &Path) -> Result<()> {
    if stored.exists() {
        fs::copy(stored, copy).with_context(|| format!("copy {}", stored.display()))?;
    }
    Ok(())
}

fn looks_right(story: &Story, cluster: &Cluster) {
    story.step("the API says that every node is Ready", || {
        cluster.kube().all_ready()
    });
    story.step("etcd has three started voters", || {
        all_voters(cluster, "node1", &cluster.control_planes())
    });
    story.step("every apiserver answers, and the VIP", || {
        let client = cluster.client()?;
        cluster
            .apiservers()
            .into_iter()
            .chain([cluster.endpoint()])
            .try_for_each(|server| client.ready(server))
    });
    let holder = story.step("one node holds the VIP", || cluster.vip_holder());
    story.step("ha-agent status is steady on every node", || {
        for (name, role, _) in cluster.plan().nodes() {
            let (status, code) = cluster.node(&name).status()?;
            let right =
                code == Some(0) && status.role == role && status.state == PhaseState::Steady;
            ensure!(
                right && status.vip.here == (name == holder),
                "{name}: exit code {code:?}, {status:?}"
            );
        }
        Ok(())
    });
    story.step("ha-host status, for people and for machines", || {
        let text = cluster
            .ha_host(&["status", cluster.name()], LOOK_ONLY)?
            .ok()?
            .stdout;
        let json = cluster
            .ha_host(&["status", cluster.name(), "--json"], LOOK_ONLY)?
            .ok()?
            .stdout;
        let lines: Result<Vec<serde_json::Value>, _> = serde_json::Deserializer::from_str(&json)
            .into_iter()
            .collect();
        ensure!(
            !lines.context("status --json is not JSON")?.is_empty(),
            "status --json is empty"
        );
        for (name, _, _) in cluster.plan().nodes() {
            ensure!(
                text.contains(&name) && json.contains(&name),
                "{name} is missing:\n{text}\n{json}"
            );
        }
        Ok(())
    });
    story.step("ha-host kubeconfig prints what is stored", || {
        let printed = cluster
            .ha_host(&["kubeconfig", cluster.name()], LOOK_ONLY)?
            .ok()?
            .stdout;
        ensure!(
            printed == fs::read_to_string(cluster.kubeconfig())?,
            "it prints something else:\n{printed}"
        );
        Ok(())
    });
    story.step("ha-host logs shows the agent's story", || {
        let text = cluster
            .ha_host(&["logs", cluster.name(), "node2"], LOOK_ONLY)?
            .ok()?
            .stdout;
        ensure!(text.contains("join"), "no word of joining:\n{text}");
        Ok(())
    });
}

fn is_used(story: &Story, cluster: &Cluster) {
    let kube = cluster.kube();
    for (i, worker) in cluster.workers().iter().enumerate() {
        let pod = format!("client{i}");
        story.step(&format!("a pod on {worker} reaches kubernetes.default by name"), || {
            kube.idle_pod(&pod, worker)?;
            let ask = "kubectl --server=https://kubernetes.default --certificate-authority=$d/ca.crt --token=$(cat $d/token) get --raw /readyz";
            let script = format!("d=/var/run/secrets/kubernetes.io/serviceaccount; {}", ask.replace("cat ", "/usr/local/bin/busybox cat "));
            let answer = eventually("ok", HEAL, || kube.in_pod(&pod, &script, HEAL))?;
            ensure!(answer.trim() == "ok", "it answers {answer:?}");
            Ok(())
        });
    }
    story.step(
        &format!("kubectl exec over the VIP answers after {QUIET} quiet seconds"),
        || {
            let script = format!("/usr/local/bin/busybox sleep {QUIET}; echo still here");
            let answer = kube.in_pod("client0", &script, Duration::from_secs(QUIET) + HEAL)?;
            ensure!(answer.trim() == "still here", "it answers {answer:?}");
            Ok(())
        },
    );
}

/// A private key in a text file, wherever it may lie; binaries are the operating system's own.
const FIND_KEYS: &str = "grep -rlsI --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr --exclude-dir=dev \
                         -e '-----BEGIN [A-Z ]*PRIVATE KEY-----' -e client-key-data / || true";
/// Files that only root may read, where others may, too.
const OPEN_SECRETS: &str =
    "-type f \\( -name '*.key' -o -name '*.conf' -o -name node.json \\) -perm /077";

fn keeps_secrets(story: &Story, cluster: &Cluster) {
    story.step(
        "a worker's disk holds no private key but the kubelet's own",
        || {
            for worker in cluster.workers() {
                let found = cluster.node(&worker).sh(FIND_KEYS)?;
                let foreign: Vec<&str> = found
                    .lines()
                    .filter(|p| !p.starts_with("/var/lib/kubelet/pki/"))
                    .collect();
                ensure!(foreign.is_empty(), "{worker} holds {foreign:?}");
            }
            Ok(())
        },
    );
    story.step("no journal tells a private key", || {
        for (name, _, _) in cluster.plan().nodes() {
            let count = cluster
                .node(&name)
                .sh("journalctl --no-pager -o cat | grep -c 'PRIVATE KEY-----' || true")?;
            ensure!(count.trim() == "0", "{name}: {count} lines");
        }
        Ok(())
    });
    story.step(
        "secrets are for root alone; the first identity and the Ignition copies are gone",
        || {
            for (name, _, _) in cluster.plan().nodes() {
                let node = cluster.node(&name);
                let open = node.sh(&format!(
                    "find {} /etc/kubernetes {OPEN_SECRETS}",
                    paths::NODE_FILE
                ))?;
                ensure!(open.trim().is_empty(), "{name}: others may read {open}");
                let wiped = [
                    paths::IDENTITY_KEY,
                    paths::DISCOVERY,
                    "/run/ignition.json",
                    "/usr/share/oem/config.ign",
                ];
                let left = node.sh(&format!("ls -d {} 2>/dev/null || true", wiped.join(" ")))?;
                ensure!(left.trim().is_empty(), "{name} still has {left}");
            }
            Ok(())
        },
    );
    story.step(
        "the stored Ignition of the first node no longer may found",
        || {
            let state = cluster.operator().state_of(cluster.name());
            let text = fs::read_to_string(state.join("nodes/node1.ign"))?;
            let first = fs::read_to_string(cluster.dir().join("node1-first-boot.ign"))?;
            ensure!(text != first, "it is the one from before the first boot");
            Ok(())
        },
    );
}

fn again_changes_nothing(story: &Story, cluster: &Cluster) {
    let look = || -> Result<_> {
        let boots: Result<Vec<String>> = cluster
            .plan()
            .nodes()
            .iter()
            .map(|n| cluster.node(&n.0).boot())
            .collect();
        Ok((boots?, cluster.kube().nodes()?))
    };
    let before = story.step("a look at machines and Node objects", look);
    let done = story.step("launch again ends with exit code 0", || {
        cluster.launch(&[])?.ok()
    });
    story.step("it said that there was nothing to do, at once", || {
        ensure!(done.took < LOOK_ONLY, "it took {:?}", done.took);
        ensure!(
            done.stdout.contains("nothing"),
            "no word of it:\n{}",
            done.stdout
        );
        Ok(())
    });
    story.step("same machines, same Node objects", || {
        let after = look()?;
        ensure!(before == after, "before: {before:?}\nafter: {after:?}");
        Ok(())
    });
    story.step("launch --json prints a JSON object a line", || {
        let done = cluster.launch(&["--json"])?.ok()?;
        for line in done.stdout.lines() {
            serde_json::from_str::<serde_json::Value>(line).with_context(|| format!("{line:?}"))?;
        }
        Ok(())
    });
}

fn loses_daemons(story: &Story, cluster: &Cluster) {
    for unit in ["haproxy.service", "keepalived.service", "ha-agent.service"] {
        let what = format!("{unit} killed on the VIP's holder: the API comes back, the unit too");
        let seen = story.step(&what, || {
            let client = cluster.client()?;
            let holder = cluster.vip_holder()?;
            let probe = Probe::of_apiserver(&client, cluster.endpoint());
            std::thread::sleep(Duration::from_secs(2));
            cluster.node(&holder).kill(unit, false)?;
            std::thread::sleep(Duration::from_secs(8));
            let seen = probe.stop()?;
            client.ready(cluster.endpoint())?;
            eventually("the unit is active", HEAL, || {
                cluster
                    .node(&holder)
                    .sh(&format!("systemctl is-active {unit}"))
            })?;
            cluster.vip_holder()?;
            Ok(seen)
        });
        story.note(&seen.to_string());
    }
    story.step("every agent is steady again", || cluster.all_steady(HEAL));
}

fn loses_its_founder(story: &Story, cluster: &Cluster, old_ignition: &Path) {
    let identity = story.step("the cluster's identity", || cluster.kube().identity());
    let seen = story.step(
        "the founder loses power: the API answers through the VIP",
        || {
            let client = cluster.client()?;
            let probe = Probe::of_apiserver(&client, cluster.endpoint());
            std::thread::sleep(Duration::from_secs(2));
            cluster.node("node1").power("off")?;
            std::thread::sleep(Duration::from_secs(10));
            let seen = probe.stop()?;
            client.ready(cluster.endpoint())?;
            ensure!(
                cluster.kube().identity()? == identity,
                "another cluster answers"
            );
            ensure!(
                cluster.vip_holder()? != "node1",
                "a dead node holds the VIP"
            );
            Ok(seen)
        },
    );
    story.note(&seen.to_string());
    story.step(
        "its old Ignition still holds the permission to found",
        || {
            let begun = Instant::now();
            let file = old_ignition.display().to_string();
            cluster
                .ha_host(
                    &["remake", cluster.name(), "node1", "--ignition", &file],
                    HEAL,
                )?
                .ok()?;
            let text = eventually("node1 boots", HEAL, || {
                cluster.node("node1").read(paths::NODE_FILE)
            })?;
            ensure!(
                text.contains("\"founder\""),
                "no permission in {text} after {:?}",
                begun.elapsed()
            );
            Ok(())
        },
    );
    story.step(
        "made anew from it, it joins: three voters, every node Ready",
        || {
            eventually("three voters", REMAKE, || {
                all_voters(cluster, "node2", &cluster.control_planes())
            })?;
            eventually("every node is Ready", REMAKE, || cluster.kube().all_ready())?;
            cluster.all_steady(REMAKE)
        },
    );
    story.step("it is one cluster, the same one", || {
        ensure!(
            cluster.kube().identity()? == identity,
            "another cluster answers on the VIP"
        );
        let client = cluster.client()?;
        cluster
            .apiservers()
            .into_iter()
            .try_for_each(|server| client.ready(server))?;
        let own = cluster.node("node1").identity_at(cluster.apiservers()[0])?;
        ensure!(
            own == identity,
            "node1's own apiserver shows another cluster"
        );
        cluster.vip_holder().map(drop)
    });
    story.step("a launch after that finds everything well", || {
        cluster.launch(&[])?.ok()
    });
}
