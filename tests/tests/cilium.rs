//! The way of `cni: cilium`: the agent on the founder drives the `cilium` CLI, here a stand-in that behaves like the real
//! one (see `lab/cilium`); it installs once and changes nothing after that.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::plan::{CILIUM, ClusterPlan, PORT, VIP};
use ha_tests::story::Story;

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
    story.step("no kube-proxy runs beside it", || {
        let sets = cluster
            .kube()
            .ctl(&["get", "daemonsets", "-A", "-o", "name"])?;
        ensure!(sets.trim() == "daemonset.apps/cilium", "there are {sets}");
        Ok(())
    });
    story.step(
        "the user's values are in the file that it got, and come last",
        || {
            let values = cluster.node("node1").read(ha_wire::paths::CILIUM_VALUES)?;
            ensure!(
                values.contains("debug") && values.contains(&VIP.to_string()),
                "{values}"
            );
            Ok(())
        },
    );
    story.step("a new life of the agent changes nothing", || {
        cluster.node("node1").kill("ha-agent.service", false)?;
        std::thread::sleep(Duration::from_secs(2));
        cluster.all_steady(HEAL)?;
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
    let text = set.to_string();
    for words in [VIP.to_string(), PORT.to_string(), "1.18.1".into()] {
        ensure!(text.contains(&words), "{words:?} is not in {text}");
    }
    let of = |key: &str| {
        set["metadata"]
            .get(key)
            .map(ToString::to_string)
            .context("no such field")
    };
    Ok((of("uid")?, of("generation")?))
}
