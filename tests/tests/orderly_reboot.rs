//! The holder of the VIP reboots in an orderly way, as `systemctl reboot` on it does: every pod is told and has its grace, the VIP
//! is elsewhere at once, and nothing is waited for that nobody ends.

use std::time::{Duration, Instant};

use anyhow::ensure;
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::last_words::{LastWords, start_pods};
use ha_tests::plan::ClusterPlan;
use ha_tests::probe::Probe;
use ha_tests::story::Story;

/// From the order to the node's next PID 1, on a busy machine. systemd-shutdown gives containers that nobody stops 90 s.
const REBOOT: Duration = Duration::from_secs(75);
/// Until everything of the rebooted node is back, on two cores.
const BACK: Duration = Duration::from_secs(120);
/// The probe goes on for so long when the node is down: its apiserver is gone, its VIP elsewhere.
const AFTERWARDS: Duration = Duration::from_secs(5);

#[test]
fn the_holder_reboots_and_nobody_notices() {
    let story = Story::new("orderly-reboot");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-orderly", 3, 1))
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step("no node would reboot by itself", || {
        for (name, _, _) in cluster.plan().nodes() {
            let node = cluster.node(&name);
            let state = node.sh("systemctl show -P UnitFileState locksmithd.service")?;
            ensure!(state.trim() == "masked", "{name}: locksmithd is {state:?}");
        }
        Ok(())
    });
    let holder = story.step("one node holds the VIP", || cluster.vip_holder());
    story.step("an ordinary and a critical pod run there", || {
        start_pods(&cluster, &holder)
    });
    reboot_holder(&story, &cluster, &holder);
    every_pod_had_its_grace(&story, &cluster, &holder);
    story.step("the node comes back whole", || {
        wait_until("every node is Ready", BACK, || cluster.kube().all_ready())?;
        cluster.all_steady(BACK)
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn reboot_holder(story: &Story, cluster: &Cluster, holder: &str) {
    let (took, seen) = story.step("the holder reboots", || {
        let client = cluster.client()?;
        let probe = Probe::of_apiserver(&client, cluster.endpoint())?;
        std::thread::sleep(Duration::from_secs(2));
        let begun = Instant::now();
        cluster.node(holder).power("reboot")?;
        let took = begun.elapsed();
        std::thread::sleep(AFTERWARDS);
        Ok((took, probe.stop()?))
    });
    story.note(&format!("reboot {:.1} s; {seen}", took.as_secs_f64()));
    story.step("no container was waited for that nobody stopped", || {
        ensure!(took <= REBOOT, "it took {:.1} s", took.as_secs_f64());
        Ok(())
    });
    story.step("another node holds the VIP", || {
        let now = cluster.vip_holder()?;
        ensure!(now != holder, "{now} holds it again");
        Ok(())
    });
}

fn every_pod_had_its_grace(story: &Story, cluster: &Cluster, holder: &str) {
    let words = story.step("both pods were told and ended by themselves", || {
        let ordinary = LastWords::read(cluster, holder, "ordinary")?;
        let critical = LastWords::read(cluster, holder, "critical")?;
        Ok((ordinary, critical))
    });
    let (ordinary, critical) = words;
    story.note(&format!("{ordinary:?}, {critical:?}"));
    story.step("the critical one was told when the other had ended", || {
        ensure!(critical.told >= ordinary.done, "it was told before");
        Ok(())
    });
}
