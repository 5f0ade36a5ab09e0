//! Somebody else's etcd, three members with TLS that this test runs on the operator's machine: nothing is founded over another
//! cluster's objects in it, two control planes live on it, one of its members is away, a control plane is made anew, both are lost.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::external_etcd::ExternalEtcd;
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;

/// A look at the whole cluster.
const LOOK: Duration = Duration::from_secs(60);
/// An agent looks every five to seven seconds, `status` takes one.
const TOLD: Duration = Duration::from_secs(40);
/// A node is back, on two cores.
const BACK: Duration = Duration::from_secs(240);
/// etcd elects, or answers curl.
const SHORT: Duration = Duration::from_secs(20);
/// `/registry/pods/default/theirs` in base64.
const THEIR_KEY: &str = "L3JlZ2lzdHJ5L3BvZHMvZGVmYXVsdC90aGVpcnM=";

/// The cluster of two control planes that names it; its members' addresses lie in the default network of services.
fn external_etcd_plan(etcd: &ExternalEtcd) -> ClusterPlan {
    let [a, b, c] = [0, 1, 2].map(ExternalEtcd::url);
    let [ca, cert, key] = ["ca.crt", "client.crt", "client.key"].map(|name| etcd.path(name));
    ClusterPlan {
        kubernetes: format!(
            "serviceCIDR: 198.18.0.0/23, etcd: {{external: {{endpoints: [\"{a}\", \"{b}\", \"{c}\"], caFile: {ca}, certFile: {cert}, keyFile: {key}}}}}"
        ),
        ..ClusterPlan::new("e2e-external-etcd", 2, 0)
    }
}

