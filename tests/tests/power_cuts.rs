//! Nodes that lose power at every second of what they write, and with it what was not synced: each comes back by itself, to the
//! same cluster, with exactly its members.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::ignition::IgnitionConfig;
use ha_tests::kube::all_voters;
use ha_tests::lab::workspace_root;
use ha_tests::plan::{ClusterPlan, MachineKind};
use ha_tests::power_cuts::{self, Moment, PowerCut, schedule};
use ha_tests::process::{FinishedProcess, RunningProcess, run_to_end};
use ha_tests::story::{Story, print_uncaptured};
use ha_wire::event::EventKind;
use ha_wire::phase::Phase;

/// Under an emulator a launch, with two boots more, takes a quarter of an hour.
const EMULATED: Duration = Duration::from_secs(1500);
/// A launch of one node takes 20 s; kubeadm gives up after four minutes.
const UNWRITTEN_LOG: Duration = Duration::from_secs(180);
/// kill(1) takes no time, a busy host does.
const KILL: Duration = Duration::from_secs(30);

#[test]
fn each_role_loses_power_at_work() {
    let story = Story::new("power cuts");
    let cluster = story.step("the lab is there", || {
        Cluster::new(power_cuts::power_cut_plan("e2e-cuts"))
    });
    story.step("three cuts in one launch: one whole cluster", || {
        power_cuts::launch_and_cut(&cluster, &schedule::short_round())
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// The window is some milliseconds wide, on a slow disk some tenths of a second: its state is brought along.
#[test]
fn an_etcd_that_ended_before_its_first_entry_founds_all_the_same() {
    const LOG: &str = "/var/lib/etcd/member/wal";
    const BROUGHT: &str = "/etc/unwritten.wal";
    const UNWRITTEN: &[u8] = include_bytes!("../../agent/tests/captured/etcd-without-entry.wal");
    let story = Story::new("a log without an entry");
    let cluster = story.step("the lab is there", || {
        let name = "e2e-unwritten";
        let mut plan = ClusterPlan {
            launch_within: Some(UNWRITTEN_LOG),
            ..ClusterPlan::new(name, 1, 0)
        };
        // The containers' own directories hide what Ignition writes there.
        let rules = format!(
            "d {LOG} 0700\nC {LOG}/0000000000000000-0000000000000000.wal 0600 - - - {BROUGHT}\n"
        );
        let config = IgnitionConfig::default()
            .file(BROUGHT, 0o600, UNWRITTEN)
            .file("/etc/tmpfiles.d/unwritten.conf", 0o644, rules);
        let dir = workspace_root().join("target/e2e");
        plan.merge.push(config.write(&dir, name)?);
        Cluster::new(plan)
    });
    story.step("the cluster is founded", || {
        cluster.launch(&[])?.ok()?;
        cluster.kube().all_ready()
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// `HA_ROUNDS=3,17` runs these alone.
#[test]
#[ignore = "an hour: make test-power-cuts"]
fn every_second_of_every_role() {
    run_rounds(
        "e2e-cuts",
        power_cuts::power_cut_plan,
        &schedule::all_rounds(),
    );
}

#[test]
#[ignore = "half an hour: make test-power-cuts"]
fn every_quarter_second_of_a_founder() {
    let rounds: Vec<_> = schedule::of_the_founder()
        .into_iter()
        .map(|cut| vec![cut])
        .collect();
    run_rounds("e2e-founder-cuts", power_cuts::plan_alone, &rounds);
}

/// Each round with a cluster of its own, which `plan` makes; all run before any fails.
fn run_rounds(name: &str, plan: fn(&str) -> ClusterPlan, rounds: &[Vec<PowerCut>]) {
    let mut failed = Vec::new();
    for (i, cuts) in rounds.iter().enumerate().filter(|(i, _)| is_wanted(i + 1)) {
        let begun = Instant::now();
        print_uncaptured(&format!("launch {} of {}:", i + 1, rounds.len()));
        let done = power_cuts::launch_with_cuts(plan(&format!("{name}-{}", i + 1)), cuts);
        let took = begun.elapsed().as_secs_f64();
        match done {
            Ok(()) => print_uncaptured(&format!("  ok   {took:>6.1} s  whole")),
            Err(error) => {
                print_uncaptured(&format!("  FAIL {took:>6.1} s  {error:#}"));
                failed.push(format!("launch {}: {error:#}", i + 1));
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

fn is_wanted(round: usize) -> bool {
    let Ok(wanted) = std::env::var("HA_ROUNDS") else {
        return true;
    };
    wanted
        .split(',')
        .any(|word| word.trim() == round.to_string())
}

/// The method's proof: virtual machines whose hypervisor dies lose their page cache for real. `cache=writeback` is QEMU's default:
/// what a guest had flushed is in this machine's page cache, which stays; what it had not is gone with the guest's memory.
#[test]
#[ignore = "twenty minutes of emulation: make test-power-cuts"]
fn killed_hypervisors_confirm_it() {
    let story = Story::new("killed hypervisors");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("e2e-killed", 1, 1).on(MachineKind::Qemu);
        plan.network = Some("proxy: none, cni: none".into());
        Cluster::new(plan)
    });
    let mut launch = story.step("launch begins", || cluster.start_launch(&[]));
    dies_at(
        &story,
        &cluster,
        &mut launch,
        "node1",
        Moment::End(Phase::Finish),
        1,
    );
    dies_at(
        &story,
        &cluster,
        &mut launch,
        "node2",
        Moment::Begin(Phase::Join),
        5,
    );
    let launched = story.step("launch ends", || cluster.end_launch(launch));
    story.note(&format!(
        "exit code {:?} after {:.0} s",
        launched.code,
        launched.took.as_secs_f64()
    ));
    for name in ["node1", "node2"] {
        story.step(&format!("{name} is steady, its kubelet healthy"), || {
            wait_until("steady", EMULATED, || {
                let events = cluster.node(name).events()?;
                let last = events
                    .iter()
                    .rposition(|e| matches!(e.what, EventKind::Hello { .. }));
                let life = &events[last.unwrap_or_default()..];
                ensure!(
                    life.iter().any(|e| matches!(e.what, EventKind::Steady)),
                    "{:?}",
                    life.last()
                );
                cluster
                    .node(name)
                    .sh("curl -sfS http://127.0.0.1:10248/healthz")
            })
        });
    }
    story.step("both are nodes of one etcd's cluster", || {
        all_voters(&cluster, "node1", &cluster.control_planes())?;
        let nodes = cluster.kube().nodes()?;
        ensure!(nodes.keys().eq(["node1", "node2"]), "there are {nodes:?}");
        Ok(())
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// Kills the hypervisor of a node so long after an event of its agent, and starts it again.
fn dies_at(
    story: &Story,
    cluster: &Cluster,
    launch: &mut RunningProcess,
    name: &str,
    moment: Moment,
    seconds: u64,
) {
    let node = cluster.node(name);
    story.step(
        &format!("{name}'s hypervisor is killed {seconds} s after {moment:?}"),
        || {
            wait_until("that moment", EMULATED, || {
                let since = launch_end(launch)?;
                let events = match node.events() {
                    // Nobody is there who could reach it.
                    Err(_) if launch.has_ended()? => return Ok(Err(anyhow!(since))),
                    events => events?,
                };
                ensure!(
                    power_cuts::time_of(&events, moment).is_some(),
                    "{since}; {:?}",
                    events.last()
                );
                Ok(Ok(()))
            })??;
            std::thread::sleep(Duration::from_secs(seconds));
            kill_hypervisor(cluster, name)?;
            node.power("on")
        },
    );
}

/// What a launch that has ended said.
fn launch_end(launch: &mut RunningProcess) -> Result<String> {
    Ok(match launch.has_ended()? {
        true => format!("launch has ended: {}", launch.so_far()),
        false => "launch is at work".into(),
    })
}

fn kill_hypervisor(cluster: &Cluster, node: &str) -> Result<()> {
    let pid = std::fs::read_to_string(cluster.machine_of(node).join("pid"))?;
    let pid = pid.split(' ').next().unwrap_or_default();
    let mut kill = cluster.operator().as_root("kill");
    kill.args(["-KILL", pid]);
    run_to_end(kill, KILL)
        .and_then(FinishedProcess::ok)
        .map(drop)
}
