//! The cluster's gateway: one QEMU without a guest. It is the hub between the nodes and, as QEMU's user network, their way out
//! and the way in by forwarded ports. It may end and begin again at any time: the nodes do not notice.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use ha_cluster_file::cluster::{Cluster, Node};
use ha_host_base::files;
use serde_json::json;

use super::arguments::{self, GatewayPlug, reconnect_option};
use super::layout::{Layout, QMP};
use super::ports::{self, Ports};
use super::qmp::{PATIENCE, Qmp};
use super::{filter, programs, spawn};
use crate::finding::Unfit;
use crate::shared::lock::MachineLock;

/// The gateway of one cluster.
#[derive(Debug)]
pub struct Gateway {
    layout: Layout,
    cluster: Cluster,
    /// The program that is the filter: ha-host itself.
    pub program: PathBuf,
    /// Held while the process is looked at and changed.
    ports: Mutex<Ports>,
}

impl Gateway {
    /// Whatever there is of it.
    pub fn new(layout: &Layout, cluster: &Cluster) -> Result<Self> {
        Ok(Self {
            ports: Mutex::new(Ports::read(&layout.ports())?),
            layout: layout.clone(),
            cluster: cluster.clone(),
            program: std::env::current_exe().context("cannot find the ha-host program itself")?,
        })
    }

