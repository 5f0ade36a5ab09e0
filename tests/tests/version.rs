//! A cluster of the minor that the lab has (`make test-versions`: of each that is supported): its programs are what they should
//! be, everything is whole, services serve, and the founder's power is no loss.

use std::time::Duration;

use anyhow::ensure;
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::kube::all_voters;
use ha_tests::lab::Lab;
use ha_tests::plan::ClusterPlan;
use ha_tests::probe::while_power_goes;
use ha_tests::services;
use ha_tests::story::Story;

/// A node is back, on two cores.
const BACK: Duration = Duration::from_secs(180);
/// `ha-host status` after a good launch.
const LOOK: Duration = Duration::from_secs(60);

#[test]
#[ignore = "a minor that has a lab of its own: make test-version KUBERNETES=1.37, or CONTAINERD=1.7"]
fn a_cluster_of_this_minor_is_whole() {
    let story = Story::new("version");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-version", 3, 1))
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    has_the_versions_of_its_minor(&story, &cluster);
    story.step("etcd has three started voters", || {
        all_voters(&cluster, "node1", &cluster.control_planes())
    });
    services::dns_is_spread(&story, &cluster);
    services::kube_proxy_restarts(&story, &cluster);
    story.step("ha-host status finds nothing", || {
        wait_until("exit code 0", LOOK, || {
            cluster.ha_host(&["status", cluster.name()], LOOK)?.ok()
        })
    });
    loses_its_founder(&story, &cluster);
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn has_the_versions_of_its_minor(story: &Story, cluster: &Cluster) {
    let wanted = format!("v{}", Lab::default().kubernetes());
    let said = story.step("kubelets and apiserver are of this release", || {
        let nodes = cluster.kube().get(&["nodes"])?;
        let infos = nodes["items"].as_array().into_iter().flatten();
        let infos: Vec<_> = infos.map(|node| &node["status"]["nodeInfo"]).collect();
        ensure!(
            infos.len() == 4 && infos.iter().all(|info| info["kubeletVersion"] == *wanted),
            "not {wanted}: {infos:?}"
        );
        let server = cluster.kube().ctl(&["get", "--raw", "/version"])?;
        ensure!(server.contains(&wanted), "not {wanted}: {server}");
        let etcd = cluster.node("node1").sh(
            "curl -fsS --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/healthcheck-client.crt \
             --key /etc/kubernetes/pki/etcd/healthcheck-client.key https://127.0.0.1:2379/version",
        )?;
        let runtime = infos[0]["containerRuntimeVersion"].as_str();
        let runtime = runtime.unwrap_or_default();
        let asked = std::env::var("CONTAINERD").unwrap_or_default();
        let is_asked = runtime.starts_with(&format!("containerd://{asked}"));
        ensure!(is_asked, "not containerd {asked}: {runtime}");
        Ok(format!("{runtime}, {}, etcd {etcd}", infos[0]["osImage"]))
    });
    story.note(&said);
}

fn loses_its_founder(story: &Story, cluster: &Cluster) {
    let seen = story.step("the founder loses power: the API answers", || {
        while_power_goes(cluster, "node1")
    });
    story.note(&seen.to_string());
    story.step("it comes back whole", || {
        cluster.node("node1").power("on")?;
        wait_until("every node is Ready", BACK, || cluster.kube().all_ready())?;
        cluster.all_steady(BACK)?;
        all_voters(cluster, "node2", &cluster.control_planes())
    });
}
