//! What stands between pods and what they live on: their questions are dropped while their node's own pass.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::eventually;
use ha_tests::health::{Told, status_tells};
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;
use serde_json::Value;

use super::{SEEN, examined, is_well, names};

/// What is the cluster's is told within this.
const OF_CLUSTER: Duration = Duration::from_secs(60);
/// An agent asks for pods once in a third of a minute.
const ASKED: Duration = Duration::from_secs(60);
/// A hook that the node's own questions never pass.
const CUT: &str = "nft add table inet e2e && nft 'add chain inet e2e pods { type filter hook forward priority -5; }' && \
                   nft add rule inet e2e pods iifname cni0 udp dport 53 drop";
const HEAL: &str = "nft delete table inet e2e";

#[test]
#[ignore = "a cluster of its own: make test-faults"]
fn what_stands_in_the_way_of_pods_is_named() {
    let story = Story::new("doctor's ways");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-ways", 3, 0))
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step("a pod on node2; all is well, exit code 0", || {
        cluster.kube().idle_pod("e2e-asks", "node2")?;
        is_well(&cluster)
    });
    pods_that_dns_does_not_hear_are_named(&story, &cluster);
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn pods_that_dns_does_not_hear_are_named(story: &Story, cluster: &Cluster) {
    let node = cluster.node("node2");
    let error_of_pods = || -> Result<String> {
        let done = node.run(&["ha-agent", "status", "--json"], OF_CLUSTER)?;
        let status: Value = serde_json::from_str(&done.stdout)?;
        let error = status["dnsInPods"]["answer"]["error"].as_str();
        error.map(str::to_owned).context("no pod was asked for")
    };
    let is_answered = || {
        eventually("a pod of node2 is answered", ASKED, || {
            let error = error_of_pods()?;
            ensure!(error.is_empty(), "{error}");
            Ok(())
        })
    };
    story.step("cluster DNS answers a pod of node2", is_answered);
    story.step(
        "pods of node2 are cut off from DNS, node2 is not: told",
        || {
            node.sh(CUT)?;
            let cut = Told::begin(
                "pods that cluster DNS does not answer",
                "cluster DNS answers node2 itself and none of its pods",
                OF_CLUSTER,
            );
            let told = status_tells(story, cluster, &[cut]);
            let named = eventually("it is named", SEEN, || {
                let report = examined(cluster)?;
                let words = [
                    "and none of its pods",
                    "no answer within 2 s to kubernetes.default.svc",
                    "nsenter --net=/run/netns/cni-",
                    "forward",
                    "NetworkPolicy",
                ];
                names(&report, Some("node2"), "dns", &words)
            });
            node.sh(HEAL)?;
            told.and(named)
        },
    );
    story.step("they are heard again: all is well", || {
        is_answered()?;
        is_well(cluster)
    });
}
