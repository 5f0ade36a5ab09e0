//! The balancer of settled control planes: when haproxy hangs, when a holder leads nowhere, when a partition heals, and after all
//! of them were started anew, one without its container runtime and one without its node file.

use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::hung_haproxy::{haproxy_hangs, haproxy_hangs_for_good};
use ha_tests::plan::{API_PORT, ClusterPlan};
use ha_tests::probe::asked_meanwhile;
use ha_tests::story::Story;
use ha_wire::paths;
use ha_wire::status::PhaseState;

/// From a fault to a VIP that somebody else holds, with the agent's patience.
const MOVED: Duration = Duration::from_secs(40);
/// A control plane's way back after a start, on two busy cores.
const BACK: Duration = Duration::from_secs(180);
/// A cut-off holder stays so for a moment after the others answer.
const MOMENT: Duration = Duration::from_secs(2);

/// The container runtime never starts again.
const BROKEN_RUNTIME: &str = "mkdir -p /etc/systemd/system/containerd.service.d
printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' > /etc/systemd/system/containerd.service.d/99-broken.conf";

#[test]
fn settled_control_planes_keep_a_vip_whatever_else_is_wrong() {
    let story = Story::new("settled balancer");
    let cluster = story.step("the lab is there", || {
        // Each node's disk is a file system of its own, which can be full.
        let mut plan = ClusterPlan::new("e2e-balancer", 3, 0);
        plan.losing_page_cache = true;
        Cluster::new(plan)
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    haproxy_hangs(&story, &cluster);
    haproxy_hangs_for_good(&story, &cluster);
    a_partition_heals(&story, &cluster);
    a_holder_leads_nowhere(&story, &cluster);
    have_full_disks(&story, &cluster);
    are_started_anew(&story, &cluster);
    serves_without_an_agent(&story, &cluster, "node3");
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn a_partition_heals(story: &Story, cluster: &Cluster) {
    let seen = story.step("the holder is cut off, then the partition heals", || {
        let holder = cluster.vip_holder()?;
        let node = cluster.node(&holder);
        node.cut(true)?;
        wait_until("the others answer", MOVED, || {
            cluster.client()?.ready(cluster.endpoint())
        })?;
        std::thread::sleep(MOMENT);
        let seen = asked_meanwhile(cluster, || node.cut(false))?;
        cluster.vip_holder()?;
        Ok(seen)
    });
    story.note(&seen.to_string());
}

fn a_holder_leads_nowhere(story: &Story, cluster: &Cluster) {
    let rule =
        |order: &str| format!("iptables -w {order} OUTPUT -p tcp --dport {API_PORT} -j DROP");
    story.step(
        "the holder reaches no apiserver: a peer takes the VIP",
        || {
            let holder = cluster.vip_holder()?;
            let node = cluster.node(&holder);
            node.sh(&rule("-I"))?;
            let moved = wait_until("another holder", MOVED, || cluster.vip_left(&holder));
            node.sh(&rule("-D"))?;
            moved?;
            wait_until("it may hold it again", MOVED, || {
                let word = node.read(paths::HEALTH_FILE)?;
                ensure!(word == "0\n", "it says {word:?}");
                Ok(())
            })
        },
    );
}

/// What is kept for root too; allocated, so nothing of it is written to this machine's disk.
const FILL_DISK: &str = "i=0
for size in 1G 128M 16M 1M 64K 4K; do
  while fallocate -l $size /var/lib/kubelet/full-$i 2>/dev/null; do i=$((i + 1)); done
done
if echo word 2>/dev/null > /var/lib/kubelet/full-test; then echo 'the disk is not full'; exit 1; fi";

/// etcd may refuse to start without space; the VIP is none of its business.
fn have_full_disks(story: &Story, cluster: &Cluster) {
    let planes = cluster.control_planes();
    story.step(
        "with full disks, rebooted one after the other, they keep a VIP",
        || {
            for name in &planes {
                cluster.node(name).sh(FILL_DISK)?;
            }
            for name in &planes {
                starts_anew(cluster, name)?;
                runs_its_balancer(cluster, name)?;
                wait_until("one holder", MOVED, || cluster.vip_holder())?;
            }
            Ok(())
        },
    );
    story.step("with space again each serves as before", || {
        for name in &planes {
            // A lab node's overlay came up read-only over its full disk.
            cluster.node(name).sh("rm /var/lib/kubelet/full-*")?;
            starts_anew(cluster, name)?;
        }
        (0..planes.len()).try_for_each(|which| apiserver_is_back(cluster, which))
    });
}

fn runs_its_balancer(cluster: &Cluster, name: &str) -> Result<()> {
    let active = || {
        cluster
            .node(name)
            .sh("systemctl is-active haproxy keepalived")
    };
    wait_until(&format!("{name}'s units"), BACK, active).map(drop)
}

/// One after the other, each as soon as the apiserver of the one before it answers again.
fn are_started_anew(story: &Story, cluster: &Cluster) {
    story.step("node1 is started anew: its apiserver is back", || {
        starts_anew(cluster, "node1")?;
        apiserver_is_back(cluster, 0)
    });
    story.step("node3 too, with a node file that nobody can read", || {
        let damage = format!("echo damaged > {}", paths::NODE_FILE);
        cluster.node("node3").sh(&damage)?;
        starts_anew(cluster, "node3")?;
        apiserver_is_back(cluster, 2)
    });
    story.step("node2 too, with a broken container runtime", || {
        cluster.node("node2").sh(BROKEN_RUNTIME)?;
        starts_anew(cluster, "node2")
    });
    story.step(
        "haproxy and keepalived run everywhere, one node holds the VIP",
        || {
            for name in cluster.control_planes() {
                runs_its_balancer(cluster, &name)?;
            }
            wait_until("the VIP answers", BACK, || {
                cluster.client()?.ready(cluster.endpoint())
            })?;
            cluster.vip_holder().map(drop)
        },
    );
    story.step("node2 says that something is wrong with it", || {
        wait_until("a degraded node", BACK, || {
            let (status, _) = cluster.node("node2").status()?;
            ensure!(status.state == PhaseState::Degraded, "{status:?}");
            Ok(())
        })
    });
}

/// Without power for a moment: an orderly end of the machine is another matter.
fn starts_anew(cluster: &Cluster, name: &str) -> Result<()> {
    // What a test changed before is not to be lost with the power.
    cluster.node(name).sh("sync")?;
    cluster.node(name).power("off")?;
    cluster.node(name).power("on")
}

fn apiserver_is_back(cluster: &Cluster, which: usize) -> Result<()> {
    let server = cluster.apiservers()[which];
    wait_until("its apiserver", BACK, || cluster.client()?.ready(server))
}

/// keepalived and haproxy alone, from the files on its disk.
fn serves_without_an_agent(story: &Story, cluster: &Cluster, name: &str) {
    let what = format!("{name} has no agent, and takes the VIP when nobody else can");
    story.step(&what, || {
        for other in cluster.control_planes().iter().filter(|n| *n != name) {
            let node = cluster.node(other);
            node.sh("systemctl mask --runtime --now keepalived 2>&1")?;
        }
        wait_until("its VIP answers", MOVED, || {
            let holders = cluster.vip_holders()?;
            ensure!(holders == [name], "{holders:?} hold it");
            cluster.client()?.ready(cluster.endpoint())
        })
    });
}