#[test]
#[ignore = "a launch of its own: make test-options"]
fn two_control_planes_live_on_somebody_elses_etcd() {
    let story = Story::new("external_etcd");
    let etcd = story.step("files of an etcd with TLS", || {
        ExternalEtcd::make("external-etcd")
    });
    let cluster = story.step("the lab is there", || {
        Cluster::new(external_etcd_plan(&etcd))
    });
    let mut members = story.step("three members elect a leader", || {
        let members = etcd.start(&cluster)?;
        wait_until("etcd takes a key", SHORT, || {
            let theirs = format!(r#"{{"key": "{THEIR_KEY}", "value": "eA=="}}"#);
            etcd.ask(&cluster, "/v3/kv/put", &theirs)
        })?;
        Ok(members)
    });
    is_not_founded_over_another(&story, &cluster, &etcd);
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    no_etcd_is_on_the_nodes(&story, &cluster, &etcd);
    status_says(&story, &cluster, "external, 3 of 3 endpoints healthy", 0);
    story.step("doctor finds every way open", || {
        cluster.ha_host(&["doctor", cluster.name()], LOOK)?.ok()
    });
    drop(members.running.pop());
    let sick = format!("2 of 3 endpoints healthy, not {}", ExternalEtcd::url(2));
    status_says(&story, &cluster, &sick, 1);
    story.step("the API takes writes while a member is away", || {
        cluster.kube().ctl(&["create", "namespace", "beside-two"])
    });
    let back = story.step("the member is back", || etcd.start_one(&cluster, 2));
    members.running.push(back);
    status_says(&story, &cluster, "external, 3 of 3 endpoints healthy", 0);
    is_made_anew(&story, &cluster);
    outlives_its_control_planes(&story, &cluster);
    // They are this test's, and `destroy` is looked at for what it leaves.
    drop(members);
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// There is a key of another cluster's: a person has to take it out.
fn is_not_founded_over_another(story: &Story, cluster: &Cluster, etcd: &ExternalEtcd) {
    story.step(
        "launch names another cluster's key and founds nothing over it",
        || {
            let said = cluster.launch(&[])?.expect_exit_code(1)?;
            let words = said.tail(40);
            ensure!(
                words.contains("holds another cluster's 1 keys below /registry/"),
                "{words}"
            );
            let count = format!(r#"{{"key": "{THEIR_KEY}"}}"#);
            let there = etcd.ask(cluster, "/v3/kv/range", &count)?;
            ensure!(there.contains(r#""value":"eA==""#), "{there}");
            Ok(())
        },
    );
    story.step("it is taken out, and the agent asked to look again", || {
        let gone = format!(r#"{{"key": "{THEIR_KEY}"}}"#);
        etcd.ask(cluster, "/v3/kv/deleterange", &gone)?;
        cluster.node("node1").sh("systemctl restart ha-agent")
    });
}

fn no_etcd_is_on_the_nodes(story: &Story, cluster: &Cluster, etcd: &ExternalEtcd) {
    story.step("no etcd is on the nodes, and the client's key is root's", || {
        let pods = cluster.kube().system_pods("component=etcd")?;
        ensure!(pods.is_empty(), "{pods:?}");
        for node in cluster.control_planes() {
            let seen = cluster.node(&node).sh(
                "ls -A /var/lib/etcd; ls /etc/kubernetes/manifests; ls /etc/kubernetes/pki; \
                 awk '$4 == \"0A\" {print $2}' /proc/net/tcp /proc/net/tcp6; stat -c '%a %U' /etc/kubernetes/pki/external-etcd/client.key",
            )?;
            let foreign = ["etcd.yaml", ":094B", ":094C", "apiserver-etcd-client", "member"];
            let found = foreign.iter().find(|word| seen.contains(**word));
            ensure!(found.is_none() && seen.contains("600 root"), "{node}: {found:?} in {seen}");
        }
        Ok(())
    });
    story.step("no log and no status holds the key", || {
        let key = fs::read_to_string(etcd.path("client.key"))?;
        let line = key.lines().nth(1).context("no key")?.to_owned();
        for node in cluster.control_planes() {
            let logs = cluster
                .node(&node)
                .sh("journalctl --no-pager -o cat; cat /run/ha-agent/*.json*")?;
            ensure!(!logs.contains(&line), "{node}");
        }
        Ok(())
    });
}

fn status_says(story: &Story, cluster: &Cluster, words: &str, code: i32) {
    story.step(&format!("ha-host status says: {words}"), || {
        wait_until("its words", TOLD, || {
            let said = cluster
                .ha_host(&["status", cluster.name()], LOOK)?
                .expect_exit_code(code)?;
            ensure!(said.stdout.contains(words), "{}", said.stdout);
            Ok(())
        })
    });
}

/// All of them are lost at once; what the cluster kept is in its etcd.
fn outlives_its_control_planes(story: &Story, cluster: &Cluster) {
    let before = story.step("which cluster it is", || cluster.kube().identity());
    story.step("every control plane loses its machine", || {
        for node in cluster.control_planes() {
            cluster.node(&node).power("off")?;
            fs::remove_dir_all(cluster.machine_of(&node))?;
            cluster.note_power(&node, true);
        }
        Ok(())
    });
    story.step("launch makes them anew around the etcd", || {
        let said = cluster.launch(&[])?.ok()?;
        let words = "node1 founds the cluster again";
        ensure!(
            said.stdout.contains(words) || said.stderr.contains(words),
            "{}",
            said.tail(60)
        );
        Ok(())
    });
    status_says(story, cluster, "external, 3 of 3 endpoints healthy", 0);
    story.step("it is the cluster that it was", || {
        let now = cluster.kube().identity()?;
        ensure!(now == before, "{before}, then {now}");
        cluster
            .kube()
            .ctl(&["get", "namespace", "beside-two"])
            .map(drop)
    });
}

fn is_made_anew(story: &Story, cluster: &Cluster) {
    story.step("node2 is made anew and joins again", || {
        cluster.remake("node2", &cluster.ignition_of("node2"))?;
        wait_until("every node is Ready", BACK, || cluster.kube().all_ready())?;
        cluster.all_steady(BACK)
    });
    status_says(story, cluster, "external, 3 of 3 endpoints healthy", 0);
}
