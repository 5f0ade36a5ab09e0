//! One cluster of three control planes and two workers, from launch to destroy, in the order in which an operator's life
//! with it goes: launch, look, use, launch again, kill daemons, lose the founder, make it anew, destroy.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::health::{a_dead_scheduler_is_named, status_is_whole};
use ha_tests::hung_apiserver::an_apiserver_hangs;
use ha_tests::inspection::nodes_are_inspected;
use ha_tests::kube::all_voters;
use ha_tests::plan::ClusterPlan;
use ha_tests::private_keys::FIRST_BOOT;
use ha_tests::probe::Probe;
use ha_tests::secrets::keeps_secrets;
use ha_tests::services::{dns_is_spread, kube_proxy_restarts};
use ha_tests::story::Story;
use ha_wire::node::NodeFile;
use ha_wire::paths;
use ha_wire::status::PhaseState;

/// A second launch of a finished cluster only looks.
const LOOK_ONLY: Duration = Duration::from_secs(15);
/// The guides' haproxy cuts every quiet connection after 35 s.
const QUIET: u64 = 40;
/// Longer than what is done while a connection is quiet.
const MEANWHILE: Duration = Duration::from_secs(600);
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
    status_is_whole(&story, &cluster);
    nodes_are_inspected(&story, &cluster);
    is_used(&story, &cluster);
    is_quiet_meanwhile(&story, &cluster, || {
        kube_proxy_restarts(&story, &cluster);
        keeps_secrets(&story, &cluster);
    });
    a_dead_scheduler_is_named(&story, &cluster);
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
    let stored = cluster.ignition_of("node1");
    let copy = cluster.dir().join(FIRST_BOOT);
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
            let answer = wait_until("ok", HEAL, || kube.in_pod(&pod, &script, HEAL))?;
            ensure!(answer.trim() == "ok", "it answers {answer:?}");
            Ok(())
        });
    }
}

/// The steps that do not touch this session take longer than it is quiet.
fn is_quiet_meanwhile(story: &Story, cluster: &Cluster, meanwhile: impl FnOnce()) {
    let kube = cluster.kube();
    let session = story.step("a session of kubectl exec over the VIP begins", || {
        let script = format!("/usr/local/bin/busybox sleep {QUIET}; echo still here");
        kube.start_in_pod("client0", &script)
    });
    meanwhile();
    let what = format!("the session answers after {QUIET} quiet seconds");
    story.step(&what, || {
        let done = session.wait(Duration::from_secs(QUIET) + MEANWHILE)?.ok()?;
        let answer = done.stdout.trim();
        ensure!(answer == "still here", "it answers {answer:?}");
        Ok(())
    });
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
    story.step("launch --json says so, an object a line", || {
        let objects = cluster.launch(&["--json"])?.ok()?.json_lines()?;
        let of_version_two = objects.iter().all(|o| o["version"] == 2);
        let (first, last) = (&objects[0], &objects[objects.len() - 1]);
        ensure!(
            of_version_two && first["type"] == "begin" && last["type"] == "already-ready",
            "{objects:?}"
        );
        ensure!(
            last["nodes"] == 5 && last["cluster"] == cluster.name(),
            "{last}"
        );
        Ok(())
    });
}

fn loses_daemons(story: &Story, cluster: &Cluster) {
    for unit in ["haproxy.service", "keepalived.service", "ha-agent.service"] {
        let what = format!("{unit} killed on the VIP's holder: the API comes back, the unit too");
        let seen = story.step(&what, || {
            let client = cluster.client()?;
            let holder = cluster.vip_holder()?;
            let probe = Probe::of_apiserver(&client, cluster.endpoint())?;
            std::thread::sleep(Duration::from_secs(2));
            let killed = cluster.node(&holder).kill(unit)?;
            std::thread::sleep(Duration::from_secs(8));
            let seen = probe.stop()?;
            client.ready(cluster.endpoint())?;
            wait_until("the unit's next life", HEAL, || {
                let node = cluster.node(&holder);
                let pid = node.main_pid(unit)?;
                ensure!(pid != killed, "process {pid} is its last life's");
                node.sh(&format!("systemctl is-active {unit}"))
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
            let probe = Probe::of_apiserver(&client, cluster.endpoint())?;
            std::thread::sleep(Duration::from_secs(2));
            cluster.node("node1").power("off")?;
            std::thread::sleep(Duration::from_secs(10));
            let seen = probe.stop()?;
            client.ready(cluster.endpoint())?;
            ensure!(
                cluster.kube().identity()? == identity,
                "another cluster answers"
            );
            cluster.vip_holder()?;
            Ok(seen)
        },
    );
    story.note(&seen.to_string());
    story.step(
        "its old Ignition still holds the permission to found",
        || {
            cluster.remake("node1", old_ignition)?;
            let text = wait_until("node1 boots", HEAL, || {
                cluster.node("node1").read(paths::NODE_FILE)
            })?;
            let node = NodeFile::parse(&text)?;
            ensure!(node.founder.is_some(), "no permission in {text}");
            Ok(())
        },
    );
    story.step(
        "made anew from it, it joins: three voters, every node Ready",
        || {
            wait_until("three voters", REMAKE, || {
                all_voters(cluster, "node2", &cluster.control_planes())
            })?;
            wait_until("every node is Ready", REMAKE, || cluster.kube().all_ready())?;
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
