//! What every provider's machines must do, written once: boot from Ignition with merged system extensions, be heard
//! before their network is, carry the VIP, lose its holder, be found again, be gone after a destroy.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ha_wire::event::{Event, EventKind};
use ha_wire::{devices, paths};

use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::ignition::{IgnitionConfig, remote_sources};
use crate::plan::{ClusterPlan, MachineKind};
use crate::probe::Probe;
use crate::process::{FinishedProcess, RunningProcess};
use crate::story::Story;
use crate::web::{self, WebServer};

/// From power-on to the agent's first word, three machines at once under an emulator.
const BOOT: Duration = Duration::from_secs(240);
/// From a running agent to a VIP that answers; keepalived and haproxy start under an emulator.
const BALANCER: Duration = Duration::from_secs(180);
/// From a dead holder to the next one: the claim is half a second, an emulator may stall for more.
const MOVE: Duration = Duration::from_secs(60);
/// A look at machines that stand.
const LOOK: Duration = Duration::from_secs(120);
/// How long an agent waits before init or join: the scenarios below want the balancer alone.
const HOLD_STILL: &str = "hooks: {beforeJoin: [\"sleep 590\"]}\n";
/// How many system extensions a plan has.
const MERGED: &str =
    "systemd-sysext list --no-legend | wc -l; ls /usr/lib/extension-release.d | wc -l";

/// A plan whose nodes stop before Kubernetes begins and serve a page behind the VIP.
pub fn balancer_plan(name: &str, kind: MachineKind, control_planes: u8) -> Result<ClusterPlan> {
    let mut plan = ClusterPlan::new(name, control_planes, 0).on(kind);
    let dir = crate::lab::workspace_root().join("target/e2e");
    let config = web::with_server(IgnitionConfig::default());
    plan.merge.push(config.write(&dir, &format!("{name}-web"))?);
    // Three emulated machines on one host stall for longer than a third of a second.
    let advert = if kind.is_virtual() { "1s" } else { "100ms" };
    plan.more = web::extra_port_lines(advert) + HOLD_STILL;
    Ok(plan)
}

/// Starts a launch that is not waited for, and waits until every agent was heard by the host.
pub fn every_node_boots(story: &Story, cluster: &Cluster) -> RunningProcess {
    let begun = Instant::now();
    let launch = story.step("launch begins", || cluster.start_launch(&[]));
    let launch = story.step("every agent is heard by the host", || {
        let mut launch = launch;
        wait_until("every agent said hello", BOOT, || {
            // A launch that ended has said why; the error of the wait would hide it.
            if launch.has_ended()? {
                return Ok(());
            }
            every_agent_was_heard(cluster)
        })?;
        ensure!(!launch.has_ended()?, "launch ended: {}", launch.so_far());
        Ok(launch)
    });
    story.note(&format!(
        "launch to every agent's first word: {:.1} s",
        begun.elapsed().as_secs_f64()
    ));
    launch
}

/// Every agent has said hello to the host.
pub fn every_agent_was_heard(cluster: &Cluster) -> Result<()> {
    cluster.plan().nodes().iter().try_for_each(|(name, _, _)| {
        let events = cluster.node(name).events()?;
        let hello = |e: &Event| matches!(e.what, EventKind::Hello { .. });
        ensure!(events.iter().any(hello), "{name} is silent");
        Ok(())
    })
}

/// What Ignition and systemd-sysext must have done on first boot.
pub fn are_made_of_their_ignition(story: &Story, cluster: &Cluster) {
    for (name, _, address) in cluster.plan().nodes() {
        let node = cluster.node(&name);
        story.step(&format!("{name} is what its Ignition says"), || {
            let host = wait_until("it answers", LOOK, || node.sh("uname -n"))?;
            ensure!(host.trim() == name, "it is called {host}");
            ensure!(node.holds(address)?, "it does not hold {address}");
            let merged = node.sh(MERGED)?;
            let wanted = cluster.plan().sysexts.len().to_string();
            ensure!(
                merged.lines().all(|n| n.trim() == wanted),
                "{wanted} extensions wanted, found and merged are {merged}"
            );
            let mode = node.sh(&format!("stat -c %a {}", paths::NODE_FILE))?;
            ensure!(mode.trim() == "600", "its node file has mode {mode}");
            Ok(())
        });
    }
    if cluster.plan().kind.is_virtual() {
        let name = &cluster.control_planes()[0];
        let node = cluster.node(name);
        story.step("the agent speaks through its virtio port", || {
            // The agent opens and closes others meanwhile: one that is gone by then is none of ours.
            let open = node.sh(
                "for fd in /proc/$(systemctl show -P MainPID ha-agent)/fd/*; do readlink $fd || continue; done",
            )?;
            let port = node.sh(&format!("readlink -f {}", devices::EVENTS_PORT_DEVICE))?;
            ensure!(open.contains(port.trim()), "{port} is not open:\n{open}");
            Ok(())
        });
        story.step(
            "it had nothing to fetch: all extensions lie on a read-only disk",
            || has_nothing_to_fetch(cluster, name),
        );
    }
}

