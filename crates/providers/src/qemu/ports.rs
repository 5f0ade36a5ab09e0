//! Which port of 127.0.0.1 leads to which address of the nodes' network. Chosen once and kept: kubeconfigs name them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Cluster;
use ha_host_base::files;
use ha_host_base::stored::parse_stored;
use ha_wire::format::Version;
use ha_wire::kubernetes::ETCD_CLIENT_PORT;
use serde::{Deserialize, Serialize};

use crate::finding::Unfit;

/// What is added to a port that is taken or for root alone: 6444 becomes 16444, 443 becomes 10443.
const ASIDE: u16 = 10_000;
/// Where ports for ourselves are looked for: below those that the kernel gives to outgoing connections.
const OWN: std::ops::Range<u16> = 20_000..32_000;

/// The table as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    version: Version<1>,
    ports: BTreeMap<SocketAddr, u16>,
}

/// An address that is to be reached from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The address in the nodes' network.
    pub inside: SocketAddr,
    /// The port here that people would expect; none: it is for ourselves, any will do and it may change.
    pub promised: Option<u16>,
}

/// What of a cluster is to be reached.
pub fn wanted_ports(cluster: &Cluster) -> Vec<Want> {
    let vip = |port: u16| Want {
        inside: SocketAddr::new(cluster.endpoint.vip, port),
        promised: Some(port),
    };
    let mut all = vec![vip(cluster.endpoint.port)];
    all.extend(
        cluster
            .load_balancer
            .extra_ports
            .iter()
            .map(|extra| vip(extra.port)),
    );
    let own = |ip: IpAddr, port: u16| Want {
        inside: SocketAddr::new(ip, port),
        promised: None,
    };
    for node in cluster.control_planes() {
        all.push(own(node.address, cluster.endpoint.apiserver_port));
        all.push(own(node.address, ETCD_CLIENT_PORT));
    }
    all
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            version: Version,
            ports: BTreeMap::new(),
        }
    }
}

impl Ports {
    /// What is kept; empty if nothing is.
    pub fn read(file: &Path) -> Result<Self> {
        let Some(text) = files::read_optional(file)? else {
            return Ok(Self::default());
        };
        parse_stored(&text, Version::<1>).with_context(|| {
            let remedy = "remove it to have others chosen";
            format!("cannot use {}; {remedy}", file.display())
        })
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).context("cannot write the ports down")?;
        text.push('\n');
        files::write_atomic(file, text.as_bytes())
    }

    /// The port here that leads there.
    pub fn get(&self, inside: SocketAddr) -> Option<u16> {
        self.ports.get(&inside).copied()
    }

    /// Every address and its port here.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, u16)> {
        self.ports.iter().map(|(inside, port)| (*inside, *port))
    }

    /// The table with a port for everything that is wanted. `free` says of a port that it could be taken now, `ours` that the
    /// gateway has it already.
    pub fn settle(
        &self,
        wants: &[Want],
        free: &dyn Fn(u16) -> bool,
        ours: &dyn Fn(u16) -> bool,
    ) -> Result<Self> {
        let mut new = Self::default();
        for want in wants {
            let usable = |port: u16, new: &Self| {
                !new.ports.values().any(|p| *p == port) && (ours(port) || free(port))
            };
            let kept = self.get(want.inside);
            let port = match (kept, want.promised) {
                (Some(port), _) if usable(port, &new) => Some(port),
                (Some(port), Some(_)) => return Err(port_taken(port, want.inside).into()),
                (_, promised) => promised
                    .into_iter()
                    .flat_map(|port| [Some(port), port.checked_add(ASIDE)])
                    .flatten()
                    .chain(OWN)
                    // A port that is kept for something else is not given away.
                    .find(|port| !self.ports.values().any(|p| p == port) && usable(*port, &new)),
            };
            let port =
                port.with_context(|| format!("no port of 127.0.0.1 is free for {}", want.inside))?;
            new.ports.insert(want.inside, port);
        }
        Ok(new)
    }
}

fn port_taken(port: u16, inside: SocketAddr) -> Unfit {
    Unfit::new(
        format!("port {port} of 127.0.0.1, which leads to {inside}, is taken by another program"),
        format!(
            "end that (`ss -ltnp sport = :{port}` shows it), or remove machines/ports.json in the cluster's state directory \
             to have others chosen"
        ),
    )
}

/// Whether a port of 127.0.0.1 can be listened on.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ha_test_support::demo_cluster;

    fn no_port(_: u16) -> bool {
        false
    }

    #[test]
    fn every_control_plane_and_the_vip_are_reached() {
        let wants = wanted_ports(&demo_cluster());
        let shown: Vec<String> = wants
            .iter()
            .map(|w| format!("{} {:?}", w.inside, w.promised))
            .collect();
        assert_eq!(
            shown[..3],
            [
                "10.77.0.30:6444 Some(6444)",
                "10.77.0.11:6443 None",
                "10.77.0.11:2379 None"
            ]
        );
        assert_eq!(shown.len(), 7);
    }

    #[test]
    fn the_vips_port_is_the_same_if_it_may() {
        let wants = wanted_ports(&demo_cluster());
        let first = Ports::default()
            .settle(&wants, &|_| true, &no_port)
            .unwrap();
        assert_eq!(first.get(wants[0].inside), Some(6444));
        assert_eq!(first.get(wants[1].inside), Some(20_000));
        let aside = Ports::default()
            .settle(&wants, &|p| p != 6444, &no_port)
            .unwrap();
        assert_eq!(aside.get(wants[0].inside), Some(16_444));
        let far = Ports::default()
            .settle(&wants, &|p| p > 30_000, &no_port)
            .unwrap();
        assert_eq!(far.get(wants[0].inside), Some(30_001));
        assert!(Ports::default().settle(&wants, &no_port, &no_port).is_err());
    }

    #[test]
    fn what_was_chosen_stays() {
        let wants = wanted_ports(&demo_cluster());
        let first = Ports::default()
            .settle(&wants, &|p| p != 6444, &no_port)
            .unwrap();
        // The gateway holds them all, and so nothing is free.
        let again = first.settle(&wants, &no_port, &|_| true).unwrap();
        assert_eq!(again, first);
        // The gateway is gone and somebody has taken one of ours: another is as good.
        let moved = first.settle(&wants, &|p| p != 20_000, &no_port).unwrap();
        assert_eq!(
            moved.get(wants[0].inside),
            Some(16_444),
            "though 6444 is free now"
        );
        assert_ne!(moved.get(wants[1].inside), Some(20_000));
        let values: std::collections::BTreeSet<u16> = moved.iter().map(|(_, port)| port).collect();
        assert_eq!(values.len(), wants.len(), "no port twice");
        let error = first
            .settle(&wants, &|p| p != 16_444, &no_port)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("port 16444") && error.contains("10.77.0.30:6444"),
            "{error}"
        );
    }

    #[test]
    fn the_table_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ports.json");
        assert_eq!(Ports::read(&file).unwrap(), Ports::default());
        let table = Ports::default()
            .settle(&wanted_ports(&demo_cluster())[..1], &|_| true, &no_port)
            .unwrap();
        table.write(&file).unwrap();
        assert_eq!(Ports::read(&file).unwrap(), table);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(
            text,
            "{\n  \"version\": 1,\n  \"ports\": {\n    \"10.77.0.30:6444\": 6444\n  }\n}\n"
        );
        std::fs::write(&file, text.replace(": 1,", ": 2,")).unwrap();
        let error = format!("{:#}", Ports::read(&file).unwrap_err());
        assert!(
            error.contains("version 2") && error.contains("remove it"),
            "{error}"
        );
    }
}
