//! What a person asks of a standing node: doctor, render, status that is watched, a journal that is followed.

use std::time::Duration;

use anyhow::{Context, ensure};
use ha_wire::doctor::Examination;
use ha_wire::phase::Role;
use ha_wire::status::{PhaseState, Status};

use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::process::RunningProcess;
use crate::story::Story;

/// From a word in the journal to its coming by, and from Ctrl-C to the end.
const FOLLOWED: Duration = Duration::from_secs(20);
/// A look at a node.
const LOOK: Duration = Duration::from_secs(20);
/// What is put into the journal that is followed.
const MARK: &str = "e2e-mark-to-be-followed";
/// Every file that `render` writes and that is on the node is the same there; how many these are.
const COMPARE: &str = "set -e; same=0
for file in $(ha-agent render --out /run/e2e-render); do
  place=${file#/run/e2e-render}
  if [ -e $place ]; then cmp $file $place; same=$((same + 1)); fi
done
rm -r /run/e2e-render; echo $same";

/// All four, on nodes that are well.
pub fn nodes_are_inspected(story: &Story, cluster: &Cluster) {
    story.step("ha-agent doctor finds every node well", || {
        for (name, _, _) in cluster.plan().nodes() {
            let node = cluster.node(&name);
            let done = node.run(&["ha-agent", "doctor", "--json"], LOOK)?.ok()?;
            let seen = Examination::parse(&done.stdout)?;
            ensure!(seen.checks.len() > 20, "{name}: only {:?}", seen.checks);
        }
        Ok(())
    });
    story.step("ha-agent render writes what a control plane has", || {
        for name in cluster.plan().names(Role::ControlPlane) {
            let same = cluster.node(&name).sh(COMPARE)?;
            // keepalived's and haproxy's.
            ensure!(
                same.trim().parse::<u32>()? >= 2,
                "{name}: {same} files compared"
            );
        }
        Ok(())
    });
    story.step("ha-agent status --watch says the state and stays", || {
        let argv = ["timeout", "2", "ha-agent", "status", "--watch", "--json"];
        let done = cluster.node("node1").run(&argv, LOOK)?;
        // timeout's own, when it has ended what it ran.
        let done = done.expect_exit_code(124)?;
        let mut said = serde_json::Deserializer::from_str(&done.stdout).into_iter::<Status>();
        let first = said.next().context("it said nothing")??;
        ensure!(first.state == PhaseState::Steady, "{first:?}");
        Ok(())
    });
    story.step("ha-host logs -f follows until Ctrl-C", || {
        let args = ["logs", cluster.name(), "node2", "-f"];
        let follow = RunningProcess::start(cluster.operator().ha_host(args))?;
        wait_until("the past is shown", FOLLOWED, || {
            ensure!(!follow.so_far().is_empty(), "nothing yet");
            Ok(())
        })?;
        let tell = format!("echo {MARK} | systemd-cat -t e2e");
        cluster.node("node2").sh(&tell)?;
        wait_until("the mark comes by", FOLLOWED, || {
            ensure!(follow.so_far().contains(MARK), "{}", follow.so_far());
            Ok(())
        })?;
        cluster.interrupt(&follow)?;
        follow.wait(3 * FOLLOWED).map(drop)
    });
}
