//! `network.bond` and `network.vlan` as systemd-networkd makes them at a real boot: a machine whose VLAN is on a bond of two cables,
//! beside one whose same VLAN is on its only cable. The machines are made of what `provider: none` renders, by another ha-host with
//! QEMU, whose machines know nothing of bonds and VLANs.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::cables;
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::ignition::{IgnitionConfig, links_in_config};
use ha_tests::plan::{ClusterPlan, MachineKind, VIP};
use ha_tests::scenario;
use ha_tests::story::Story;
use ha_tests::web;
use ha_wire::event::EventKind;
use ha_wire::phase::Phase;
use ha_wire::{devices, paths};

const NAME: &str = "e2e-links";
/// The cluster of those who make no machines.
const OTHERS: &str = "e2e-links-of-others";
const BONDED: &str = "node1";
const PLAIN: &str = "node2";
/// What the node with a bond has beside the others, as the makers' file says.
const SECOND_CABLE: &str = ", interfaces: [{mac: \"52:54:00:77:01:01\"}]";
/// What the other's only cable is found by.
const FOUND_BY: &str = "mac: \"52:54:00:77:02:00\"";
const VLAN: u16 = 20;
/// Both networks, before what they have in common with the makers'.
const OF_A_BOND: &str =
    "interface: vlan20, mtu: 9000, bond: {members: [eth0, eth1]}, vlan: {id: 20, link: bond0}, ";
const OF_A_CABLE: &str = "interface: vlan20, mtu: 9000, vlan: {id: 20, link: uplink}, ";
/// Files are written.
const SHORT: Duration = Duration::from_secs(60);
/// From power-on to the agent's first word, two machines at once under an emulator.
const BOOT: Duration = Duration::from_secs(240);
/// keepalived and haproxy start under an emulator, or pass the VIP on.
const BALANCER: Duration = Duration::from_secs(180);
/// The kernel looks at the cables ten times a second; an emulated look at it takes seconds.
const LOOK: Duration = Duration::from_secs(60);

#[test]
#[ignore = "two emulated machines (three minutes): make test-options"]
fn a_vlan_is_on_a_bond_or_on_a_cable() {
    let story = Story::new("options_links");
    let cluster = story.step("the lab is there", || Cluster::new(links_plan()?));
    story.step("the machines boot with the configs of others", || {
        are_made(&cluster)
    });
    story.step("every agent is heard, and content with its machine", || {
        wait_until("preflight is done", BOOT, || {
            scenario::every_agent_was_heard(&cluster)?;
            [BONDED, PLAIN]
                .iter()
                .try_for_each(|node| is_fit(&cluster, node))
        })
    });
    are_linked(&story, &cluster);
    carry_the_vip(&story, &cluster);
    loses_cables(&story, &cluster);
    story.step("destroy leaves nothing", || {
        forget_others(&cluster)?;
        cluster.destroy()
    });
}

fn links_plan() -> Result<ClusterPlan> {
    let mut plan = scenario::balancer_plan(NAME, MachineKind::Qemu, 2)?;
    let second = SECOND_CABLE.trim_start_matches(", ").to_owned();
    plan.node_keys = [(BONDED, second), (PLAIN, FOUND_BY.to_owned())].into();
    Ok(plan)
}

fn are_made(cluster: &Cluster) -> Result<()> {
    forget_others(cluster)?;
    // Who makes the machines has a place for them, and a disk with the system extensions.
    let of_makers = fs::read_to_string(render_config(cluster, cluster.file(), "makers", PLAIN)?)?;
    let disk = with_disk(&of_makers)?.write(cluster.dir(), "disk")?;
    for (node, network) in [(BONDED, OF_A_BOND), (PLAIN, OF_A_CABLE)] {
        let file = cluster.dir().join(format!("{node}.yaml"));
        fs::write(&file, text_of_others(cluster, network, &disk)?)?;
        let config = render_config(cluster, &file, "others", node)?;
        cluster.remake(node, &config)?;
    }
    cables::join_segments(cluster)?;
    // Before its kernel looks.
    cables::set_cable(cluster, BONDED, 0, false)
}

