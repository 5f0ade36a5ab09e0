//! `nodes` as written.

use std::net::IpAddr;

use ipnet::IpNet;

use super::json::{Setting, read_settings};
use super::reader::Fields;
use super::spanned::Spanned;
use super::{HOOKS, SysextEntry, read_lists};
use crate::cluster::Mac;
use crate::yaml::{Value, YamlNode};
use ha_wire::phase::Role;

/// One of `nodes`, as written.
#[derive(Debug, Clone)]
pub struct NodeEntry {
    /// Required: hostname, Node object, etcd member.
    pub name: Option<Spanned<String>>,
    /// Needed: a silent default would make a second etcd member or a node without one.
    pub role: Option<Spanned<Role>>,
    /// Required: in the network of the VIP.
    pub address: Option<Spanned<IpAddr>>,
    /// Of the other family, in a dual-stack cluster.
    pub second_address: Option<Spanned<IpAddr>>,
    /// What its first interface is found by; the provider's, or the interface's name.
    pub mac: Option<Spanned<Mac>>,
    /// What the interface with its address is called; `network.interface`.
    pub interface: Option<Spanned<String>>,
    /// With libvirt: the host that this node runs on.
    pub uri: Option<Spanned<String>>,
    /// Interfaces besides the one with `address`.
    pub interfaces: Vec<NicFile>,
    /// Keys with their values.
    pub labels: Vec<(Spanned<String>, Spanned<String>)>,
    /// Keys with their values.
    pub annotations: Vec<(Spanned<String>, Spanned<String>)>,
    /// As mappings or in kubectl's notation.
    pub taints: Vec<TaintFile>,
    /// Whether it says anything of them: `[]` on a control plane leaves kubeadm's own out.
    pub taints_given: bool,
    /// `kubeletConfig`: this node's share.
    pub kubelet_config: Vec<Setting>,
    /// System extensions besides the cluster's.
    pub sysexts: Vec<SysextEntry>,
    /// Flatcar's own optional extensions besides the cluster's.
    pub flatcar_extensions: Vec<Spanned<String>>,
    /// `hooks.beforeJoin`: after the cluster's.
    pub before_join: Vec<Spanned<String>>,
    /// `hooks.afterReady`: after the cluster's.
    pub after_ready: Vec<Spanned<String>>,
}

/// One of `nodes[].interfaces`, as written.
#[derive(Debug, Clone)]
pub struct NicFile {
    /// Required: what the interface is found by.
    pub mac: Option<Spanned<Mac>>,
    /// Address and prefix length; left out: by DHCP.
    pub address: Option<Spanned<IpNet>>,
    /// Largest packet in bytes; left out: the interface's own.
    pub mtu: Option<Spanned<u32>>,
}

/// One of `nodes[].taints`: `{key: , value: , effect: }` or `key=value:Effect`.
#[derive(Debug, Clone)]
pub struct TaintFile {
    /// Required: a qualified name.
    pub key: Option<Spanned<String>>,
    /// Left out: empty.
    pub value: Option<Spanned<String>>,
    /// Required: `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: Option<Spanned<String>>,
}

impl NodeEntry {
    pub(super) fn read_all(f: &mut Fields<'_>) -> Option<Spanned<Vec<Self>>> {
        if !f.is_written("nodes") {
            let help = "list the machines: `- {name: node1, role: control-plane, address: 192.168.122.31}`";
            f.missing("nodes", help);
        }
        let place = f.key_place("nodes")?;
        let items = f.items("nodes")?;
        let nodes = items
            .into_iter()
            .map(|(path, item)| Self::read(f.open_item(path, item)))
            .collect();
        Some(Spanned {
            value: nodes,
            place,
            path: "nodes".to_owned(),
            given: true,
            paired: false,
        })
    }

