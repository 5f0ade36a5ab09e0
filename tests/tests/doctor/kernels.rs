//! What containers cannot show, since its kernel is their host's: swap, and a clock that is wrong.

use ha_tests::plan::MachineKind;
use ha_tests::scenario;

use super::*;

/// Three emulated machines on two processors look at themselves.
const EXAMINED: Duration = Duration::from_secs(240);
const SWAP: &str = "dd if=/dev/zero of=/var/e2e-swap bs=1M count=8 2>/dev/null && chmod 600 /var/e2e-swap && \
                    mkswap /var/e2e-swap >/dev/null && swapon /var/e2e-swap";
/// Nobody sets it right: there is no time server.
const AHEAD: &str = "date --set=@$(($(date +%s) + 120)) >/dev/null";

#[test]
#[ignore = "five minutes of emulation: make test-faults"]
fn swap_and_a_wrong_clock_are_named() {
    let story = Story::new("doctor, machines with kernels of their own");
    let cluster = story.step("the lab is there", || {
        let mut plan = scenario::balancer_plan("e2e-kernels", MachineKind::Qemu, 3)?;
        let settings = "kubeletConfig: {failSwapOn: true}";
        plan.network = Some(format!("proxy: nftables, cni: none, {settings}"));
        Cluster::new(plan)
    });
    let launch = scenario::every_node_boots(&story, &cluster);
    story.step("swap and a clock two minutes ahead are named", || {
        cluster.node("node2").sh(AHEAD)?;
        cluster.node("node3").sh(SWAP)?;
        wait_until("both are named", EXAMINED, || {
            let report = examined_within(&cluster, EXAMINED)?;
            let swap = [
                "/var/e2e-swap",
                "failSwapOn",
                "cat /proc/swaps",
                "swapoff -a",
            ];
            ensure_named(&report, Some("node3"), "swap", &swap)?;
            let clock = ["node2 is", "ahead", "timedatectl"];
            ensure_named(&report, None, "clock", &clock)
        })
    });
    story.step("the launch is interrupted, destroy leaves nothing", || {
        cluster.interrupt(&launch)?;
        cluster.end_launch(launch)?.expect_exit_code(130)?;
        cluster.destroy()
    });
}
