//! A cluster file in the making, of the shape of `examples/demo.yaml`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use ha_wire::phase::Role;

use crate::lab::{Lab, SYSEXTS};

mod example;

/// The cluster's virtual address.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 30);
/// The same where everything is IPv6.
pub const VIP_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, 0x30);
/// haproxy's port on it.
pub const PORT: u16 = 6444;
/// The apiservers' own port.
pub const API_PORT: u16 = ha_kube::APISERVER_PORT;

/// Cilium in kube-proxy's place, with a value of the user's own, and one that is another than the agent's.
pub const CILIUM: &str = "proxy: none, cni: {cilium: {version: 1.18.1, \
                          values: {debug: {enabled: true}, hubble: {enabled: true}}}}";

/// Who makes the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineKind {
    /// systemd-nspawn containers.
    Nspawn,
    /// QEMU without root.
    Qemu,
    /// libvirt domains.
    Libvirt,
}

impl MachineKind {
    /// True if the nodes have kernels of their own.
    pub fn is_virtual(self) -> bool {
        self != Self::Nspawn
    }
}

/// What the test wants.
#[derive(Debug, Clone)]
pub struct ClusterPlan {
    /// The cluster's name, and the test's.
    pub name: String,
    /// Who makes the machines.
    pub kind: MachineKind,
    /// How many control planes: node1 and on.
    pub control_planes: u8,
    /// How many workers: after the control planes.
    pub workers: u8,
    /// `kubernetes.proxy` and `kubernetes.cni`; none: kube-proxy and the lab's own pod network.
    pub network: Option<String>,
    /// The system extensions that nodes get.
    pub sysexts: Vec<&'static str>,
    /// More system extensions, by their name: images on this machine.
    pub extensions: Vec<(&'static str, PathBuf)>,
    /// What follows in each node's name, e.g. `.example.test`.
    pub domain: &'static str,
    /// Nodes, VIP, pods and services are of IPv6.
    pub ipv6: bool,
    /// Nodes, pods and services have addresses of both families, the VIP's first.
    pub dual_stack: bool,
    /// A file of `examples/` in place of one of the above.
    pub example: Option<example::Example>,
    /// Another node image than the lab's.
    pub image: Option<PathBuf>,
    /// The user's own Ignition files.
    pub merge: Vec<PathBuf>,
    /// The cluster's virtual address, if it is another than that of all.
    pub vip: Option<IpAddr>,
    /// The interface that it is on, if that is another than the nodes' own.
    pub vip_interface: Option<&'static str>,
    /// The balancer's port on the VIP.
    pub port: u16,
    /// The apiservers' on their nodes' own addresses.
    pub apiserver_port: u16,
    /// What `endpoint` says; none: the VIP.
    pub endpoint: Option<String>,
    /// More lines of the cluster file.
    pub more: String,
    /// What `kubernetes.clusterConfiguration` says.
    pub kubeadm: String,
    /// More keys of `kubernetes`.
    pub kubernetes: String,
    /// More keys of single nodes, by their name.
    pub node_keys: BTreeMap<&'static str, String>,
    /// Real Flatcar with the bakery's system extensions, instead of the lab's stand-ins.
    pub flatcar: bool,
    /// Containers whose power cuts lose what was not synced, as those of virtual machines do.
    pub losing_page_cache: bool,
    /// How long a launch may take; none: as long as any on a slow machine.
    pub launch_within: Option<Duration>,
}

impl ClusterPlan {
    /// A cluster of this size.
    pub fn new(name: &str, control_planes: u8, workers: u8) -> Self {
        Self {
            name: name.into(),
            kind: MachineKind::Nspawn,
            control_planes,
            workers,
            network: None,
            sysexts: SYSEXTS.to_vec(),
            extensions: Vec::new(),
            domain: "",
            ipv6: false,
            dual_stack: false,
            example: None,
            image: None,
            merge: Vec::new(),
            vip: None,
            vip_interface: None,
            port: PORT,
            apiserver_port: API_PORT,
            endpoint: None,
            more: String::new(),
            kubeadm: String::new(),
            kubernetes: String::new(),
            node_keys: BTreeMap::new(),
            flatcar: false,
            losing_page_cache: false,
            launch_within: None,
        }
    }

    /// The same on other machines.
    #[must_use]
    pub fn on(self, kind: MachineKind) -> Self {
        Self { kind, ..self }
    }