    fn read(mut f: Fields<'_>) -> Self {
        f.known(&[
            "name",
            "role",
            "address",
            "mac",
            "interface",
            "uri",
            "interfaces",
            "labels",
            "annotations",
            "taints",
            "kubeletConfig",
            "sysexts",
            "flatcarExtensions",
            "hooks",
        ]);
        let (name, role) = (f.needed("name", "node1"), f.needed("role", "control-plane"));
        let (address, second_address) = f.needed_pair("address", "192.168.122.31");
        let (mac, uri) = (f.maybe("mac"), f.maybe("uri"));
        let interfaces = f.each("interfaces", NicFile::read);
        let labels = read_labels(f.fields("labels"));
        let annotations = read_labels(f.fields("annotations"));
        let taints_given = f.is_written("taints");
        let taints = f.items("taints").unwrap_or_default();
        let taints = taints
            .into_iter()
            .filter_map(|(path, item)| TaintFile::read(&mut f, path, item))
            .collect();
        let [before_join, after_ready] = read_lists(f.fields("hooks"), HOOKS);
        Self {
            name,
            role,
            address,
            second_address,
            mac,
            interface: f.maybe("interface"),
            uri,
            interfaces,
            labels,
            annotations,
            taints,
            taints_given,
            kubelet_config: read_settings(&mut f, "kubeletConfig"),
            sysexts: SysextEntry::read_all(&mut f),
            flatcar_extensions: f.list("flatcarExtensions"),
            before_join,
            after_ready,
        }
    }

    /// One of `loadBalancer.mode.machines`: a machine without a Node object.
    pub(super) fn read_balancer(mut f: Fields<'_>) -> Self {
        f.known(&[
            "name",
            "address",
            "mac",
            "uri",
            "interface",
            "interfaces",
            "sysexts",
            "flatcarExtensions",
        ]);
        let (address, second_address) = f.needed_pair("address", "192.168.122.21");
        Self {
            role: f.default("role", Role::LoadBalancer),
            name: f.needed("name", "lb1"),
            address,
            second_address,
            mac: f.maybe("mac"),
            uri: f.maybe("uri"),
            interface: f.maybe("interface"),
            interfaces: f.each("interfaces", NicFile::read),
            sysexts: SysextEntry::read_all(&mut f),
            flatcar_extensions: f.list("flatcarExtensions"),
            labels: Vec::new(),
            annotations: Vec::new(),
            taints: Vec::new(),
            taints_given: false,
            kubelet_config: Vec::new(),
            before_join: Vec::new(),
            after_ready: Vec::new(),
        }
    }

    /// Whether it is one of `loadBalancer.mode.machines`.
    pub(crate) fn is_balancer(&self) -> bool {
        self.role.as_ref().map(|role| role.value) == Some(Role::LoadBalancer)
    }

    /// Whether it is a control plane without any taint.
    pub(crate) fn is_untainted(&self) -> bool {
        let is_plane = self.role.as_ref().map(|role| role.value) == Some(Role::ControlPlane);
        is_plane && self.taints_given && self.taints.is_empty()
    }
}

impl NicFile {
    fn read(mut f: Fields<'_>) -> Self {
        f.known(&["mac", "address", "mtu"]);
        Self {
            mac: f.needed("mac", "52:54:00:12:34:56"),
            address: f.maybe("address"),
            mtu: f.maybe("mtu"),
        }
    }
}

fn read_labels(mut f: Fields<'_>) -> Vec<(Spanned<String>, Spanned<String>)> {
    let mut labels = Vec::new();
    for (key, node) in f.take_all() {
        let value = match node.value {
            Value::Empty => Some(key.with(String::new())),
            _ => f.item_scalar(key.path.clone(), node),
        };
        labels.extend(value.map(|value| (key, value)));
    }
    labels
}

impl TaintFile {
    fn read(f: &mut Fields<'_>, path: String, item: YamlNode) -> Option<Self> {
        if !matches!(item.value, Value::Scalar { .. }) {
            let mut f = f.open_item(path, item);
            f.known(&["key", "value", "effect"]);
            return Some(Self {
                key: f.needed("key", "dedicated"),
                value: f.maybe("value"),
                effect: f.needed("effect", "NoSchedule"),
            });
        }
        let text: Spanned<String> = f.item_scalar(path, item)?;
        let Some((left, effect)) = text.value.rsplit_once(':') else {
            f.fault(text.error("is not a taint", "write `key=value:NoSchedule`"));
            return None;
        };
        let (key, value) = left.split_once('=').unwrap_or((left, ""));
        let part = |part: &str| Some(text.with(part.to_owned()));
        Some(Self {
            key: part(key),
            value: part(value),
            effect: part(effect),
        })
    }
}
