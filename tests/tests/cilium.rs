//! The way of `cni: cilium`: the agent on the founder drives the `cilium` CLI, here a stand-in that behaves like the real
//! one (see `lab/cilium`). It installs once, whatever becomes of its first attempts, and changes nothing after that.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::cilium::{daemon_set, daemon_set_identity, releases_are};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::plan::{CILIUM, ClusterPlan, PORT, VIP};
use ha_tests::story::Story;
use ha_wire::event::EventKind;
use ha_wire::phase::Phase;
use serde_json::{Value, json};

/// From a killed agent to its next steady state.
const HEAL: Duration = Duration::from_secs(90);

/// What the stand-in suffers: its first call fails by itself, the second dies with the agent while the release is pending.
const FAULTS: &str = "values: {labFaults: fails dies, ";

#[test]
fn cilium_is_installed_once_through_its_cli_whatever_its_first_attempts_suffer() {
    let story = Story::new("cilium");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("e2e-cilium", 1, 1);
        plan.network = Some(CILIUM.replace("values: {", FAULTS));
        plan.sysexts.push("cilium");
        Cluster::new(plan)
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step(
        "an attempt failed, one died at work, the third went well",
        || attempts_were_three(&cluster),
    );
    story.step("every node is Ready", || cluster.kube().all_ready());
    let before = story.step(
        "it was told the VIP, to replace kube-proxy, and the version",
        || installed_daemonset(&cluster),
    );
    story.step("Helm knows one release, deployed", || {
        releases_are(&cluster, &[("1", "deployed")])
    });
    story.step(
        "a worker may ask the API what Cilium's pod on it does",
        || {
            let worker = cluster.workers().remove(0);
            let ask = format!(
                "kubectl --kubeconfig /etc/kubernetes/kubelet.conf get pods -n kube-system -l k8s-app=cilium \
                 --field-selector spec.nodeName={worker} -o name"
            );
            let pods = cluster.node(&worker).sh(&ask)?;
            ensure!(pods.lines().count() == 1, "its pods: {pods}");
            Ok(())
        },
    );
    story.step("no kube-proxy runs beside it", || {
        let sets = cluster
            .kube()
            .ctl(&["get", "daemonsets", "-A", "-o", "name"])?;
        ensure!(sets.trim() == "daemonset.apps/cilium", "there are {sets}");
        Ok(())
    });
    story.step(
        "the user's values are in the file that it got, and win over ours",
        || {
            let text = cluster.node("node1").read(ha_wire::paths::CILIUM_VALUES)?;
            let values: Value = serde_json::from_str(&text).context("the values are not JSON")?;
            for (place, wanted) in [
                ("/k8sServiceHost", json!(VIP.to_string())),
                ("/k8sServicePort", json!(PORT)),
                ("/kubeProxyReplacement", json!(true)),
                ("/debug/enabled", json!(true)),
                // Ours says false, see `CILIUM`.
                ("/hubble/enabled", json!(true)),
            ] {
                let seen = values.pointer(place);
                ensure!(seen == Some(&wanted), "{place} is {seen:?}, not {wanted}");
            }
            Ok(())
        },
    );
    story.step("its owner upgrades it: a second release", || {
        let set = daemon_set(&cluster)?;
        let version = set["metadata"]["annotations"]["lab/version"].as_str();
        let version = version.context("no version")?;
        let values = ha_wire::paths::CILIUM_VALUES;
        let upgrade = format!(
            "KUBECONFIG=/etc/kubernetes/admin.conf cilium upgrade --version {version} --values {values}"
        );
        cluster.node("node1").sh(&upgrade)?;
        releases_are(&cluster, &[("1", "superseded"), ("2", "deployed")])
    });
    story.step("a new life of the agent changes nothing", || {
        let node = cluster.node("node1");
        let killed = node.kill("ha-agent.service")?;
        wait_until("the agent's next life", HEAL, || {
            let pid = node.main_pid("ha-agent.service")?;
            ensure!(pid != killed, "process {pid} is its last life's");
            Ok(())
        })?;
        cluster.all_steady(HEAL)?;
        releases_are(&cluster, &[("1", "superseded"), ("2", "deployed")])?;
        let after = installed_daemonset(&cluster)?;
        ensure!(before == after, "before: {before:?}, after: {after:?}");
        Ok(())
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// The DaemonSet's identity and generation, once its settings are seen to be right.
fn installed_daemonset(cluster: &Cluster) -> Result<(String, String)> {
    let set = daemon_set(cluster)?;
    let annotations = &set["metadata"]["annotations"];
    for (name, wanted) in [
        ("lab/version", "1.18.1".to_owned()),
        ("lab/kube-proxy-replacement", "true".to_owned()),
        ("lab/api", format!("{VIP}:{PORT}")),
    ] {
        let seen = &annotations[name];
        ensure!(*seen == wanted, "{name} is {seen}, not {wanted:?}");
    }
    daemon_set_identity(&set)
}

/// The stand-in counts its calls, and the agent tells its lives and failures.
fn attempts_were_three(cluster: &Cluster) -> Result<()> {
    let node = cluster.node("node1");
    let calls = node.read("/run/lab-cilium/calls")?;
    ensure!(calls == "install\ninstall\ninstall\n", "calls: {calls}");
    let events = node.events()?;
    let count = |wanted: fn(&EventKind) -> bool| events.iter().filter(|e| wanted(&e.what)).count();
    let lives = count(|e| matches!(e, EventKind::Hello { .. }));
    let failures = count(|e| {
        matches!(
            e,
            EventKind::Failed {
                phase: Phase::Network,
                ..
            }
        )
    });
    ensure!(
        (lives, failures) == (2, 1),
        "{lives} lives, {failures} failures"
    );
    Ok(())
}
