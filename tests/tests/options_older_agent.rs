//! An agent that does not know what its node file has: it is restarted for ever, and a launch says why, soon.

use std::time::{Duration, Instant};

use anyhow::ensure;
use ha_tests::cluster::Cluster;
use ha_tests::ignition::IgnitionConfig;
use ha_tests::lab::workspace_root;
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;

/// What a later ha-host may write into the node file, before the agent reads it for the first time.
const LATER: &str = "[Unit]
DefaultDependencies=no
After=local-fs.target
Before=ha-agent.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sed -i 's/^{/{\"ofLater\":1,/' /etc/ha-agent/node.json

[Install]
WantedBy=sysinit.target
";
/// A boot, and 20 s of silence.
const SOON: Duration = Duration::from_secs(60);

#[test]
#[ignore = "a further launch (half a minute): make test-options"]
fn a_launch_says_soon_that_an_agent_is_older_than_its_node_file() {
    let story = Story::new("options_older_agent");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("e2e-older-agent", 1, 0);
        let config = IgnitionConfig::default().unit("later.service", true, LATER);
        let dir = workspace_root().join("target/e2e");
        plan.merge.push(config.write(&dir, &plan.name)?);
        Cluster::new(plan)
    });
    story.step("launch ends with exit code 1 and the cause", || {
        let begun = Instant::now();
        let done = cluster.launch(&[])?.expect_exit_code(1)?;
        let took = begun.elapsed();
        for words in [
            "error: node1 (control plane): its agent refuses its node file",
            "its agent cannot use its node file: it may be of another release than this ha-host",
            "unknown field `ofLater`",
            "take the ha-agent sysext of this ha-host's release",
        ] {
            ensure!(done.stderr.contains(words), "{words}: {}", done.stderr);
        }
        ensure!(took < SOON, "after {took:?}");
        Ok(())
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}