    /// The same with one more system extension.
    #[must_use]
    pub fn with_extension(mut self, name: &'static str, image: PathBuf) -> Self {
        self.extensions.push((name, image));
        self
    }

    /// The same on real Flatcar: everything that the lab brings is left to the defaults.
    #[must_use]
    pub fn of_flatcar(self) -> Self {
        Self {
            flatcar: true,
            network: Some("proxy: none".into()),
            sysexts: Vec::new(),
            ..self
        }
    }

    /// The same with IPv6 alone.
    #[must_use]
    pub fn of_ipv6(self) -> Self {
        Self { ipv6: true, ..self }
    }

    /// The same with the other family beside the VIP's.
    #[must_use]
    pub fn of_both_families(self) -> Self {
        Self {
            dual_stack: true,
            ..self
        }
    }

    /// The same with a copy of the lab's pod network in `dir` that names this cluster's own endpoint, where that is another.
    pub fn with_pod_network(mut self, lab: &Lab, dir: &Path) -> Result<Self> {
        let own_endpoint = self.vip() != VIP || self.port != PORT;
        let name = match &self.example {
            Some(example) => example.manifest(),
            None => (own_endpoint && self.network.is_none()).then_some("lab-net.yaml"),
        };
        if let Some(name) = name {
            let text = std::fs::read_to_string(lab.network())?;
            let file = dir.join(name);
            let vip = format!("\"{}\"", self.vip());
            let text = text.replace(&VIP.to_string(), &vip);
            let port = |port: u16| format!("\"{port}\"");
            std::fs::write(&file, text.replace(&port(PORT), &port(self.port)))?;
            self.network = Some(pod_network(&file));
        }
        Ok(self)
    }

    /// The cluster's virtual address.
    pub fn vip(&self) -> IpAddr {
        let usual = if self.ipv6 { VIP_V6.into() } else { VIP.into() };
        self.vip.unwrap_or(usual)
    }

    /// The address of the API's service, as a URL has it.
    pub fn api_service(&self) -> String {
        let (v4, v6) = ("10.96.0.1", "[fd00:10:96::1]");
        if self.ipv6 { v6 } else { v4 }.to_owned()
    }

    /// The nodes' network with this host in its last place.
    fn address(&self, host: u8) -> IpAddr {
        match self.vip() {
            IpAddr::V4(_) => Ipv4Addr::new(10, 77, 0, host).into(),
            IpAddr::V6(_) => address_v6(host).into(),
        }
    }

    /// A node's second address in a dual-stack cluster.
    pub fn second_address(&self, first: IpAddr) -> Option<IpAddr> {
        match first {
            _ if !self.dual_stack => None,
            IpAddr::V4(first) => Some(address_v6(first.octets()[3]).into()),
            IpAddr::V6(first) => {
                let [.., digits] = first.octets();
                let host = digits / 16 * 10 + digits % 16;
                Some(Ipv4Addr::new(10, 77, 0, host).into())
            }
        }
    }

    /// One address as the cluster file has it, or both.
    fn addresses(&self, first: IpAddr) -> String {
        match self.second_address(first) {
            None => format!("\"{first}\""),
            Some(second) => format!("[\"{first}\", \"{second}\"]"),
        }
    }

    /// Every node: name, role, address.
    pub fn nodes(&self) -> Vec<(String, Role, IpAddr)> {
        if let Some(example) = &self.example {
            return example.nodes.clone();
        }
        let role = |i| {
            if i <= self.control_planes {
                Role::ControlPlane
            } else {
                Role::Worker
            }
        };
        (1..=self.control_planes + self.workers)
            .map(|i| {
                (
                    format!("node{i}{}", self.domain),
                    role(i),
                    self.address(10 + i),
                )
            })
            .collect()
    }

    /// Names of the nodes of one role.
    pub fn names(&self, role: Role) -> Vec<String> {
        self.nodes()
            .into_iter()
            .filter(|n| n.1 == role)
            .map(|n| n.0)
            .collect()
    }