/// The makers' file, as it is for those who make no machines.
fn text_of_others(cluster: &Cluster, network: &str, disk: &Path) -> Result<String> {
    let text = fs::read_to_string(cluster.file())?;
    let provider = text.lines().find(|line| line.starts_with("provider:"));
    let merged = format!("merge: [{}, ", disk.display());
    Ok(text
        .replace(provider.context("no provider")?, "provider: none")
        .replace(&format!("name: {NAME}\n"), &format!("name: {OTHERS}\n"))
        .replace("network: {prefix", &format!("network: {{{network}prefix"))
        .replace(SECOND_CABLE, "")
        .replace("merge: [", &merged))
}

/// A node's config, rendered from this file.
fn render_config(cluster: &Cluster, file: &Path, out: &str, node: &str) -> Result<PathBuf> {
    let state = cluster.operator().state_of(NAME);
    // Where the operator may write.
    let out = state.ancestors().nth(2).context("no directory")?.join(out);
    let (file, to) = (file.display().to_string(), out.display().to_string());
    cluster
        .ha_host(&["render", &file, "--out", &to, "--force"], SHORT)?
        .ok()?;
    Ok(out.join(format!("{node}.ign")))
}

/// Puts the images of the makers' disk where `provider: none` leaves them to whoever makes machines.
fn with_disk(of_makers: &str) -> Result<IgnitionConfig> {
    let (device, place) = (devices::ASSETS_DEVICE, paths::ASSETS_DIR);
    let mount = format!(
        "[Unit]\nDefaultDependencies=no\nBefore=local-fs.target systemd-sysext.service\n\
         [Mount]\nWhat={device}\nWhere={place}\nType=ext4\nOptions=ro\n[Install]\nRequiredBy=local-fs.target\n"
    );
    let mut config = IgnitionConfig::default().unit("run-ha\\x2dassets.mount", true, &mount);
    for (link, image) in links_in_config(of_makers)? {
        let name = link.strip_prefix("/etc/extensions/");
        let name = name.and_then(|name| name.strip_suffix(".raw"));
        let file = image.strip_prefix(&format!("{place}/"));
        if let (Some(name), Some(file)) = (name, file) {
            config = config.link(&format!("/opt/extensions/{name}/{file}"), &image);
        }
    }
    Ok(config)
}

fn forget_others(cluster: &Cluster) -> Result<()> {
    if cluster.operator().state_of(OTHERS).exists() {
        cluster
            .ha_host(&["destroy", OTHERS, "--yes"], SHORT)?
            .ok()?;
    }
    Ok(())
}

fn is_fit(cluster: &Cluster, node: &str) -> Result<()> {
    let events = cluster.node(node).events()?;
    let is_done = |what: &EventKind| matches!(what, EventKind::Done { phase, .. } if *phase == Phase::Preflight);
    let said = events.iter().any(|event| is_done(&event.what));
    ensure!(said, "{node} says {:?}", events.last());
    Ok(())
}

