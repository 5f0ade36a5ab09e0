//! What the nodes are plugged into.

use std::net::IpAddr;

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, LibvirtNetwork};

use super::host::{Host, foreign_thing};
use super::virsh::{Thing, XML};
use super::xml::domain::Plug;
use super::xml::network::{Network, New};
use crate::finding::Unfit;

/// The cluster's side of the network.
#[derive(Debug)]
pub struct Wiring {
    choice: LibvirtNetwork,
    network: ha_cluster_file::cluster::Network,
    /// Who lives in it, by name, the VIP too.
    addresses: Vec<(String, IpAddr)>,
}

impl Wiring {
    /// As the cluster file says.
    pub fn new(cluster: &Cluster, choice: &LibvirtNetwork) -> Self {
        let mut addresses: Vec<(String, IpAddr)> = cluster
            .nodes
            .iter()
            .map(|n| (n.name.clone(), n.address))
            .collect();
        addresses.push(("the VIP".into(), cluster.endpoint.vip));
        Self {
            choice: choice.clone(),
            network: cluster.network.clone(),
            addresses,
        }
    }

    /// For the domains' XML.
    pub fn plug(&self, host: &Host) -> Plug {
        match &self.choice {
            LibvirtNetwork::Own => Plug::Network(host.names.network()),
            LibvirtNetwork::Named(name) => Plug::Network(name.clone()),
            LibvirtNetwork::Bridge(name) => Plug::Bridge(name.clone()),
        }
    }

    /// Looks whether the nodes can live in it. Changes nothing.
    pub fn look(&self, host: &Host) -> Result<Vec<Unfit>> {
        match &self.choice {
            LibvirtNetwork::Own => self.look_at_own(host),
            LibvirtNetwork::Named(name) => self.look_at(host, name),
            // Only the host itself knows its bridges: it says so when a domain starts.
            LibvirtNetwork::Bridge(_) => Ok(Vec::new()),
        }
    }

    fn look_at_own(&self, host: &Host) -> Result<Vec<Unfit>> {
        let name = host.names.network();
        if host.virsh.is_session() {
            return Ok(vec![Unfit::new(
                format!(
                    "{} is a user's own libvirt, which cannot make the cluster a network",
                    host.virsh.uri()
                ),
                "take `uri: qemu:///system`, or a bridge that qemu-bridge-helper allows: `network: {bridge: virbr0}`",
            )]);
        }
        let Some(seen) = find_network(host, &name)? else {
            return Ok(Vec::new());
        };
        if seen
            .mark
            .as_ref()
            .is_some_and(|mark| host.is_ours(mark, ""))
        {
            return Ok(Vec::new());
        }
        let uri = host.virsh.uri();
        Ok(vec![foreign_thing(
            "network",
            &name,
            uri,
            seen.mark.as_ref(),
        )])
    }

    fn look_at(&self, host: &Host, name: &str) -> Result<Vec<Unfit>> {
        let uri = host.virsh.uri();
        let Some(network) = find_network(host, name)? else {
            return Ok(vec![Unfit::new(
                format!("{uri} has no network {name}"),
                format!("name one of `virsh -c {uri} net-list --all`, or take `network: own`"),
            )]);
        };
        if !host.virsh.is_active(Thing::Network(name))? {
            return Ok(vec![Unfit::new(
                format!("libvirt's network {name} at {uri} is not started"),
                format!("virsh -c {uri} net-start {name}; virsh -c {uri} net-autostart {name}"),
            )]);
        }
        Ok(network.faults(name, &self.addresses))
    }

    /// Makes and starts the cluster's own network; of another one, sees that it can be used.
    pub fn ensure(&self, host: &Host, autostart: bool) -> Result<()> {
        if let Some(unfit) = self.look(host)?.into_iter().next() {
            return Err(unfit.into());
        }
        if self.choice != LibvirtNetwork::Own {
            return Ok(());
        }
        let name = host.names.network();
        if find_network(host, &name)?.is_none() {
            let new = New {
                bridge: host.names.bridge(),
                mark: host.mark(""),
                gateway: self.network.gateway,
                cidr: self.network.cidr,
                mtu: self.network.mtu,
                name: name.clone(),
            };
            host.virsh.feed(&["net-define", XML], &new.to_string())?;
        }
        if autostart {
            host.virsh.run(&["net-autostart", &name])?;
        }
        if !host.virsh.is_active(Thing::Network(&name))? {
            host.virsh.run(&["net-start", &name])?;
        }
        Ok(())
    }
}

/// Removes the cluster's own network, if it is ours; fine if it is not there.
pub fn remove_own(host: &Host) -> Result<()> {
    let name = host.names.network();
    let ours = find_network(host, &name)?
        .and_then(|seen| seen.mark)
        .is_some_and(|mark| host.is_ours(&mark, ""));
    if !ours {
        return Ok(());
    }
    if host.virsh.is_active(Thing::Network(&name))? {
        host.virsh.run(&["net-destroy", &name])?;
    }
    let undefine = ["net-undefine", &name];
    host.virsh.find(Thing::Network(&name), &undefine).map(drop)
}

fn find_network(host: &Host, name: &str) -> Result<Option<Network>> {
    let xml = host
        .virsh
        .find(Thing::Network(name), &["net-dumpxml", name])?;
    xml.map(|xml| Network::read(&xml, name)).transpose()
}
