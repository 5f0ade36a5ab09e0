//! The way of `cni: cilium`: the agent on the founder drives the `cilium` CLI, here a stand-in that behaves like the real
//! one (see `lab/cilium`); it installs once and changes nothing after that.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::eventually;
use ha_tests::plan::{CILIUM, ClusterPlan, PORT, VIP};
use ha_tests::story::Story;
use serde_json::{Value, json};

/// From a killed agent to its next steady state.
const HEAL: Duration = Duration::from_secs(90);

#[test]
fn cilium_is_installed_once_through_its_cli() {
    let story = Story::new("cilium");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("e2e-cilium", 1, 1);
        plan.network = Some(CILIUM.into());
        plan.sysexts.push("cilium");
        Cluster::new(plan)
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step("every node is Ready", || cluster.kube().all_ready());
    let before = story.step(
        "it was told the VIP, to replace kube-proxy, and the version",
        || installed_daemonset(&cluster),
    );
    story.step("Helm knows one release, deployed", || one_release(&cluster));
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
    story.step("a new life of the agent changes nothing", || {
        let node = cluster.node("node1");
        let killed = node.kill("ha-agent.service")?;
        eventually("the agent's next life", HEAL, || {
            let pid = node.main_pid("ha-agent.service")?;
            ensure!(pid != killed, "process {pid} is its last life's");
            Ok(())
        })?;
        cluster.all_steady(HEAL)?;
        one_release(&cluster)?;
        let after = installed_daemonset(&cluster)?;
        ensure!(before == after, "before: {before:?}, after: {after:?}");
        Ok(())
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// The DaemonSet's identity and generation, once its settings are seen to be right.
fn installed_daemonset(cluster: &Cluster) -> Result<(String, String)> {
    let set = cluster
        .kube()
        .get(&["daemonset", "cilium", "-n", "kube-system"])?;
    let annotations = &set["metadata"]["annotations"];
    for (name, wanted) in [
        ("lab/version", "1.18.1".to_owned()),
        ("lab/kube-proxy-replacement", "true".to_owned()),
        ("lab/api", format!("{VIP}:{PORT}")),
    ] {
        let seen = &annotations[name];
        ensure!(*seen == wanted, "{name} is {seen}, not {wanted:?}");
    }
    let of = |key: &str| {
        set["metadata"]
            .get(key)
            .map(ToString::to_string)
            .context("no such field")
    };
    Ok((of("uid")?, of("generation")?))
}

/// An upgrade would have made a second one.
fn one_release(cluster: &Cluster) -> Result<()> {
    let secrets = cluster.kube().get(&[
        "secrets",
        "-n",
        "kube-system",
        "--field-selector=type=helm.sh/release.v1",
    ])?;
    let labels: Vec<&Value> = secrets["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|secret| &secret["metadata"]["labels"])
        .collect();
    ensure!(
        labels.len() == 1 && labels[0]["status"] == "deployed" && labels[0]["version"] == "1",
        "Helm's releases are {labels:?}"
    );
    Ok(())
}