fn are_linked(story: &Story, cluster: &Cluster) {
    story.step(
        "it has booted with one cable; the other one joins the bond",
        || {
            let bond = Bond::of(cluster)?;
            ensure!(
                bond.is_active_backup() && !bond.is_up("eth0") && bond.is_up("eth1"),
                "{}",
                bond.0
            );
            let waits = "systemctl is-active systemd-networkd-wait-online";
            cluster.node(BONDED).sh(waits)?;
            cables::set_cable(cluster, BONDED, 0, true)?;
            is_told_so_eventually(cluster)
        },
    );
    for (node, links, below) in [
        (BONDED, &["eth0", "eth1", "bond0"][..], "bond0"),
        (PLAIN, &["uplink"], "uplink"),
    ] {
        story.step(
            &format!("{node}: VLAN 20 of {below} has the address, and nothing else has one"),
            || is_told_so(cluster, node, links, below),
        );
    }
    story.step("frames of 9000 bytes pass between the two", || {
        let [bonded, _] = node_addresses(cluster)?;
        let ping = format!("ping -c 3 -W 5 -M do -s 8972 {bonded}");
        cluster.node(PLAIN).sh(&ping).map(drop)
    });
    story.step("on each cable all frames are tagged", || {
        let [bonded, _] = node_addresses(cluster)?;
        for (node, nic) in [(BONDED, Bond::of(cluster)?.active_nic()?), (PLAIN, 0)] {
            let frames = cables::capture_frames(cluster, node, nic, || {
                fetch_page(cluster, PLAIN, bonded, web::TARGET).map(drop)
            })?;
            let other = frames
                .iter()
                .find(|frame| cables::vlan_of(frame) != Some(VLAN));
            ensure!(other.is_none(), "{node}: {:02x?}", other);
            ensure!(frames.len() > 5, "{node}: {} frames", frames.len());
        }
        Ok(())
    });
}

/// `links` are its interfaces below the VLAN, which is on `below`.
fn is_told_so(cluster: &Cluster, node: &str, links: &[&str], below: &str) -> Result<()> {
    let node = cluster.node(node);
    let vlan =
        node.sh("ip -d -o link show dev vlan20; systemctl is-active network-online.target")?;
    for words in [
        &format!("vlan20@{below}: "),
        "protocol 802.1Q id 20 ",
        " mtu 9000 ",
        "\nactive\n",
    ] {
        ensure!(vlan.contains(words), "no `{words}`: {vlan}");
    }
    for link in links {
        let shown = node.sh(&format!("ip -o link show dev {link}"))?;
        ensure!(shown.contains(" mtu 9000 "), "{shown}");
    }
    let held = node.sh("ip -o address show")?;
    let mut holders = held
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1));
    ensure!(
        holders.all(|name| ["lo", "vlan20"].contains(&name)),
        "{held}"
    );
    let states = node.sh("networkctl list --no-pager --no-legend")?;
    ensure!(
        !states.contains("failed") && !states.contains("configuring"),
        "{states}"
    );
    Ok(())
}

fn carry_the_vip(story: &Story, cluster: &Cluster) {
    story.step("the one with the bond holds the VIP, on its VLAN", || {
        wait_until("it holds it", BALANCER, || {
            if cluster.vip_holder()? == PLAIN {
                cluster.node(PLAIN).sh("systemctl restart keepalived")?;
            }
            holds_alone(cluster, BONDED)
        })?;
        let shown = cluster
            .node(BONDED)
            .sh(&format!("ip -o address show to {VIP}"))?;
        ensure!(shown.contains(" vlan20 "), "{shown}");
        Ok(())
    });
    story.step("the other one has a page from behind it", || {
        wait_until("a page", BALANCER, || {
            fetch_page(cluster, PLAIN, VIP.into(), web::PORT)
        })
    });
    story.step("a restart of its networkd takes nothing away", || {
        let networkd = "systemctl restart systemd-networkd && networkctl reload";
        cluster.node(BONDED).sh(networkd)?;
        is_told_so_eventually(cluster)?;
        holds_alone(cluster, BONDED)
    });
}

fn loses_cables(story: &Story, cluster: &Cluster) {
    let answered = story.step("one cable of the bond is pulled: the VIP stays", || {
        loses_the_active_cable(cluster)
    });
    story.note(&format!(
        "of 100 pings in twenty seconds {answered} were answered"
    ));
    story.step("both are out: the VIP goes to the other one", || {
        [0, 1]
            .iter()
            .try_for_each(|nic| cables::set_cable(cluster, BONDED, *nic, false))?;
        wait_until("it has moved", BALANCER, || holds_alone(cluster, PLAIN))
    });
    story.step("both are in again: so is the node", || {
        [0, 1]
            .iter()
            .try_for_each(|nic| cables::set_cable(cluster, BONDED, *nic, true))?;
        is_told_so_eventually(cluster)?;
        let [bonded, _] = node_addresses(cluster)?;
        wait_until("it is reached", LOOK, || {
            fetch_page(cluster, PLAIN, bonded, web::TARGET)
        })?;
        holds_alone(cluster, PLAIN)
    });
}

