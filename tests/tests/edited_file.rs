//! The way on is open: a cluster file with a fault that only the apiserver finds is mended in place and launched again, on machines
//! whose system extensions merge only once they have booted; then the same project is launched from another checkout.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::ignition::IgnitionConfig;
use ha_tests::lab::workspace_root;
use ha_tests::plan::ClusterPlan;
use ha_tests::process::FinishedProcess;
use ha_tests::story::Story;

/// Long enough for the apiserver to be made and to fail, short enough to be waited for.
const SHORT: Duration = Duration::from_secs(60);
/// Long enough for a boot.
const BOOT: Duration = Duration::from_secs(30);
/// A cluster that stands is looked at in seconds.
const LOOK: Duration = Duration::from_secs(30);
/// The apiserver ends at once, and no rule of cluster files can know it.
const FAULT: &str = "apiServer: {extraArgs: [{name: storage-media-type, value: text/none}]}";
const MENDED: &str = "apiServer: {extraArgs: [{name: v, value: \"2\"}]}";
/// The merge fails until a person mends it, as one that finds no free loop device does.
const LATE_MERGE: &str = "[Service]
ExecStartPre=/bin/sh -c 'if ! test -e /var/lib/mended; then echo no loop device is free; exit 1; fi'
";
/// The merged config once it is mended.
const NOTHING_MORE: &str = r#"{"ignition": {"version": "3.3.0"}}"#;
/// What is said of the node meanwhile.
const WITHOUT_AGENT: &str = "it has booted, but its system extensions did not merge: systemd-sysext.service failed: no loop device \
                             is free; it is tried again every 2 s";

#[test]
fn a_file_that_is_mended_in_place_counts_and_another_checkout_is_the_same_cluster() {
    let story = Story::new("edited file");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("e2e-edited", 1, 0);
        plan.kubeadm = FAULT.into();
        let place = "/etc/systemd/system/systemd-sysext.service.d/99-late.conf";
        let config = IgnitionConfig::default().file(place, 0o644, LATE_MERGE);
        let dir = workspace_root().join("target/e2e");
        plan.merge.push(config.write(&dir, &plan.name)?);
        Cluster::new(plan)
    });
    story.step("no extension merges: the node is named as that", || {
        let done = cluster.launch_within(BOOT)?.expect_exit_code(3)?;
        ensure!(done.stderr.contains(WITHOUT_AGENT), "{}", done.stderr);
        Ok(())
    });
    story.step("they merge late, and all their units run", || {
        let node = cluster.node("node1");
        node.sh("systemctl is-active multi-user.target")?;
        node.sh("touch /var/lib/mended")?;
        wait_until("the extensions' units", LOOK, || {
            node.sh("systemctl is-active ha-agent.service haproxy.path kubelet.path")
        })
    });
    story.step("the fault: no apiserver, exit code 1 or 3", || {
        let done = cluster.launch_within(SHORT)?;
        ensure!(
            matches!(done.code, Some(1 | 3)),
            "{:?}: {}{}",
            done.code,
            done.stdout,
            done.stderr
        );
        ensure!(!done.stderr.contains("ha-host destroy"), "{}", done.stderr);
        Ok(())
    });
    story.step(
        "mended in place, launch makes the node anew and ends ready",
        || {
            let text = fs::read_to_string(cluster.file())?;
            fs::write(cluster.file(), text.replace(FAULT, MENDED))?;
            for merged in &cluster.plan().merge {
                fs::write(merged, NOTHING_MORE)?;
            }
            let done = cluster.launch(&[])?.ok()?;
            says_what_is_made_anew(&done)?;
            cluster.kube().all_ready()
        },
    );
    story.step("another checkout of the same file: ready already", || {
        let other = other_checkout(&cluster)?;
        let arguments = ["launch", &other.display().to_string()];
        let done = cluster.ha_host(&arguments, LOOK)?.ok()?;
        ensure!(done.stdout.contains("is ready already"), "{}", done.stdout);
        Ok(())
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn says_what_is_made_anew(done: &FinishedProcess) -> Result<()> {
    let said = format!("{}{}", done.stdout, done.stderr);
    for words in [
        "was changed: ignition.merge: what e2e-edited",
        "; kubernetes.clusterConfiguration.apiServer.extraArgs[storage-media-type]: text/none -> none",
        "no apiserver answered yet, so the nodes are made anew: node1",
    ] {
        ensure!(said.contains(words), "{words:?} is not in:\n{said}");
    }
    Ok(())
}

fn other_checkout(cluster: &Cluster) -> Result<PathBuf> {
    let dir = cluster.dir().join("other-checkout");
    fs::create_dir_all(&dir)?;
    let file = dir.join("cluster.yaml");
    fs::copy(cluster.file(), &file)?;
    Ok(file)
}
