//! An apiserver that accepts connections and does not answer: for a moment, and for good.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::probe::Probe;
use crate::story::Story;

/// Longer than haproxy needs to mark it down, shorter than the agent's patience with its sessions.
const BUSY: Duration = Duration::from_secs(4);
/// From a stopped apiserver to cut sessions: the agent's patience and some.
const CUT: Duration = Duration::from_secs(30);
/// What the agent says when it cuts.
const CUT_MESSAGE: &str = "sessions on it are cut";

/// Stops one apiserver's process twice. `victim` serves standing sessions, as the founder does after a launch.
pub fn an_apiserver_hangs(story: &Story, cluster: &Cluster, victim: &str) {
    let holder = story.step("a look at the holder", || cluster.vip_holder());
    let signal = |name: &str| format!("kill -{name} $(pidof kube-apiserver)");
    story.step(
        &format!("{victim}'s apiserver is busy for a moment: its sessions stay"),
        || {
            let since = node_clock(cluster, &holder)?;
            let (stop, go_on) = (signal("STOP"), signal("CONT"));
            let script = format!("{stop}; sleep {}; {go_on}", BUSY.as_secs());
            cluster.node(victim).sh(&script)?;
            let down = format!("{victim} is DOWN");
            expect_in_journal(cluster, &holder, &since, &down, true)?;
            expect_in_journal(cluster, &holder, &since, CUT_MESSAGE, false)
        },
    );
    let what = format!("{victim}'s apiserver hangs: others answer, its sessions are cut");
    let seen = story.step(&what, || {
        let since = node_clock(cluster, &holder)?;
        let client = cluster.client()?;
        let probe = Probe::of_apiserver(&client, cluster.endpoint())?;
        std::thread::sleep(Duration::from_secs(1));
        cluster.node(victim).sh(&signal("STOP"))?;
        wait_until("the agent cuts its sessions", CUT, || {
            expect_in_journal(cluster, &holder, &since, CUT_MESSAGE, true)
        })?;
        cluster.node(victim).sh(&signal("CONT"))?;
        let seen = probe.stop()?;
        wait_until("its apiserver answers again", CUT, || {
            cluster
                .apiservers()
                .into_iter()
                .try_for_each(|server| client.ready(server))
        })?;
        Ok(seen)
    });
    story.note(&seen.to_string());
}

/// The node's clock, as journalctl takes it.
fn node_clock(cluster: &Cluster, node: &str) -> Result<String> {
    let text = cluster.node(node).sh("date +@%s.%N")?;
    Ok(text.trim().to_owned())
}

fn expect_in_journal(
    cluster: &Cluster,
    node: &str,
    since: &str,
    words: &str,
    wanted: bool,
) -> Result<()> {
    let script = format!("journalctl --no-pager -o cat --since {since}");
    let text = cluster.node(node).sh(&script)?;
    ensure!(
        text.contains(words) == wanted,
        "{words:?} {} in {node}'s journal",
        if wanted { "is not" } else { "is" }
    );
    Ok(())
}