/// Its Ignition config names no other machine, and every merged extension is a file of the assets disk.
fn has_nothing_to_fetch(cluster: &Cluster, name: &str) -> Result<()> {
    let state = cluster.operator().state_of(cluster.name());
    let config = std::fs::read_to_string(state.join(format!("nodes/{name}.ign")))?;
    let remote = remote_sources(&config)?;
    ensure!(remote.is_empty(), "it fetches {remote:?}");
    let node = cluster.node(name);
    let mount = node.sh(&format!("findmnt -no SOURCE,OPTIONS {}", paths::ASSETS_DIR))?;
    ensure!(mount.contains("ro,"), "the assets disk is mounted {mount}");
    let files = node.sh("readlink -e /etc/extensions/*.raw")?;
    let on_disk = |path: &str| path.starts_with(&format!("{}/", paths::ASSETS_DIR));
    ensure!(
        files.lines().all(on_disk) && files.lines().count() == cluster.plan().sysexts.len(),
        "the extensions are {files}"
    );
    Ok(())
}

/// The VIP answers to the operator, and stays through a restart of networkd.
pub fn carries_the_vip(story: &Story, cluster: &Cluster) -> WebServer {
    let web = story.step("the VIP answers to the operator's machine", || {
        let web = WebServer::behind_the_vip(cluster)?;
        wait_until("a page comes from behind it", BALANCER, || web.node())?;
        Ok(web)
    });
    let holder = story.step("one node holds it", || cluster.vip_holder());
    let seen = story.step("a restart of its networkd does not take it away", || {
        let probe = Probe::of_target(web.clone());
        let node = cluster.node(&holder);
        node.sh("systemctl restart systemd-networkd && networkctl reload")?;
        ensure!(node.holds(cluster.plan().vip())?, "{holder} lost it");
        std::thread::sleep(Duration::from_secs(2));
        let seen = probe.stop()?;
        ensure!(cluster.vip_holder()? == holder, "it moved");
        Ok(seen)
    });
    story.note(&seen.to_string());
    web
}

/// The holder loses power: another one answers; it comes back: still one holder.
pub fn loses_the_holder(story: &Story, cluster: &Cluster, web: &WebServer) {
    let old = story.step("a look at the holder", || cluster.vip_holder());
    let seen = story.step(
        &format!("{old} loses power: the VIP moves and answers"),
        || {
            let probe = Probe::of_target(web.clone());
            std::thread::sleep(Duration::from_secs(1));
            cluster.node(&old).power("off")?;
            wait_until("another node holds it", MOVE, || {
                let holders = cluster.vip_holders()?;
                ensure!(
                    holders.len() == 1 && holders[0] != old,
                    "it is on {holders:?}"
                );
                web.node().context("the VIP")
            })?;
            std::thread::sleep(Duration::from_secs(2));
            probe.stop()
        },
    );
    story.note(&seen.to_string());
    story.step(&format!("{old} comes back with the same disk"), || {
        cluster.node(&old).power("on")?;
        wait_until("it answers", BOOT, || {
            cluster.node(&old).sh("systemctl is-active ha-agent")
        })?;
        let holders = cluster.vip_holders()?;
        ensure!(holders.len() == 1, "the VIP is on {holders:?}");
        web.node().map(drop)
    });
}

/// The holder is cut off: another one answers, and once it is let back there is one holder again.
pub fn is_partitioned(story: &Story, cluster: &Cluster, web: &WebServer) {
    let old = story.step("a look at the holder", || cluster.vip_holder());
    let seen = story.step(
        &format!("{old} is cut off: the VIP answers on the other side"),
        || {
            let probe = Probe::of_target(web.clone());
            std::thread::sleep(Duration::from_secs(1));
            cluster.node(&old).cut(true)?;
            wait_until("another node holds it, too", MOVE, || {
                let holders = cluster.vip_holders()?;
                ensure!(holders.iter().any(|h| *h != old), "it is on {holders:?}");
                web.node().context("the VIP")
            })?;
            std::thread::sleep(Duration::from_secs(2));
            probe.stop()
        },
    );
    story.note(&seen.to_string());
    let seen = story.step("let back, there is one holder, and the VIP answers", || {
        let probe = Probe::of_target(web.clone());
        cluster.node(&old).cut(false)?;
        wait_until("one holder", MOVE, || {
            let holders = cluster.vip_holders()?;
            ensure!(holders.len() == 1, "the VIP is on {holders:?}");
            web.node().map(drop)
        })?;
        // The network may go on asking the one that gave way.
        std::thread::sleep(Duration::from_secs(3));
        web.node()?;
        probe.stop()
    });
    story.note(&seen.to_string());
}

/// Ctrl-C ends a launch and leaves the machines; a second launch, status and logs find them.
pub fn are_found_again(story: &Story, cluster: &Cluster, launch: RunningProcess) {
    story.step("Ctrl-C ends the launch with exit code 130", || {
        cluster.interrupt(&launch)?;
        cluster.end_launch(launch)?.expect_exit_code(130)
    });
    story.step("another launch finds the machines as they are", || {
        let boots = |cluster: &Cluster| -> Result<Vec<String>> {
            let nodes = cluster.plan().nodes();
            nodes.iter().map(|n| cluster.node(&n.0).boot()).collect()
        };
        let before = boots(cluster)?;
        let done = cluster.ha_host(
            &[
                "launch",
                &cluster.file().display().to_string(),
                "--timeout",
                "5s",
            ],
            BOOT,
        )?;
        let done = done.expect_exit_code(3)?;
        ensure!(
            boots(cluster)? == before,
            "a machine was made anew: {}",
            done.stdout
        );
        Ok(())
    });
    let name = cluster.control_planes()[0].clone();
    story.step("logs shows the agent's journal", || {
        let args = ["logs", cluster.name(), &name, "--unit", "ha-agent"];
        let done = cluster.ha_host(&args, LOOK).and_then(FinishedProcess::ok)?;
        ensure!(done.stdout.contains("ha-agent"), "{}", done.stdout);
        Ok(())
    });
}
