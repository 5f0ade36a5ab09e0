//! The VIP in another network than the nodes' own addresses, on an interface of its own there.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::health::nothing_is_wrong;
use ha_tests::ignition::IgnitionConfig;
use ha_tests::lab::workspace_root;
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;

const NAME: &str = "e2e-vip-interface";
/// A look at the whole cluster.
const LOOK: Duration = Duration::from_secs(60);
/// keepalived passes the VIP on.
const MOVES: Duration = Duration::from_secs(20);
/// In the clients' network, which is on the same segment as the nodes'.
const VIP: [u8; 4] = [10, 78, 0, 30];
/// A second interface, as a virtual machine gets one from its hypervisor.
const SECOND: &str = "[Unit]
Description=The interface to the clients' network
After=systemd-networkd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'until ip link add eth1 link eth0 type macvlan mode bridge; do sleep 0.2; done; \
  n=$(cat /proc/sys/kernel/hostname); ip address add 10.78.0.1$${n#node}/24 dev eth1; ip link set eth1 up'
[Install]
WantedBy=multi-user.target
";

fn vip_interface_plan() -> Result<ClusterPlan> {
    // Flatcar's own networkd asks for DHCP on whatever has no file of its own.
    let unmanaged = "[Match]\nName=eth1\n[Link]\nUnmanaged=yes\n";
    let config = IgnitionConfig::default()
        .unit("eth1.service", true, SECOND)
        .file("/etc/systemd/network/20-eth1.network", 0o644, unmanaged);
    let dir = workspace_root().join("target/e2e");
    Ok(ClusterPlan {
        vip: Some(IpAddr::from(VIP)),
        vip_interface: Some("eth1"),
        merge: vec![config.write(&dir, NAME)?],
        ..ClusterPlan::new(NAME, 2, 0)
    })
}

#[test]
#[ignore = "a launch of its own (a minute): make test-options"]
fn the_vip_is_on_an_interface_of_its_own() {
    let story = Story::new("options_vip_interface");
    let cluster = story.step("the lab is there", || Cluster::new(vip_interface_plan()?));
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    let holder = story.step("one node holds the VIP, on eth1", || {
        let holder = cluster.vip_holder()?;
        let seen = cluster
            .node(&holder)
            .sh("ip -o address show to 10.78.0.30")?;
        ensure!(
            seen.contains(" eth1 ") && !seen.contains(" eth0 "),
            "{seen}"
        );
        Ok(holder)
    });
    nothing_is_wrong(&story, &cluster, LOOK);
    story.step(
        &format!("{holder} loses its eth1 alone: the other one takes the VIP"),
        || {
            cluster.node(&holder).sh("ip link set eth1 down")?;
            wait_until("another holder", MOVES, || {
                cluster.vip_left(&holder)?;
                cluster.kube().all_ready()
            })
        },
    );
    story.step("destroy leaves nothing", || cluster.destroy());
}
