//! `provider: none` with `ssh.authorizedKeys`: the operator's own ssh, its agent and a real sshd on machines that somebody else makes.
//! Each phase is heard that way, and so are `logs` and `doctor`.

use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::lab::Lab;
use ha_tests::others::{Others, told_phase};
use ha_tests::plan::ClusterPlan;
use ha_tests::process::{RunningProcess, run_to_end};
use ha_tests::story::Story;

/// What takes a moment.
const SHORT: Duration = Duration::from_secs(30);
/// A launch from the first config to the last Ready.
const LAUNCH: Duration = Duration::from_secs(300);
/// The operator's key.
const KEY: &str = "operator-key";

#[test]
#[ignore = "a launch of its own: make test-options"]
fn a_launch_hears_every_phase_by_ssh() {
    let story = Story::new("ssh");
    let dir = tempfile::tempdir().expect("a directory for the key");
    let key = dir.path().join(KEY);
    let public = story.step("the operator has a key", || {
        let mut make = std::process::Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        run_to_end(make, SHORT)?.ok()?;
        Ok(std::fs::read_to_string(key.with_extension("pub"))?)
    });
    let makers = story.step("the lab is there", || {
        let sshd = Lab::default().part("sshd").join("sshd.raw");
        ensure!(
            sshd.exists(),
            "no sshd in the lab: make test-options makes it"
        );
        let mut plan = ClusterPlan::new("e2e-ssh", 1, 1).with_extension("sshd", sshd);
        plan.more = format!("ssh: {{authorizedKeys: [\"{}\"]}}\n", public.trim());
        Cluster::new(plan)
    });
    let socket = dir.path().join("agent").display().to_string();
    let _agent = story.step("an agent has it", || {
        start_ssh_agent(&socket, &key.display().to_string())
    });
    let others = story.step("somebody else has a cluster file, too", || {
        let others = Others::new(&makers)?.with_env("SSH_AUTH_SOCK", &socket);
        others.have_a_maker()?;
        Ok(others)
    });
    let launch = story.step("launch waits for the machines", || others.launch("300s"));
    for node in ["node1", "node2"] {
        story.step(&format!("{node} is booted with its config"), || {
            makers.remake(node, &others.dir().join(format!("nodes/{node}.ign")))
        });
    }
    let done = story.step("the launch ends well", || launch.wait(LAUNCH)?.ok());
    story.step("logs shows a worker's agent", || {
        let said = others.run(&["logs", makers.name(), "node2"])?.ok()?;
        ensure!(said.stdout.contains("ha-agent"), "{}", said.stdout);
        Ok(())
    });
    story.step("doctor asks each node, and finds nothing", || {
        wait_until("exit code 0", SHORT, || {
            others.run(&["doctor", makers.name()])?.ok()
        })
    });
    story.step("each phase of both was heard", || {
        for (node, phase) in [("node1", "init"), ("node2", "join")] {
            let said = &done.stdout;
            ensure!(told_phase(said, node, phase), "{node} {phase}: {said}");
        }
        Ok(())
    });
    story.step("a machine with another host key is not talked to", || {
        makers
            .node("node2")
            .sh("rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart lab-sshd")?;
        wait_until("ssh's words", SHORT, || {
            let refused = others.run(&["logs", makers.name(), "node2"])?;
            let words = refused.expect_exit_code(255)?.stderr;
            ensure!(words.contains("known_hosts"), "no remedy in: {words}");
            Ok(())
        })
    });
    story.step("destroy forgets it", || {
        others.run(&["destroy", makers.name(), "--yes"])?.ok()
    });
    story.step("who made them removes them", || makers.destroy());
}

/// ssh-agent at this socket, with this key.
fn start_ssh_agent(socket: &str, key: &str) -> Result<RunningProcess> {
    let mut agent = std::process::Command::new("ssh-agent");
    agent.args(["-D", "-a", socket]);
    let agent = RunningProcess::start(agent)?;
    wait_until("it takes the key", SHORT, || {
        let mut add = std::process::Command::new("ssh-add");
        add.args(["-q", key]).env("SSH_AUTH_SOCK", socket);
        run_to_end(add, SHORT)?.ok()
    })?;
    Ok(agent)
}