    /// The file's text.
    pub fn text(&self, lab: &Lab) -> String {
        if let Some(example) = &self.example {
            return example.text.clone();
        }
        let lab_net = || pod_network(&lab.network());
        let mut network = self.network.clone().unwrap_or_else(lab_net);
        if !self.kubeadm.is_empty() {
            let _ = write!(network, ", clusterConfiguration: {{{}}}", self.kubeadm);
        }
        if !self.kubernetes.is_empty() {
            let _ = write!(network, ", {}", self.kubernetes);
        }
        let vip = || {
            let (port, apiserver) = (self.port, self.apiserver_port);
            let interface = self
                .vip_interface
                .map(|name| format!(", interface: {name}"));
            format!(
                "vip: \"{}\"{}, port: {port}, apiserverPort: {apiserver}",
                self.vip(),
                interface.unwrap_or_default()
            )
        };
        let endpoint = self.endpoint.clone().unwrap_or_else(vip);
        let mut text = format!(
            "version: 1\nname: {}\nkubernetes: {{version: {}, {network}}}\n\
             endpoint: {{{endpoint}}}\n\
             network: {{prefix: {}, gateway: {}, dns: [\"{}\"]}}\n\
             provider: {}\nnodes:\n",
            self.name,
            lab.kubernetes(),
            match (self.dual_stack, self.ipv6) {
                (true, false) => "[24, 64]",
                (true, true) => "[64, 24]",
                (false, true) => "64",
                (false, false) => "24",
            },
            self.addresses(self.address(1)),
            self.name_server(),
            self.provider(lab),
        );
        for (name, role, address) in self.nodes() {
            let role = if role == Role::ControlPlane {
                "control-plane"
            } else {
                "worker"
            };
            let more = self.node_keys.get(name.as_str());
            let more = more.map_or_else(String::new, |more| format!(", {more}"));
            let _ = writeln!(
                text,
                "  - {{name: {name}, role: {role}, address: {}{more}}}",
                self.addresses(address)
            );
        }
        text += &self.sysexts_lines(lab);
        if !self.merge.is_empty() {
            let files: Vec<String> = self.merge.iter().map(|p| p.display().to_string()).collect();
            let _ = writeln!(text, "ignition: {{merge: [{}]}}", files.join(", "));
        }
        text + &self.more
    }

    fn sysexts_lines(&self, lab: &Lab) -> String {
        let mut text = String::new();
        if !self.sysexts.is_empty() {
            text.push_str("sysexts:\n");
        }
        let of_lab = self.sysexts.iter().map(|name| (*name, lab.sysext(name)));
        for (name, image) in of_lab.chain(self.extensions.clone()) {
            let _ = writeln!(text, "  {name}: {{path: {}}}", image.display());
        }
        text
    }

    /// QEMU's own network has its name server beside the gateway.
    fn name_server(&self) -> IpAddr {
        self.address(if self.kind == MachineKind::Qemu { 3 } else { 1 })
    }

    /// Virtual machines get as little as a node may have: three of them share the machine that runs the tests.
    fn provider(&self, lab: &Lab) -> String {
        let name = match self.kind {
            MachineKind::Nspawn => {
                let disks = match self.losing_page_cache {
                    true => ", disks: image",
                    false => "",
                };
                let image = self.image.clone().unwrap_or_else(|| lab.image());
                return format!("{{nspawn: {{image: {}{disks}}}}}", image.display());
            }
            MachineKind::Qemu => "qemu",
            MachineKind::Libvirt => "libvirt",
        };
        if self.flatcar {
            return format!("{{{name}: {{memory: 4GiB, accel: kvm, image: {{channel: stable}}}}}}");
        }
        let file = |name| lab.vm().join(name).display().to_string();
        let append = std::fs::read_to_string(lab.vm().join("append")).unwrap_or_default();
        let kernel = match append.trim() {
            "" => String::new(),
            append => format!(", append: \"{append}\""),
        };
        format!(
            "{{{name}: {{memory: 2GiB, cpus: 2, disk: 12GiB, image: {{path: {}, kernel: {}, initrd: {}{kernel}}}}}}}",
            file("disk.qcow2"),
            file("vmlinuz"),
            file("initrd.img"),
        )
    }
}

/// The nodes' IPv6 network with this host in its last place, in decimal digits as people write them.
fn address_v6(host: u8) -> Ipv6Addr {
    let digits = u16::from(host / 10 * 16 + host % 10);
    Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, digits)
}

/// `kubernetes.proxy` and `kubernetes.cni` for this manifest.
fn pod_network(manifest: &Path) -> String {
    let manifest = manifest.display();
    format!("proxy: nftables, cni: {{manifests: [{manifest}]}}")
}

#[cfg(test)]
mod tests;
