//! The cluster's network: a bridge in a namespace of its own, a namespace per node, one cable to this host.
//!
//! "This host" is the network namespace that ha-host runs in, whichever that is. Its end of the cable carries the gateway's
//! address as a /32 and one route per address of the cluster; nothing else of the host's network changes, and nothing is
//! forwarded.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use ha_cluster_file::cluster::Cluster;
use ha_host_base::command::{run_for_stdout, run_with_input};
use nix::sys::statfs::{FsType, statfs};
use serde::Deserialize;

use super::layout::{Layout, NETNS_DIR, Wiring};
use crate::shared::this_boot::{read_of_this_boot, write_for_this_boot};

/// The bridge in its namespace.
const BRIDGE: &str = "br0";
/// The bridge's end of the cable to the host.
const UPLINK: &str = "to-host";
/// The file system of mounted namespaces ("nsfs" in ASCII).
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);
/// What the record says before the namespace has an inode.
const PENDING: &str = "pending";

/// What all nodes share.
#[derive(Debug, Clone)]
pub struct Segment {
    layout: Layout,
    /// One of each family that the cluster has.
    gateways: Vec<IpAddr>,
    addresses: Vec<IpAddr>,
}

/// Whose the namespace with our name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceOwner {
    Nobody,
    /// This state directory made it.
    Us,
    Other,
}

impl Segment {
    /// The segment of a cluster.
    pub fn new(layout: &Layout, cluster: &Cluster) -> Self {
        let nodes = cluster.nodes.iter().flat_map(|node| node.addresses());
        // A balancer of somebody else's may stand in this segment, too; a VIP in another network is passed on here.
        let endpoint = cluster.endpoint.addresses().filter(|address| {
            cluster.network.cidr.contains(address) || cluster.own_vip() == Some(*address)
        });
        Self {
            layout: layout.clone(),
            gateways: cluster
                .node_networks()
                .map(|(_, gateway)| gateway)
                .collect(),
            addresses: nodes.chain(endpoint).collect(),
        }
    }

    /// Makes what is missing.
    pub fn make(&self) -> Result<()> {
        let (space, link) = (self.layout.bridge_namespace(), self.layout.host_link());
        match self.owner() {
            NamespaceOwner::Other => bail!(
                "the network namespace {space} exists, but this state directory did not make it; give your cluster \
                 another name; if nobody needs the one it belongs to, destroy that one, or remove it with `ip netns del {space}`"
            ),
            NamespaceOwner::Us => {}
            NamespaceOwner::Nobody => self.claim(&space)?,
        }
        if !link_exists(Some(&space), BRIDGE)? {
            let lines = format!(
                "link set lo up\nlink add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
                 link set {BRIDGE} up\n"
            );
            run_ip_batch(Some(&space), &lines)?;
        }
        if !link_exists(None, &link)? {
            run_ip_batch(
                None,
                &format!("link add {link} type veth peer name {UPLINK} netns {space}\n"),
            )?;
            run_ip_batch(
                Some(&space),
                &format!("link set {UPLINK} master {BRIDGE} up\n"),
            )?;
        }
        run_ip_batch(None, &self.host_side(&link))?;
        forbid_forwarding(&link)
    }

