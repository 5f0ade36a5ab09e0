//! Who runs keepalived and haproxy, side by side: the same fault on three control planes with units of the node, podman's quadlets and
//! the kubelet's static pods.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::health::nothing_is_wrong;
use ha_tests::lab::{Lab, SYSEXTS};
use ha_tests::plan::ClusterPlan;
use ha_tests::probe::while_its_holder_is_away;
use ha_tests::story::Story;

/// A look at the whole cluster.
const LOOK: Duration = Duration::from_secs(60);
/// A node is back, on two cores; the kubelet may wait for five minutes before it starts a pod again.
const BACK: Duration = Duration::from_secs(420);

#[test]
#[ignore = "a launch of its own: make test-options"]
fn units_of_the_node() {
    serve_through_faults("native", ClusterPlan::new("e2e-runner-native", 3, 0));
}

#[test]
#[ignore = "a launch of its own: make test-options"]
fn quadlet_runner() {
    let lab = Lab::default();
    let plan = in_containers("quadlet", "e2e-runner-quadlet").unwrap();
    let podman = lab.part("runners").join("podman.raw");
    serve_through_faults("quadlet", plan.with_extension("podman", podman));
}

#[test]
#[ignore = "a launch of its own: make test-options"]
fn static_pods() {
    let mut plan = in_containers("staticPod", "e2e-runner-pod").unwrap();
    plan.image = Some(Lab::default().part("runners-image"));
    serve_through_faults("staticPod", plan);
}

/// Three control planes without the sysexts of keepalived and haproxy.
fn in_containers(mode: &str, name: &str) -> Result<ClusterPlan> {
    let names = Lab::default().part("runners").join("names");
    let image = |program: &str| {
        Ok::<_, anyhow::Error>(fs::read_to_string(names.join(program))?.trim().to_owned())
    };
    let mut plan = ClusterPlan::new(name, 3, 0);
    plan.sysexts = SYSEXTS
        .into_iter()
        .filter(|name| !["keepalived", "haproxy"].contains(name))
        .collect();
    plan.more = format!(
        "loadBalancer: {{mode: {mode}, images: {{keepalived: \"{}\", haproxy: \"{}\"}}}}\n",
        image("keepalived")?,
        image("haproxy")?
    );
    Ok(plan)
}

fn serve_through_faults(mode: &str, plan: ClusterPlan) {
    let story = Story::new(mode);
    let cluster = story.step("the lab is there", || Cluster::new(plan));
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    nothing_is_wrong(&story, &cluster, LOOK);
    haproxy_dies(&story, &cluster);
    power_goes(&story, &cluster);
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// Whoever runs it starts it again, and the node may hold the VIP once more.
fn haproxy_dies(story: &Story, cluster: &Cluster) {
    let holder = story.step("one node holds the VIP", || cluster.vip_holder());
    story.step(
        &format!("{holder} loses its haproxy: another one takes the VIP"),
        || {
            cluster.node(&holder).sh("kill -9 $(pgrep -o -x haproxy)")?;
            wait_until("another holder", LOOK, || cluster.vip_left(&holder))
        },
    );
    story.step("haproxy is back, and its node fit for the VIP", || {
        wait_until("the agent's word", BACK, || {
            let word = cluster.node(&holder).read("/run/ha-agent/vip-health")?;
            ensure!(word.trim() == "0", "{word}");
            Ok(())
        })
    });
}

fn power_goes(story: &Story, cluster: &Cluster) {
    while_its_holder_is_away(story, cluster, BACK);
    story.step("one node holds the VIP", || cluster.vip_holder());
}