/// How many pings of the other node were answered meanwhile.
fn loses_the_active_cable(cluster: &Cluster) -> Result<usize> {
    let [bonded, _] = node_addresses(cluster)?;
    let nic = Bond::of(cluster)?.active_nic()?;
    let ping = format!("ping -c 100 -i 0.2 -W 1 {bonded}");
    let said = std::thread::scope(|scope| {
        let pinging = scope.spawn(|| cluster.node(PLAIN).sh(&ping));
        let pings = || cluster.node(PLAIN).sh("pgrep -x ping");
        wait_until("it pings", LOOK, pings)?;
        cables::set_cable(cluster, BONDED, nic, false)?;
        pings().context("it has ended before")?;
        pinging
            .join()
            .map_err(|_| anyhow::anyhow!("the pinging thread panicked"))?
    })?;
    let (lost, bond) = (format!("eth{nic}"), Bond::of(cluster)?);
    ensure!(
        !bond.is_up(&lost) && bond.active_nic()? != nic,
        "{}",
        bond.0
    );
    let answered = said.matches(" ttl=").count();
    ensure!(answered >= 90, "{said}");
    holds_alone(cluster, BONDED)?;
    fetch_page(cluster, PLAIN, VIP.into(), web::PORT)?;
    cables::set_cable(cluster, BONDED, nic, true)?;
    is_told_so_eventually(cluster)?;
    Ok(answered)
}

fn is_told_so_eventually(cluster: &Cluster) -> Result<()> {
    wait_until("the bond and its VLAN are whole", LOOK, || {
        let bond = Bond::of(cluster)?;
        ensure!(bond.is_up("eth0") && bond.is_up("eth1"), "{}", bond.0);
        is_told_so(cluster, BONDED, &["eth0", "eth1", "bond0"], "bond0")
    })
}

fn holds_alone(cluster: &Cluster, node: &str) -> Result<()> {
    let holders = cluster.vip_holders()?;
    ensure!(holders == [node], "the VIP is on {holders:?}");
    Ok(())
}

fn node_addresses(cluster: &Cluster) -> Result<[IpAddr; 2]> {
    let nodes = cluster.plan().nodes().into_iter();
    let all: Vec<IpAddr> = nodes.map(|(_, _, address)| address).collect();
    all.try_into().ok().context("two nodes")
}

/// Which node answers there to this one: the operator is not on the VLAN.
fn fetch_page(cluster: &Cluster, from: &str, at: IpAddr, port: u16) -> Result<String> {
    let curl = format!("curl --silent --show-error --fail --max-time 5 http://{at}:{port}/");
    cluster.node(from).sh(&curl)
}

/// What the kernel says of the bond.
struct Bond(String);

impl Bond {
    fn of(cluster: &Cluster) -> Result<Self> {
        cluster
            .node(BONDED)
            .read("/proc/net/bonding/bond0")
            .map(Self)
    }

    fn is_active_backup(&self) -> bool {
        self.0
            .contains("Bonding Mode: fault-tolerance (active-backup)\n")
    }

    fn is_up(&self, member: &str) -> bool {
        let mut members = self.0.split("Slave Interface: ").skip(1);
        let own = members.find(|words| words.starts_with(&format!("{member}\n")));
        own.is_some_and(|words| words.contains("MII Status: up\n"))
    }

    /// The number of the interface that carries it now.
    fn active_nic(&self) -> Result<u8> {
        let after = self.0.split("Currently Active Slave: eth").nth(1);
        let digit = after.and_then(|rest| rest.lines().next()?.parse().ok());
        digit.with_context(|| format!("no active member: {}", self.0))
    }
}