    /// Removes the segment, if it is ours.
    pub fn remove(&self) -> Result<()> {
        let space = self.layout.bridge_namespace();
        let owner = self.owner();
        // Deleting one end takes both at once; with the namespace alone the kernel takes its time.
        if owner == NamespaceOwner::Us && link_exists(Some(&space), UPLINK)? {
            run_for_stdout(ip_command(Some(&space)).args(["link", "del", UPLINK]))?;
        }
        if owner != NamespaceOwner::Other && Path::new(NETNS_DIR).join(&space).exists() {
            run_for_stdout(ip_command(None).args(["netns", "del", &space]))?;
        }
        match std::fs::remove_file(self.layout.network_record()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| {
                    format!("cannot remove {}", self.layout.network_record().display())
                })
            }
            _ => Ok(()),
        }
    }

    /// Whose the namespace with our name is.
    pub fn owner(&self) -> NamespaceOwner {
        bridge_owner(
            &self.layout.bridge_namespace(),
            &self.layout.network_record(),
        )
    }

    /// Says that the namespace will be ours before it exists, and which one it is as soon as it does.
    fn claim(&self, space: &str) -> Result<()> {
        let record = self.layout.network_record();
        if Path::new(NETNS_DIR).join(space).exists() {
            run_for_stdout(ip_command(None).args(["netns", "del", space]))?;
        }
        write_for_this_boot(&record, PENDING)?;
        run_for_stdout(ip_command(None).args(["netns", "add", space]))?;
        let path = Path::new(NETNS_DIR).join(space);
        let inode = std::fs::metadata(&path)
            .with_context(|| format!("cannot look at {}", path.display()))?
            .ino();
        write_for_this_boot(&record, &inode.to_string())
    }

    /// The host's addresses and routes, as `ip -batch` reads them.
    fn host_side(&self, link: &str) -> String {
        let mut lines = String::new();
        for gateway in &self.gateways {
            let (length, options) = match gateway {
                IpAddr::V4(_) => (32, ""),
                IpAddr::V6(_) => (128, " nodad"),
            };
            lines += &format!("addr replace {gateway}/{length} dev {link}{options}\n");
        }
        lines += &format!("link set {link} up\n");
        for address in &self.addresses {
            let of_its_kind = |at: &&IpAddr| at.is_ipv4() == address.is_ipv4();
            let Some(gateway) = self.gateways.iter().find(of_its_kind) else {
                continue;
            };
            lines += &match gateway {
                IpAddr::V4(gateway) => {
                    format!("route replace {address}/32 dev {link} scope link src {gateway}\n")
                }
                IpAddr::V6(gateway) => {
                    format!("route replace {address}/128 dev {link} src {gateway}\n")
                }
            };
        }
        lines
    }
}

/// Whose the cluster's network is.
pub fn bridge_owner(bridge: &str, record: &Path) -> NamespaceOwner {
    namespace_owner(&Path::new(NETNS_DIR).join(bridge), record)
}

/// Whose a mounted namespace is, by what this state directory wrote down.
fn namespace_owner(path: &Path, record: &Path) -> NamespaceOwner {
    let Ok(space) = std::fs::metadata(path) else {
        return NamespaceOwner::Nobody;
    };
    // A plain file is what an earlier boot left where /run survives one.
    if statfs(path).is_ok_and(|fs| fs.filesystem_type() != NSFS_MAGIC) {
        return NamespaceOwner::Nobody;
    }
    match read_of_this_boot(record) {
        Some(known) if known == PENDING || known == space.ino().to_string() => NamespaceOwner::Us,
        _ => NamespaceOwner::Other,
    }
}

/// Gives a node a namespace without a past and a cable: a machine that was off remembers no address.
pub fn connect_node(wiring: &Wiring) -> Result<()> {
    disconnect_node(wiring)?;
    let Wiring {
        record,
        bridge,
        namespace,
        port,
        interface,
        mac,
    } = wiring;
    if bridge_owner(bridge, record) != NamespaceOwner::Us {
        bail!("the cluster's network {bridge} is gone; `ha-host launch` makes it again");
    }
    run_for_stdout(ip_command(None).args(["netns", "add", namespace]))?;
    let lines = format!(
        "link add {port} type veth peer name {interface} address {mac} netns {namespace}\n\
         link set {port} master {BRIDGE} up\n"
    );
    run_ip_batch(Some(bridge), &lines)
}

