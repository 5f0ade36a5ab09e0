//! `provider: none`: a launch that makes no machine, a server that gives each config out once, and machines that somebody else
//! makes of what they fetched there (here: another ha-host, whose machines know nothing of this launch).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::others::Others;
use ha_tests::plan::ClusterPlan;
use ha_tests::process::run_to_end;
use ha_tests::story::Story;

/// Where the server listens on the operator's machine.
const LISTEN: &str = "127.0.0.1:8080";
/// What takes a moment.
const SHORT: Duration = Duration::from_secs(30);
/// A launch from the first config to the last Ready.
const LAUNCH: Duration = Duration::from_secs(300);

/// Somebody's port of events leads where the launch looks.
fn lead_events(others: &Others, makers: &Cluster, node: &str) -> Result<()> {
    let made = makers.operator().state_of(makers.name());
    let heard = others.events_of(node);
    fs::remove_file(&heard)?;
    let made = made.join(format!("machines/{node}/report/events.jsonl"));
    Ok(symlink(made, heard)?)
}

#[test]
fn a_launch_follows_machines_that_others_make() {
    let story = Story::new("machines-of-others");
    let makers = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-others", 1, 1))
    });
    let others = story.step("somebody else has a cluster file, too", || {
        let others = Others::new(&makers)?;
        others.have_a_maker()?;
        Ok(others)
    });
    let launch = story.step("launch says what to boot each machine with", || {
        let launch = others.launch("300s")?;
        lead_events(&others, &makers, "node1")?;
        Ok(launch)
    });
    let (server, urls) = story.step("serve names a URL for each node", || {
        let server = others.start(&[
            "serve",
            makers.name(),
            "--listen",
            LISTEN,
            "--without-sysexts",
        ])?;
        let urls = wait_until("two URLs", SHORT, || {
            let said = server.so_far();
            let urls = said
                .split_whitespace()
                .filter(|word| word.contains("/config/"));
            let urls: Vec<String> = urls.map(str::to_owned).collect();
            ensure!(urls.len() == 2, "{said}");
            Ok(urls)
        })?;
        Ok((server, urls))
    });
    for (node, url) in ["node1", "node2"].into_iter().zip(&urls) {
        story.step(
            &format!("{node} fetches its config, which nobody gets twice"),
            || {
                let config = fetch_config(&makers, url, node)?;
                ensure!(
                    fetch_config(&makers, url, "again").is_err(),
                    "it was given out twice"
                );
                makers.remake(node, &config)
            },
        );
    }
    story.step(
        "the launch ends well, with each phase of who is heard",
        || {
            let done = launch.wait(LAUNCH)?.ok()?;
            let heard = |phase: &str| {
                done.stdout
                    .lines()
                    .any(|l| l.contains("node1") && l.contains(phase))
            };
            ensure!(heard(" init ") && heard(" steady"), "{}", done.stdout);
            let steady = done
                .stdout
                .lines()
                .any(|l| l.contains("node2") && l.contains("steady"));
            ensure!(
                steady && done.stdout.contains("2 of 2 nodes"),
                "node2 by the API alone: {}",
                done.stdout
            );
            Ok(())
        },
    );
    story.step("the server ends by itself", || server.wait(SHORT)?.ok());
    story.step("status and a second launch find it whole", || {
        wait_until("exit code 0", SHORT, || {
            others.run(&["status", makers.name()])?.ok()
        })?;
        let file = others.file.display().to_string();
        let again = others.run(&["launch", &file])?.ok()?;
        ensure!(
            again.stdout.contains("is ready already"),
            "{}",
            again.stdout
        );
        Ok(())
    });
    story.step("destroy forgets it, and its machines run on", || {
        let gone = others.run(&["destroy", makers.name(), "--yes"])?.ok()?;
        ensure!(gone.stdout.contains("they run on"), "{}", gone.stdout);
        ensure!(
            !others.dir().exists(),
            "{} is there",
            others.dir().display()
        );
        makers
            .node("node1")
            .sh("systemctl is-active ha-agent kubelet")
            .map(drop)
    });
    story.step("who made them removes them", || makers.destroy());
}

/// An error: the server gave none.
fn fetch_config(makers: &Cluster, url: &str, name: &str) -> Result<PathBuf> {
    let config = makers.dir().join(format!("{name}.ign"));
    let mut curl = makers.operator().command("curl");
    curl.args(["--fail", "--silent", "--show-error", "--output"]);
    curl.arg(&config).arg(url);
    run_to_end(curl, SHORT)?.ok()?;
    Ok(config)
}
