//! The real Cilium (`make lab-cilium`): its agent, its operator, its chart by the real Helm, through `cni: cilium`. The stand-in's
//! tests are in cilium.rs; here pods, services and DNS are asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::cilium::{daemon_set, daemon_set_identity, releases_are};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::hung_haproxy::haproxy_hangs;
use ha_tests::kube::all_voters;
use ha_tests::lab::Lab;
use ha_tests::plan::ClusterPlan;
use ha_tests::pod_network::{self, dual_stack};
use ha_tests::probe::while_its_holder_is_away;
use ha_tests::process::{FinishedProcess, run_to_end};
use ha_tests::services;
use ha_tests::story::Story;
use ha_wire::event::EventKind;

/// Its agents compile their programs with clang, on two cores for all nodes.
const BACK: Duration = Duration::from_secs(300);
/// What Cilium's agent says of itself.
const ANSWER: Duration = Duration::from_secs(60);
/// A host without CAP_SYS_RESOURCE has none to give: the chart's lists without it.
const CAPABILITIES: &str = "securityContext: {capabilities: {\
    ciliumAgent: [CHOWN, KILL, NET_ADMIN, NET_RAW, IPC_LOCK, SYS_MODULE, SYS_ADMIN, DAC_OVERRIDE, FOWNER, SETGID, SETUID, SYSLOG], \
    cleanCiliumState: [NET_ADMIN, SYS_MODULE, SYS_ADMIN]}}";
/// Kills the agent as soon as Helm has begun: its first act is the release's Secret, in state pending-install. Prints that state.
const KILL_IN_PENDING_INSTALL: &str = "export KUBECONFIG=/etc/kubernetes/admin.conf; \
    until kubectl get --raw /readyz >/dev/null 2>&1; do sleep 0.5; done; \
    kubectl get secrets -n kube-system -l owner=helm --watch --no-headers -o custom-columns=S:.metadata.labels.status | \
    { read -r state; systemctl kill --kill-whom=all --signal=KILL ha-agent.service; echo $state; }";