/// Takes cable and namespace away.
pub fn disconnect_node(wiring: &Wiring) -> Result<()> {
    // One end takes the other along at once; a namespace alone goes when the kernel finds the time.
    at_port(wiring, "del", &[])?;
    let del =
        || run_for_stdout(ip_command(None).args(["netns", "del", &wiring.namespace])).map(drop);
    if bridge_owner(&wiring.bridge, &wiring.record) != NamespaceOwner::Other
        && wiring.path().exists()
    {
        // Keeper and ha-host may both be at it.
        return del().or_else(|error| {
            if wiring.path().exists() {
                Err(error)
            } else {
                Ok(())
            }
        });
    }
    Ok(())
}

/// Nothing of the node is heard from now on.
pub fn set_port_down(wiring: &Wiring) -> Result<()> {
    at_port(wiring, "set", &["down"])
}

/// Unplugs a node's cable from the bridge, or plugs it in again; the node's own end stays up.
pub fn set_port_detached(wiring: &Wiring, off: bool) -> Result<()> {
    match off {
        true => at_port(wiring, "set", &["nomaster"]),
        false => at_port(wiring, "set", &["master", BRIDGE]),
    }
}

/// `ip link VERB PORT REST` on the bridge's end of a node's cable, if there is one, even if it goes meanwhile.
fn at_port(wiring: &Wiring, verb: &str, rest: &[&str]) -> Result<()> {
    let there = || -> Result<bool> {
        let ours = bridge_owner(&wiring.bridge, &wiring.record) == NamespaceOwner::Us;
        Ok(ours && link_exists(Some(&wiring.bridge), &wiring.port)?)
    };
    if !there()? {
        return Ok(());
    }
    let done = run_for_stdout(
        ip_command(Some(&wiring.bridge))
            .args(["link", verb])
            .arg(&wiring.port)
            .args(rest),
    );
    match done {
        Err(error) if there().unwrap_or(true) => Err(error),
        _ => Ok(()),
    }
}

/// Whether an interface of this name exists in a namespace (none: this host's).
pub fn link_exists(namespace: Option<&str>, link: &str) -> Result<bool> {
    let found = run_for_stdout(ip_command(namespace).args(["-j", "link", "show"]))?;
    Ok(parse_link_names(&found)?.iter().any(|name| name == link))
}

/// This host's routes of every table as JSON, in the family of `address`.
pub fn routes_as_json(address: IpAddr) -> Result<String> {
    let family = if address.is_ipv4() { "-4" } else { "-6" };
    run_for_stdout(ip_command(None).args([family, "-j", "route", "show", "table", "all"]))
}

/// What `ip -j link` says of one interface, as far as it is looked at here.
#[derive(Deserialize)]
struct Link {
    ifname: String,
}

fn parse_link_names(json: &str) -> Result<Vec<String>> {
    let links: Vec<Link> =
        serde_json::from_str(json).with_context(|| format!("`ip -j link` says {json:?}"))?;
    Ok(links.into_iter().map(|link| link.ifname).collect())
}

/// A host that is a router for others would otherwise carry the nodes' packets away.
fn forbid_forwarding(link: &str) -> Result<()> {
    for family in ["ipv4", "ipv6"] {
        let file = format!("/proc/sys/net/{family}/conf/{link}/forwarding");
        // No such file: a kernel without that family.
        let Ok(value) = std::fs::read_to_string(&file) else {
            continue;
        };
        if value.trim() != "0" {
            std::fs::write(&file, "0").with_context(|| format!("cannot switch {file} off"))?;
        }
    }
    Ok(())
}

fn ip_command(namespace: Option<&str>) -> Command {
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    command
}