    /// The port of this machine that leads there.
    pub fn port(&self, inside: std::net::SocketAddr) -> Option<u16> {
        self.table().get(inside)
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Ports> {
        // What is in it is whole at any time.
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it, or plugs into a running one what has come since.
    pub fn ensure(&self) -> Result<()> {
        let mut table = self.table();
        // Several ha-host may each start a node of this cluster, but not each a gateway.
        let _lock = self.lock()?;
        *table = Ports::read(&self.layout.ports())?;
        filter::ensure_running(&self.layout.filter(), &self.program)
            .with_context(|| format!("the network of {} does not start", self.cluster.name))?;
        let dir = self.layout.gateway();
        files::make_dir(&dir)?;
        let running = spawn::running_process(&dir).map(|_| Qmp::open(&dir.join(QMP), PATIENCE));
        match running {
            Some(Ok(mut qmp)) => self.extend(&mut table, &mut qmp),
            // One that does not answer is of no use to anybody.
            Some(Err(_)) => {
                spawn::stop_process(&dir)?;
                self.start(&mut table, &dir)
            }
            None => self.start(&mut table, &dir),
        }
        .with_context(|| format!("the gateway of {} does not start", self.cluster.name))
    }

    fn lock(&self) -> Result<Option<MachineLock>> {
        MachineLock::of_shared(&self.layout.machines, "gateway")
    }

    pub fn stop(&self) -> Result<()> {
        let _lock = self.lock()?;
        spawn::stop_process(&self.layout.gateway())?;
        filter::stop_filter(&self.layout.filter())
    }

    /// What ports a launch would take; an error names one that is taken by somebody else.
    pub fn foresee(&self) -> Result<Ports> {
        let runs = spawn::running_process(&self.layout.gateway()).is_some();
        let table = self.table();
        let ours = |port: u16| runs && table.iter().any(|(_, p)| p == port);
        table.settle(&ports::wanted_ports(&self.cluster), &ports::is_free, &ours)
    }

    /// Nothing passes a node's first cable from now on, or everything again; the guest's own link stays up.
    pub fn cut(&self, node: &str, off: bool) -> Result<()> {
        let mut qmp = Qmp::open(&self.layout.gateway().join(QMP), PATIENCE)?;
        let plug = GatewayPlug {
            node: node.to_owned(),
            nic: 0,
        };
        let link = json!({"name": plug.cable(), "up": !off});
        qmp.execute("set_link", link).map(drop)
    }

    fn plugs(&self) -> Vec<GatewayPlug> {
        let plug = |node: &Node, nic| GatewayPlug {
            node: node.name.clone(),
            nic,
        };
        let nodes = self.cluster.nodes.iter();
        nodes
            .flat_map(|node| (0..=node.interfaces.len()).map(move |nic| plug(node, nic)))
            .collect()
    }

    fn start(&self, table: &mut Ports, dir: &Path) -> Result<()> {
        let new = table.settle(
            &ports::wanted_ports(&self.cluster),
            &ports::is_free,
            &|_| false,
        )?;
        self.keep(table, new)?;
        let program = programs::find_system(self.arch())?;
        let dns = name_server(&self.cluster)?;
        let qemu = programs::probe_emulator(&program)?;
        let arguments =
            arguments::gateway_arguments(&self.cluster.network, dns, table, &self.plugs(), qemu);
        spawn::start_qemu(dir, &program, &arguments, None)
    }

    fn extend(&self, table: &mut Ports, qmp: &mut Qmp) -> Result<()> {
        let bound = forwarded_ports(&qmp.human("info usernet")?);
        let new = table.settle(
            &ports::wanted_ports(&self.cluster),
            &ports::is_free,
            &|port| bound.contains(&port),
        )?;
        self.keep(table, new)?;
        for (inside, port) in table.iter().filter(|(_, port)| !bound.contains(port)) {
            let said = qmp.human(&format!("hostfwd_add nat tcp:127.0.0.1:{port}-{inside}"))?;
            if !said.is_empty() {
                bail!("port {port} of 127.0.0.1 cannot be forwarded to {inside}: {said}");
            }
        }
        let qemu = programs::probe_emulator(&programs::find_system(self.arch())?)?;
        let there = netdev_ids(&qmp.human("info network")?);
        for plug in self.plugs() {
            plug_in(qmp, &plug, qemu.version, &there)
                .with_context(|| format!("{} cannot be plugged in", plug.node))?;
        }
        Ok(())
    }

    fn keep(&self, table: &mut Ports, new: Ports) -> Result<()> {
        if *table != new {
            new.write(&self.layout.ports())?;
            *table = new;
        }
        Ok(())
    }

    fn arch(&self) -> ha_cluster_file::cluster::Arch {
        let vm = self.cluster.provider.vm();
        vm.map_or(ha_cluster_file::cluster::Arch::HOST, |vm| vm.arch)
    }
}

/// Adds what is not `there` yet of a node's cable and its port of the hub.
fn plug_in(
    qmp: &mut Qmp,
    plug: &GatewayPlug,
    version: programs::Version,
    there: &BTreeSet<String>,
) -> Result<()> {
    let (again, after) = reconnect_option(version);
    let address = json!({"type": "unix", "path": plug.there()});
    let cable = json!({"type": "stream", "id": plug.cable(), "server": false, "addr": address, again: after});
    let port =
        json!({"type": "hubport", "id": plug.port(), "hubid": plug.nic, "netdev": plug.cable()});
    for (id, device) in [(plug.cable(), cable), (plug.port(), port)] {
        if !there.contains(&id) {
            qmp.execute("netdev_add", device)?;
        }
    }
    Ok(())
}

/// The identifiers in what `info network` lists: ` \ port-one.0: cable-one.0: index=0,type=stream,...`.
fn netdev_ids(text: &str) -> BTreeSet<String> {
    let lines = text
        .lines()
        .map(|line| line.trim().trim_start_matches(['\\', ' ']));
    lines
        .flat_map(|line| line.split(": "))
        .filter(|piece| !piece.starts_with("index="))
        .map(String::from)
        .collect()
}

/// The forwarded ports in what `info usernet` prints:
/// `TCP[HOST_FORWARD]  12       127.0.0.1 16444      10.77.0.30  6444     0     0`.
fn forwarded_ports(text: &str) -> Vec<u16> {
    let lines = text.lines().filter(|line| line.contains("HOST_FORWARD"));
    lines
        .filter_map(|line| line.split_whitespace().nth(3)?.parse().ok())
        .collect()
}

/// The address at which the user network answers as a name server: it must not be the gateway's. The first of the file's that
/// lies in the network; if none does, one that nobody has.
pub fn name_server(cluster: &Cluster) -> Result<Ipv4Addr> {
    let network = &cluster.network;
    let named = network
        .dns
        .iter()
        .find(|ip| network.cidr.contains(*ip) && **ip != network.gateway);
    if named.is_none() && network.dns.contains(&network.gateway) {
        let free = unused_address(cluster).map_or_else(
            || "another address of the network".into(),
            |ip| ip.to_string(),
        );
        return Err(Unfit::new(
            format!(
                "the gateway {} is not a name server with provider qemu, whose user network needs an address of its own for that",
                network.gateway
            ),
            format!("write `dns: [{free}]` in `network`"),
        )
        .into());
    }
    let found = named.copied().or_else(|| unused_address(cluster));
    match found {
        Some(IpAddr::V4(ip)) => Ok(ip),
        _ => bail!(
            "the network {} has no IPv4 address left for a name server",
            network.cidr
        ),
    }
}

/// An address of the network that nobody has.
fn unused_address(cluster: &Cluster) -> Option<IpAddr> {
    let network = &cluster.network;
    let taken = |ip: &IpAddr| {
        *ip == network.gateway
            || cluster.endpoint.addresses().any(|address| address == *ip)
            || cluster.nodes.iter().any(|node| node.address == *ip)
    };
    network
        .cidr
        .hosts()
        .skip(1)
        .take(1 << 16)
        .find(|ip| !taken(ip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ha_test_support as testing;

    fn cluster_with_dns(dns: &str) -> Cluster {
        let text = testing::DEMO.replace("dns: [10.77.0.1]", &format!("dns: [{dns}]"));
        testing::parse_cluster(&text, Path::new("/"))
    }

    #[test]
    fn the_name_server_is_not_the_gateway() {
        for (named, expected) in [
            ("10.77.0.5", "10.77.0.5"),
            ("10.77.0.1, 9.9.9.9, 10.77.0.7", "10.77.0.7"),
            ("9.9.9.9", "10.77.0.2"),
            ("", "10.77.0.2"),
        ] {
            assert_eq!(
                name_server(&cluster_with_dns(named)).unwrap().to_string(),
                expected,
                "{named}"
            );
        }
        let error = name_server(&testing::demo_cluster())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("10.77.0.1 is not a name server") && error.contains("dns: [10.77.0.2]"),
            "{error}"
        );
    }

    #[test]
    fn what_is_plugged_in_is_read() {
        // QEMU 10.0.13.
        let text = "hub 0\r\n \\ port-one.0: cable-one.0: index=0,type=stream,connecting\r\n \\ port-two.0\r\n\
                    hub 1000\r\n \\ nat-hub: nat: index=0,type=user,net=10.77.0.0,restrict=off\r\n";
        let there = netdev_ids(text);
        for id in ["port-one.0", "cable-one.0", "port-two.0", "nat-hub", "nat"] {
            assert!(there.contains(id), "{id}: {there:?}");
        }
        assert!(!there.contains("cable-two.0"));
    }

    #[test]
    fn forwarded_ports_are_read() {
        let text = "Hub 0 (nat):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
                    TCP[HOST_FORWARD]  12       127.0.0.1 16444      10.77.0.30  6444     0     0\r\n  \
                    TCP[ESTABLISHED]   15       127.0.0.1 40000      10.77.0.30  6444     0     0\r\n";
        assert_eq!(forwarded_ports(text), [16444]);
    }
}
