//! What the nodes are plugged into.

use std::net::IpAddr;

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, LibvirtNetwork};
use ipnet::IpNet;

use super::host::{Host, foreign_thing};
use super::virsh::{Thing, XML};
use super::xml::domain::InterfaceSource;
use super::xml::network::{Network, NewNetwork};
use crate::finding::Unfit;

/// The cluster's side of the network.
#[derive(Debug)]
pub struct Wiring {
    choice: LibvirtNetwork,
    /// The nodes' networks with the gateway of each.
    subnets: Vec<(IpNet, IpAddr)>,
    mtu: Option<u32>,
    /// Who lives in it, by name, the VIP too.
    addresses: Vec<(String, IpAddr)>,
}

impl Wiring {
    /// As the cluster file says.
    pub fn new(cluster: &Cluster, choice: &LibvirtNetwork) -> Self {
        let mut addresses: Vec<(String, IpAddr)> = cluster
            .nodes
            .iter()
            .flat_map(|n| n.addresses().map(|at| (n.name.clone(), at)))
            .collect();
        addresses.extend(cluster.own_vip().map(|vip| ("the VIP".into(), vip)));
        Self {
            choice: choice.clone(),
            subnets: cluster.node_networks().collect(),
            mtu: cluster.network.mtu,
            addresses,
        }
    }

    /// For the domains' XML.
    pub fn plug(&self, host: &Host) -> InterfaceSource {
        match &self.choice {
            LibvirtNetwork::Own => InterfaceSource::Network(host.names.network()),
            LibvirtNetwork::Named(name) => InterfaceSource::Network(name.clone()),
            LibvirtNetwork::Bridge(name) => InterfaceSource::Bridge(name.clone()),
        }
    }

    /// The network of libvirt's that the nodes are plugged into.
    pub fn network_name(&self, host: &Host) -> Option<String> {
        match self.plug(host) {
            InterfaceSource::Network(name) => Some(name),
            // Only the host itself knows its bridges: it says so when a domain starts.
            InterfaceSource::Bridge(_) => None,
        }
    }

    /// Whether the nodes need it started before anything is made for them: one of their own is started for them.
    pub fn must_run(&self) -> bool {
        matches!(self.choice, LibvirtNetwork::Named(_))
    }

    /// Everything that keeps the nodes from living in the network, by what there is of it.
    pub fn faults(&self, host: &Host, seen: Option<&Network>, active: bool) -> Vec<Unfit> {
        match &self.choice {
            LibvirtNetwork::Own => faults_of_own(host, seen),
            LibvirtNetwork::Named(name) => self.faults_of_named(host, name, seen, active),
            LibvirtNetwork::Bridge(_) => Vec::new(),
        }
    }

    fn faults_of_named(
        &self,
        host: &Host,
        name: &str,
        seen: Option<&Network>,
        active: bool,
    ) -> Vec<Unfit> {
        let uri = host.virsh.uri();
        match seen {
            None => vec![Unfit::new(
                format!("{uri} has no network {name}"),
                format!("name one of `virsh -c {uri} net-list --all`, or take `network: own`"),
            )],
            Some(_) if !active => vec![Unfit::new(
                format!("libvirt's network {name} at {uri} is not started"),
                format!("virsh -c {uri} net-start {name}; virsh -c {uri} net-autostart {name}"),
            )],
            Some(network) => network.faults(name, &self.addresses),
        }
    }

    /// Makes and starts the cluster's own network; of another one, sees that it can be used.
    pub fn ensure(&self, host: &Host, autostart: bool) -> Result<()> {
        let Some(name) = self.network_name(host) else {
            return Ok(());
        };
        let thing = Thing::Network(&name);
        let seen = find_network(host, &name)?;
        let active = seen.is_some() && host.virsh.is_active(thing)?;
        if let Some(unfit) = self.faults(host, seen.as_ref(), active).into_iter().next() {
            return Err(unfit.into());
        }
        if self.choice != LibvirtNetwork::Own {
            return Ok(());
        }
        if seen.is_none() {
            let new = NewNetwork {
                bridge: host.names.bridge(),
                mark: host.mark(""),
                subnets: self.subnets.clone(),
                mtu: self.mtu,
                name: name.clone(),
            };
            host.virsh.feed(&["net-define", XML], &new.to_string())?;
        }
        if autostart {
            host.virsh.run(&["net-autostart", &name])?;
        }
        if active {
            return Ok(());
        }
        host.virsh.start(thing, &["net-start", &name])
    }
}

fn faults_of_own(host: &Host, seen: Option<&Network>) -> Vec<Unfit> {
    let uri = host.virsh.uri();
    if host.virsh.is_session() {
        return vec![Unfit::new(
            format!("{uri} is a user's own libvirt, which cannot make the cluster a network"),
            "take `uri: qemu:///system`, or a bridge that qemu-bridge-helper allows: `network: {bridge: virbr0}`",
        )];
    }
    match seen {
        Some(network) if !is_own(host, network) => {
            let name = host.names.network();
            vec![foreign_thing("network", &name, uri, network.mark.as_ref())]
        }
        Some(_) | None => Vec::new(),
    }
}

fn is_own(host: &Host, network: &Network) -> bool {
    let mark = network.mark.as_ref();
    mark.is_some_and(|mark| host.is_ours(mark, ""))
}

/// Whether the cluster's own network is there.
pub fn own_exists(host: &Host) -> Result<bool> {
    let seen = find_network(host, &host.names.network())?;
    Ok(seen.is_some_and(|network| is_own(host, &network)))
}

/// Removes the cluster's own network, if it is ours; fine if it is not there.
pub fn remove_own(host: &Host) -> Result<()> {
    if !own_exists(host)? {
        return Ok(());
    }
    let name = host.names.network();
    let thing = Thing::Network(&name);
    if host.virsh.is_active(thing)? {
        host.virsh.run(&["net-destroy", &name])?;
    }
    host.virsh.remove(thing, &["net-undefine", &name])
}

fn find_network(host: &Host, name: &str) -> Result<Option<Network>> {
    let xml = host.virsh.dump(Thing::Network(name))?;
    xml.map(|xml| Network::read(&xml, name)).transpose()
}
