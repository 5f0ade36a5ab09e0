//! A launch of which one node really fails: what it prints on a terminal, in a pipe and for programs, and that the way on
//! which it names leads on. The worker's agent finds a stranger at the kubelet's port, which is for a person to mend.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::ignition::IgnitionConfig;
use ha_tests::lab::workspace_root;
use ha_tests::plan::ClusterPlan;
use ha_tests::process::FinishedProcess;
use ha_tests::story::Story;
use ha_tests::terminal::without_sequences;
use serde_json::Value;

/// Stopping a unit is done at once.
const SHORT: Duration = Duration::from_secs(20);
/// Listens before the agent begins: the server leaves its parent once it does. It has no capability, so that the agent,
/// which has few, may look who it is.
const STRANGER: &str = "[Unit]
Description=A stranger at the kubelet's port
ConditionHost=node2
Before=ha-agent.service

[Service]
Type=forking
CapabilityBoundingSet=
RuntimeDirectory=stranger
ExecStart=/usr/bin/busybox httpd -p 10250 -h /run/stranger

[Install]
WantedBy=multi-user.target
";
/// What a person has to be told: node, phase, cause in the agent's words, and two commands.
const TOLD: [&str; 6] = [
    "error: node2 (worker): preflight failed",
    "port 10250: taken by busybox",
    "ha-host logs e2e-failing node2 --unit ha-agent",
    "of the 1 other nodes are Ready",
    "mend it and run  ha-host launch ",
    "it continues with node2",
];
/// What turns the text red, and what draws one block of a bar.
const RED: &str = "\u{1b}[31m";
const BLOCK: &str = "█";

#[test]
fn a_failed_launch_names_node_phase_cause_and_the_way_on() {
    let story = Story::new("failing node");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("e2e-failing", 1, 1);
        let config = IgnitionConfig::default().unit("stranger.service", true, STRANGER);
        let dir = workspace_root().join("target/e2e");
        plan.merge.push(config.write(&dir, &plan.name)?);
        Cluster::new(plan)
    });
    story.step("on a terminal: bars, then the failure, in red", || {
        let done = cluster.launch_on_terminal()?.expect_exit_code(1)?;
        let text = without_sequences(&done.stdout);
        names_everything(&text)?;
        ensure!(
            done.stdout.contains(&format!("{RED}error:")),
            "no red error in {:?}",
            done.stdout
        );
        ensure!(text.contains(BLOCK), "no bar in {text}");
        Ok(())
    });
    story.step("in a pipe: lines, the failure on standard error", || {
        let done = cluster.launch(&[])?.expect_exit_code(1)?;
        names_everything(&done.stderr)?;
        let all = format!("{}{}", done.stdout, done.stderr);
        ensure!(
            !all.contains('\u{1b}') && !all.contains(BLOCK),
            "sequences for a terminal in {all:?}"
        );
        let of_node = |line: &str| line.contains("node2") && line.contains("preflight");
        ensure!(
            done.stdout.lines().any(of_node),
            "no line of node2 in {}",
            done.stdout
        );
        Ok(())
    });
    story.step("for programs: the same as an object", || {
        is_told_as_json(&cluster.launch(&["--json"])?)
    });
    story.step(
        "mended, the launch that was named ends with exit code 0",
        || {
            let mend = ["systemctl", "stop", "stranger.service"];
            cluster.node("node2").run(&mend, SHORT)?.ok()?;
            let done = cluster.launch(&[])?.ok()?;
            ensure!(done.stdout.contains("2 of 2 nodes"), "{}", done.stdout);
            cluster.kube().all_ready()
        },
    );
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn names_everything(text: &str) -> Result<()> {
    for words in TOLD {
        ensure!(text.contains(words), "{words:?} is not in:\n{text}");
    }
    Ok(())
}

fn is_told_as_json(done: &FinishedProcess) -> Result<()> {
    ensure!(done.code == Some(1), "exit code {:?}", done.code);
    let objects = done.json_lines()?;
    let last = objects.last().context("no object")?;
    ensure!(
        objects.iter().all(|o| o["version"] == 2) && objects[0]["type"] == "begin",
        "{objects:?}"
    );
    ensure!(
        last["type"] == "failed" && last["node"] == "node2" && last["phase"] == "preflight",
        "{last}"
    );
    let words = last["words"].as_array().into_iter().flatten();
    let words: Vec<&str> = words.filter_map(Value::as_str).collect();
    ensure!(
        words
            .iter()
            .any(|w| w.contains("port 10250: taken by busybox")),
        "the cause is not in {last}"
    );
    ensure!(
        last["look"] == "ha-host logs e2e-failing node2 --unit ha-agent",
        "{last}"
    );
    Ok(())
}