/// Many orders in one process: a fork costs more than the order.
fn run_ip_batch(namespace: Option<&str>, lines: &str) -> Result<()> {
    run_with_input(ip_command(namespace).args(["-batch", "-"]), lines)
        .map(drop)
        .with_context(|| format!("while carrying out:\n{lines}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_are_those_without_their_peers() {
        let json = r#"[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK"],"mtu":65536},
            {"ifindex":7,"link_index":6,"ifname":"eth0","flags":["UP"],"mtu":1500,"link_netnsid":0},
            {"ifindex":8,"ifname":"ha-demo","flags":["UP"]}]"#;
        assert_eq!(parse_link_names(json).unwrap(), ["lo", "eth0", "ha-demo"]);
        assert!(parse_link_names("1: lo: <LOOPBACK>").is_err());
    }

    #[test]
    fn the_host_gets_routes_for_the_cluster_s_addresses_only() {
        let layout = Layout::new("demo", Path::new("/s"));
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        let segment = Segment {
            layout,
            gateways: vec![parse("10.77.0.1")],
            addresses: vec![parse("10.77.0.11"), parse("10.77.0.30")],
        };
        let expected = "addr replace 10.77.0.1/32 dev ha-demo\nlink set ha-demo up\n\
                        route replace 10.77.0.11/32 dev ha-demo scope link src 10.77.0.1\n\
                        route replace 10.77.0.30/32 dev ha-demo scope link src 10.77.0.1\n";
        assert_eq!(segment.host_side("ha-demo"), expected);
    }

    #[test]
    fn ipv6_is_there_at_once_and_has_no_scope() {
        let segment = Segment {
            layout: Layout::new("demo", Path::new("/s")),
            gateways: vec!["fd00:77::1".parse().unwrap()],
            addresses: vec!["fd00:77::30".parse().unwrap()],
        };
        let expected = "addr replace fd00:77::1/128 dev ha-demo nodad\nlink set ha-demo up\n\
                        route replace fd00:77::30/128 dev ha-demo src fd00:77::1\n";
        assert_eq!(segment.host_side("ha-demo"), expected);
    }

    #[test]
    fn each_address_has_its_route_by_the_gateway_of_its_kind() {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        let segment = Segment {
            layout: Layout::new("demo", Path::new("/s")),
            gateways: vec![parse("10.77.0.1"), parse("fd00:77::1")],
            addresses: vec![parse("10.77.0.11"), parse("fd00:77::11")],
        };
        let expected = "addr replace 10.77.0.1/32 dev ha-demo\naddr replace fd00:77::1/128 dev ha-demo nodad\n\
                        link set ha-demo up\n\
                        route replace 10.77.0.11/32 dev ha-demo scope link src 10.77.0.1\n\
                        route replace fd00:77::11/128 dev ha-demo src fd00:77::1\n";
        assert_eq!(segment.host_side("ha-demo"), expected);
    }

    #[test]
    fn a_namespace_that_is_not_written_down_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new("no-such-cluster-here", dir.path());
        let segment = Segment {
            layout,
            gateways: vec!["10.0.0.1".parse().unwrap()],
            addresses: Vec::new(),
        };
        assert_eq!(segment.owner(), NamespaceOwner::Nobody);
    }

    #[test]
    fn a_record_of_another_boot_makes_nothing_ours() {
        let dir = tempfile::tempdir().unwrap();
        let record = dir.path().join("_network");
        let space = Path::new("/proc/self/ns/net");
        let inode = std::fs::metadata(space).unwrap().ino();
        // Inodes of namespaces count from the same number at each boot.
        let other = "00000000-0000-4000-8000-000000000000";
        for text in [PENDING.to_owned(), inode.to_string()] {
            std::fs::write(&record, format!("{other}\n{text}")).unwrap();
            assert_eq!(
                namespace_owner(space, &record),
                NamespaceOwner::Other,
                "{text}"
            );
            // As an early ha-host wrote it, whose cluster may run.
            std::fs::write(&record, &text).unwrap();
            assert_eq!(
                namespace_owner(space, &record),
                NamespaceOwner::Us,
                "{text}"
            );
            write_for_this_boot(&record, &text).unwrap();
            assert_eq!(
                namespace_owner(space, &record),
                NamespaceOwner::Us,
                "{text}"
            );
        }
    }
}
