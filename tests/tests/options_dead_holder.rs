//! The VIP's holder loses power: whoever watched the API through it hears so from nobody, and sees it soon all the same.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;

const NAME: &str = "e2e-dead-holder";
const WORKER: &str = "node4";
/// Five seconds of silence and five for an answer, and as much again for a busy machine; Kubernetes' own is 45 s.
const SEEN: Duration = Duration::from_secs(20);
/// While everybody is connected.
const LOOK: Duration = Duration::from_secs(60);

#[test]
#[ignore = "a launch of its own (a minute): make test-options"]
fn a_service_made_after_the_holder_died_is_soon_on_a_worker() {
    let story = Story::new("options_dead_holder");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new(NAME, 3, 1))
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step("kube-proxy and kubelet ping their connection", || {
        ensure_pings(&cluster)
    });
    story.step("a service is in a worker's rules", || {
        let address = expose_dns(&cluster, "before")?;
        wait_until("its rules", LOOK, || in_rules(&cluster, &address))
    });
    let holder = story.step("one node holds the VIP", || cluster.vip_holder());
    story.step(&format!("{holder} loses power"), || {
        cluster.node(&holder).power("off")
    });
    let begun = Instant::now();
    story.step("a service made now is soon in the worker's rules", || {
        thread::sleep(Duration::from_millis(500));
        let address = expose_dns(&cluster, "after")?;
        wait_until("its rules", SEEN, || in_rules(&cluster, &address))
    });
    story.note(&format!(
        "{:.1} s after the power went",
        begun.elapsed().as_secs_f64()
    ));
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn ensure_pings(cluster: &Cluster) -> Result<()> {
    const NAME: &str = "HTTP2_READ_IDLE_TIMEOUT_SECONDS";
    let set = cluster
        .kube()
        .get(&["-n", "kube-system", "daemonset", "kube-proxy"])?;
    let env = &set["spec"]["template"]["spec"]["containers"][0]["env"];
    let env = env.as_array().context("no environment")?;
    ensure!(env.iter().any(|var| var["name"] == NAME), "{env:?}");
    let unit = cluster
        .node(WORKER)
        .sh("systemctl show -P Environment kubelet")?;
    ensure!(unit.contains(NAME), "{unit}");
    Ok(())
}

/// One more service of the pods of the cluster's DNS; its address.
fn expose_dns(cluster: &Cluster, name: &str) -> Result<String> {
    let kube = cluster.kube();
    kube.ctl(&[
        "-n",
        "kube-system",
        "expose",
        "deployment",
        "coredns",
        "--name",
        name,
        "--port",
        "53",
    ])?;
    let service = kube.get(&["-n", "kube-system", "service", name])?;
    let address = service["spec"]["clusterIP"].as_str();
    address.map(str::to_owned).context("no address")
}

fn in_rules(cluster: &Cluster, address: &str) -> Result<()> {
    let rules = cluster.node(WORKER).sh("nft list table ip kube-proxy")?;
    ensure!(rules.contains(&format!("{address} ")), "no {address} yet");
    Ok(())
}