#[test]
fn a_small_cluster_serves_with_the_real_cilium() {
    let story = Story::new("real Cilium, 1+1");
    let cluster = story.step("the lab is there", || {
        Cluster::new(cilium_plan("e2e-cil-small", 1, 1)?)
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    pod_network::a_server_on_every_node(&story, &cluster);
    replaces_kube_proxy(&story, &cluster);
    pod_network::serves_everywhere(&story, &cluster, "after the launch");
    story.step("destroy leaves nothing", || cluster.destroy());
}

#[test]
#[ignore = "minutes: make test-cilium"]
fn a_small_cluster_of_ipv6_serves_with_the_real_cilium() {
    let story = Story::new("real Cilium, 1+1, IPv6");
    let cluster = story.step("the lab is there", || {
        Cluster::new(cilium_plan("e2e-cil-ipv6", 1, 1)?.of_ipv6())
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    pod_network::a_server_on_every_node(&story, &cluster);
    replaces_kube_proxy(&story, &cluster);
    pod_network::serves_everywhere(&story, &cluster, "after the launch");
    story.step("destroy leaves nothing", || cluster.destroy());
}

#[test]
#[ignore = "minutes: make test-cilium"]
fn a_small_cluster_of_both_families_serves_with_the_real_cilium() {
    let story = Story::new("real Cilium, 1+1, dual-stack");
    let cluster = story.step("the lab is there", || {
        Cluster::new(cilium_plan("e2e-cil-dual", 1, 1)?.of_both_families())
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    pod_network::a_server_on_every_node(&story, &cluster);
    replaces_kube_proxy(&story, &cluster);
    dual_stack::both_families_serve(&story, &cluster);
    pod_network::serves_everywhere(&story, &cluster, "after the launch");
    story.step("destroy leaves nothing", || cluster.destroy());
}

#[test]
#[ignore = "minutes: make test-cilium"]
fn a_cluster_lives_with_the_real_cilium() {
    let story = Story::new("real Cilium, 3+2");
    let cluster = story.step("the lab is there", || {
        Cluster::new(cilium_plan("e2e-cil", 3, 2)?)
    });
    is_killed_in_pending_install(&story, &cluster);
    pod_network::a_server_on_every_node(&story, &cluster);
    replaces_kube_proxy(&story, &cluster);
    services::dns_is_spread(&story, &cluster);
    pod_network::serves_everywhere(&story, &cluster, "after the launch");
    haproxy_hangs(&story, &cluster);
    loses_the_holder(&story, &cluster);
    pod_network::serves_everywhere(&story, &cluster, "with the holder back");
    has_a_worker_made_anew(&story, &cluster);
    pod_network::serves_everywhere(&story, &cluster, "with a worker made anew");
    a_second_launch_changes_nothing(&story, &cluster);
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn cilium_plan(name: &str, control_planes: u8, workers: u8) -> Result<ClusterPlan> {
    let lab = Lab::default();
    let made = lab.part("cilium-real");
    let version = std::fs::read_to_string(made.join("version"))
        .context("no real Cilium in the lab: run `make lab-cilium` first")?;
    let version = version.trim();
    let mut plan = ClusterPlan::new(name, control_planes, workers)
        .with_extension("cilium", made.join("cilium.raw"));
    plan.image = Some(lab.part("cilium-real-image"));
    plan.network = Some(format!(
        "proxy: none, cni: {{cilium: {{version: {version}, values: {{{CAPABILITIES}}}}}}}"
    ));
    Ok(plan)
}

fn is_killed_in_pending_install(story: &Story, cluster: &Cluster) {
    let state = story.step("launch, its installer killed in pending-install", || {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let killing = scope.spawn(|| kill_in_pending_install(cluster, &stop));
            let launched = cluster.launch(&[]).and_then(FinishedProcess::ok);
            stop.store(true, Ordering::Relaxed);
            let killed = killing.join();
            launched?;
            killed.map_err(|_| anyhow::anyhow!("the killer panicked"))?
        })
    });
    story.note(&format!("the release was {state}"));
    story.step("another life of the agent installed it", || {
        ensure!(
            state.contains("pending-install"),
            "killed too late: {state}"
        );
        let events = cluster.node("node1").events()?;
        let lives = events
            .iter()
            .filter(|e| matches!(e.what, EventKind::Hello { .. }))
            .count();
        ensure!(lives == 2, "{lives} lives");
        releases_are(cluster, &[("1", "deployed")])
    });
}

fn kill_in_pending_install(cluster: &Cluster, stop: &AtomicBool) -> Result<String> {
    let node = cluster.node("node1");
    while !stop.load(Ordering::Relaxed) {
        if node.sh("test -s /etc/kubernetes/admin.conf").is_ok() {
            let done = node
                .run(&["sh", "-c", KILL_IN_PENDING_INSTALL], BACK)?
                .ok()?;
            return Ok(done.stdout.trim().to_owned());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    anyhow::bail!("the launch ended before there was an admin.conf")
}

fn replaces_kube_proxy(story: &Story, cluster: &Cluster) {
    story.step(
        "no kube-proxy runs; Cilium says that it replaces it",
        || {
            let sets =
                cluster
                    .kube()
                    .ctl(&["get", "daemonsets", "-n", "kube-system", "-o", "name"])?;
            ensure!(sets.trim() == "daemonset.apps/cilium", "there are {sets}");
            let status = in_agent(cluster, &["cilium-dbg", "status"])?;
            let line = status
                .lines()
                .find(|line| line.starts_with("KubeProxyReplacement:"));
            ensure!(
                line.is_some_and(|line| line.contains("True")),
                "its agent says {status}"
            );
            Ok(())
        },
    );
}

fn in_agent(cluster: &Cluster, command: &[&str]) -> Result<String> {
    let exec = [
        "exec",
        "-n",
        "kube-system",
        "daemonset/cilium",
        "-c",
        "cilium-agent",
        "--",
    ];
    let command = cluster.kube().command(&[&exec[..], command].concat());
    Ok(run_to_end(command, ANSWER)?.ok()?.stdout)
}

fn loses_the_holder(story: &Story, cluster: &Cluster) {
    let holder = while_its_holder_is_away(story, cluster, BACK);
    story.step("its member votes, and its pods are back", || {
        let planes = cluster.control_planes();
        wait_until("its member votes", BACK, || {
            all_voters(cluster, &holder, &planes)
        })?;
        agents_are_ready(cluster)
    });
}

fn has_a_worker_made_anew(story: &Story, cluster: &Cluster) {
    story.step("a worker made anew is Ready", || {
        let before = cluster.kube().nodes()?;
        let worker = cluster.workers().remove(0);
        let ignition = cluster.ignition_of(&worker);
        cluster.remake(&worker, &ignition)?;
        wait_until("Ready on the new machine", BACK, || {
            cluster.kube().all_ready()?;
            let now = cluster.kube().nodes()?;
            ensure!(
                now[&worker].machine != before[&worker].machine,
                "it is the old one"
            );
            Ok(())
        })?;
        agents_are_ready(cluster)
    });
}

fn agents_are_ready(cluster: &Cluster) -> Result<()> {
    let nodes = cluster.plan().nodes().len();
    wait_until("an agent of Cilium's on every node", BACK, || {
        let pods = cluster.kube().system_pods("k8s-app=cilium")?;
        ensure!(
            pods.len() == nodes && pods.iter().all(|p| p.ready),
            "{pods:?}"
        );
        Ok(())
    })
}

fn a_second_launch_changes_nothing(story: &Story, cluster: &Cluster) {
    story.step("a second launch changes nothing", || {
        let before = daemon_set_identity(&daemon_set(cluster)?)?;
        cluster.launch(&[])?.ok()?;
        releases_are(cluster, &[("1", "deployed")])?;
        let after = daemon_set_identity(&daemon_set(cluster)?)?;
        ensure!(
            before == after,
            "its DaemonSet was {before:?}, is {after:?}"
        );
        Ok(())
    });
}
