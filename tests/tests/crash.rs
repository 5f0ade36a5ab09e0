//! Agents killed at and between all their phases, nodes that lose power at work, an operator who gives up and comes back:
//! every time one cluster comes of it, with exactly its members.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use ha_tests::chaos::{self, FaultInjection};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::kube::{all_voters, every_apiserver_shows};
use ha_tests::lab::workspace_root;
use ha_tests::plan::ClusterPlan;
use ha_tests::scenario;
use ha_tests::story::Story;
use ha_wire::phase::Phase;

/// From a launch's end to all agents steady: the last failpoints lie behind the node's being Ready.
const SETTLE: Duration = Duration::from_secs(120);
/// What a life without the agent's help may bring about: a node becomes Ready all by itself.
const MAY_BE_SKIPPED: [&str; 2] = ["network:done", "gate:done"];
/// From power-on to every agent's first word; then the operator loses patience: nothing has joined yet.
const BOOT: Duration = Duration::from_secs(60);

#[test]
fn killed_at_every_boundary_of_every_role() {
    let story = Story::new("crash at boundaries");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("e2e-bounds", 3, 1);
        let dir = workspace_root().join("target/e2e");
        plan.merge
            .push(chaos::crash_list().write(&dir, &plan.name)?);
        Cluster::new(plan)
    });
    story.step("launch ends with exit code 0 nevertheless", || {
        cluster.launch(&[])?.ok()
    });
    story.step("every agent is steady", || cluster.all_steady(SETTLE));
    for (i, (name, role, _)) in cluster.plan().nodes().into_iter().enumerate() {
        let skipped = story.step(&format!("{name}'s agent died at every boundary"), || {
            let node = cluster.node(&name);
            let (met, skipped) =
                chaos::met_and_skipped(node, chaos::failpoints_met_by(role, i == 0))?;
            let restarts: usize = node
                .sh("systemctl show --property=NRestarts --value ha-agent")?
                .trim()
                .parse()?;
            ensure!(
                restarts >= met.len(),
                "{restarts} restarts, died at {met:?}"
            );
            let must = |w: &&String| !MAY_BE_SKIPPED.contains(&w.as_str());
            ensure!(
                !skipped.iter().any(|w| must(&w)),
                "never passed: {skipped:?}; died at {met:?}"
            );
            Ok(skipped)
        });
        if !skipped.is_empty() {
            story.note(&format!(
                "found nothing to do after the death before: {}",
                skipped.join(", ")
            ));
        }
    }
    one_whole_cluster(&story, &cluster);
}

#[test]
fn killed_in_the_middle_of_phases() {
    let story = Story::new("crash in the middle");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-middle", 3, 1))
    });
    story.step("an operator who gives up gets exit code 130", || {
        let launch = cluster.start_launch(&[])?;
        wait_until("every agent said hello", BOOT, || {
            scenario::every_agent_was_heard(&cluster)
        })?;
        cluster.interrupt(&launch)?;
        cluster.end_launch(launch)?.expect_exit_code(130)
    });
    let ms = Duration::from_millis;
    launch_with_faults(
        &story,
        &cluster,
        &[
            FaultInjection::kill_agent("node1", Phase::Init, ms(3000)),
            FaultInjection::kill_agent("node1", Phase::Network, ms(500)),
            FaultInjection::kill_agent("node2", Phase::Gate, ms(500)),
            FaultInjection::kill_agent("node2", Phase::Join, ms(3000)),
            FaultInjection::kill_agent("node3", Phase::Join, ms(6000)),
            FaultInjection::kill_agent("node4", Phase::Join, ms(700)),
        ],
    );
    one_whole_cluster(&story, &cluster);
}

#[test]
fn nodes_lose_power_at_work() {
    let story = Story::new("power cuts");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-power", 3, 1))
    });
    let ms = Duration::from_millis;
    launch_with_faults(
        &story,
        &cluster,
        &[
            FaultInjection::cut_power("node1", Phase::Init, ms(5000)),
            FaultInjection::cut_power("node2", Phase::Join, ms(4000)),
            FaultInjection::cut_power("node4", Phase::Gate, ms(1000)),
        ],
    );
    one_whole_cluster(&story, &cluster);
}

fn launch_with_faults(story: &Story, cluster: &Cluster, injections: &[FaultInjection]) {
    story.step("launch ends with exit code 0 nevertheless", || {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let injecting = scope.spawn(|| chaos::inject_faults(cluster, injections, &stop));
            let launched = cluster
                .launch(&[])
                .and_then(ha_tests::process::FinishedProcess::ok);
            stop.store(true, Ordering::Relaxed);
            let injected = injecting
                .join()
                .map_err(|_| anyhow::anyhow!("injecting faults panicked"))?;
            launched.and(injected)
        })
    });
}

fn one_whole_cluster(story: &Story, cluster: &Cluster) {
    story.step("every node is Ready", || {
        wait_until("Ready", SETTLE, || cluster.kube().all_ready())
    });
    story.step("etcd has exactly three started voters", || {
        all_voters(cluster, "node2", &cluster.control_planes())
    });
    story.step("every apiserver shows the same cluster", || {
        every_apiserver_shows(cluster, "node1", &cluster.kube().identity()?)
    });
    story.step("every agent is steady", || cluster.all_steady(SETTLE));
    story.step("destroy leaves nothing", || cluster.destroy());
}
