//! The cluster file as written: every key with its place, defaults filled in. [`crate::check`] makes a valid
//! [`crate::cluster::Cluster`] of it.
//!
//! A field that is `None` was left out although it is needed, or could not be read; a fault says so already, and rules
//! that need it keep quiet.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::cluster::Updates;
use crate::diagnostic::{Fault, Place};
use crate::minors::{Minor, minor_of};
use crate::yaml;
use ha_wire::kubernetes::APISERVER_PORT;
use ha_wire::settings::LbMode;

mod assets;
mod choices;
mod etcd;
mod json;
mod kubernetes;
mod links;
mod load_balancer;
mod nodes;
mod pairs;
mod provider;
mod proxy;
mod reader;
mod registries;
mod scalars;
mod spanned;
mod unseen_values;

pub use assets::AssetsFile;
pub use etcd::{EtcdFile, ExternalEtcdFile};
pub use json::Setting;
pub(crate) use json::{scalar_as_json, settings_as_object};
pub(crate) use kubernetes::chart_file_version;
pub use kubernetes::{
    CRI, CniFile, KubernetesFile, ManifestFile, POD_CIDR, POD_CIDR_V6, PROXY, SERVICE_CIDR,
    SERVICE_CIDR_V6,
};
pub use links::{BondFile, VlanFile};
pub(crate) use load_balancer::MACHINES_HELP;
pub use load_balancer::{
    ADVERT_INTERVAL_MS, ExtraPortFile, ImagesFile, LB_MODE, LoadBalancerFile, StatsFile,
    TimeoutsFile,
};
pub use nodes::{NicFile, NodeEntry, TaintFile};
pub use provider::{
    APPEND, CHANNEL, CPU, CPUS, DISK, DiskForm, ImageFile, LIBVIRT_URI, LibvirtFile, MEMORY,
    NetworkChoice, NspawnFile, POOL, ProviderFile, SysextForm, VmFile,
};
pub use proxy::ProxyFile;
use reader::{Fields, Reader};
pub use registries::{RegistryAuthFile, RegistryFile};
pub use scalars::Size;
pub use spanned::Spanned;
use unseen_values::find_in_values;

/// The version of the cluster file's format.
pub const VERSION: u32 = 1;
/// haproxy's port on the VIP (somebody else's balancer has the apiserver's own): haproxy binds every address of a control plane, so the apiserver's own 6443 is taken.
pub const PORT: u16 = 6444;
/// What the first interface is called on Flatcar in virtual machines, and by our own providers.
pub const INTERFACE: &str = "eth0";

/// The keys of `hooks`.
const HOOKS: [&str; 2] = ["beforeJoin", "afterReady"];
/// What `sysexts` says where the image has them.
const NO_SYSEXTS: &str = "none";

/// The whole cluster file, as written.
#[derive(Debug, Clone)]
pub struct ClusterFile {
    /// Version of the format; default [`VERSION`].
    pub version: Option<Spanned<u32>>,
    /// Required: the cluster's name, a DNS label.
    pub name: Option<Spanned<String>>,
    /// Kubernetes as a whole.
    pub kubernetes: KubernetesFile,
    /// Where the API answers.
    pub endpoint: EndpointFile,
    /// How the VIP and the load balancer are run.
    pub load_balancer: LoadBalancerFile,
    /// The network of the nodes' addresses and the VIP.
    pub network: NetworkFile,
    /// `ssh.authorizedKeys`: public keys of user `core`.
    pub authorized_keys: Vec<Spanned<String>>,
    /// The list of nodes, with its place; the load balancer's machines after them.
    pub nodes: Option<Spanned<Vec<NodeEntry>>>,
    /// Who makes the machines.
    pub provider: Option<Spanned<ProviderFile>>,
    /// System extensions that the file names.
    pub sysexts: Vec<SysextEntry>,
    /// Whether it says anything of them; `none` is the word where the image has them.
    pub sysexts_given: bool,
    /// How they reach the nodes; the provider's own way.
    pub assets: Option<Spanned<AssetsFile>>,
    /// Who updates them; nobody.
    pub updates: Option<Spanned<Updates>>,
    /// Through what nodes fetch; directly.
    pub proxy: Option<ProxyFile>,
    /// `flatcarExtensions`: on every node.
    pub flatcar_extensions: Vec<Spanned<String>>,
    /// `ssh.kubeconfig`: whether `core` of control planes has the administrator's; no.
    pub core_kubeconfig: Option<Spanned<bool>>,
    /// `trustedCAs`: files with certificates.
    pub trusted_cas: Vec<Spanned<String>>,
    /// How nodes reach registries of container images.
    pub registries: Vec<RegistryFile>,
    /// `ignition.merge`: the user's own Ignition files.
    pub ignition_merge: Vec<Spanned<String>>,
    /// `hooks.beforeJoin`: commands before init or join.
    pub before_join: Vec<Spanned<String>>,
    /// `hooks.afterReady`: commands once the node is Ready.
    pub after_ready: Vec<Spanned<String>>,
    /// Warnings of characters that nobody sees, in any value.
    pub(crate) unseen: Vec<Fault>,
}

/// `endpoint`, as written: where the API answers.
#[derive(Debug, Clone)]
pub struct EndpointFile {
    /// Required: the address that control planes pass on, or the first one of somebody else's balancer.
    pub vip: Option<Spanned<IpAddr>>,
    /// The interface that it is passed on at; left out: the nodes' own.
    pub interface: Option<Spanned<String>>,
    /// The balancer's port on it; default [`PORT`], with somebody else's balancer [`APISERVER_PORT`].
    pub port: Option<Spanned<u16>>,
    /// Every apiserver's on its node's own address; default [`APISERVER_PORT`].
    pub apiserver_port: Option<Spanned<u16>>,
    /// What kubeconfigs and certificates call it; left out: by its address.
    pub name: Option<Spanned<String>>,
    /// `addresses`: those of somebody else's balancer, [`Self::vip`] among them.
    pub addresses: Vec<Spanned<IpAddr>>,
    /// Where `addresses` is written.
    pub(crate) addresses_written: Option<Spanned<()>>,
    /// Where `vip` is written.
    pub(crate) vip_written: Option<Spanned<()>>,
}

/// `network`, as written.
#[derive(Debug, Clone)]
pub struct NetworkFile {
    /// Required: prefix length of the network of the VIP.
    pub prefix: Option<Spanned<u8>>,
    /// The first host address of the network of VIP and prefix.
    pub gateway: Option<Spanned<IpAddr>>,
    /// Of the nodes' second network, in a dual-stack cluster.
    pub second_prefix: Option<Spanned<u8>>,
    /// There, too: the first host address.
    pub second_gateway: Option<Spanned<IpAddr>>,
    /// Name servers; left out: none is written.
    pub dns: Vec<Spanned<IpAddr>>,
    /// Whether it says anything of them, be it that there are none.
    pub dns_given: bool,
    /// Name of the nodes' interface; default [`INTERFACE`].
    pub interface: Option<Spanned<String>>,
    /// What it is made of: several interfaces as one.
    pub bond: Option<BondFile>,
    /// What it is: a VLAN of another.
    pub vlan: Option<VlanFile>,
    /// Time servers, by name or address; left out: the image's own.
    pub ntp: Vec<Spanned<String>>,
    /// Largest packet in bytes; left out: the interface's own.
    pub mtu: Option<Spanned<u32>>,
}

/// One of `sysexts`, as written: a system extension by name.
#[derive(Debug, Clone)]
pub struct SysextEntry {
    /// Its name, which is its key.
    pub name: Spanned<String>,
    /// Where to fetch it from.
    pub url: Option<Spanned<String>>,
    /// Its hash; needed with `url`.
    pub sha256: Option<Spanned<String>>,
    /// Or a local file.
    pub path: Option<Spanned<String>>,
    /// Or a version of the bakery's.
    pub version: Option<Spanned<String>>,
}

impl ClusterFile {
    /// Reads the text as far as it can be read, and says what could not.
    pub(crate) fn read(text: &str) -> (Self, Vec<Fault>) {
        let mut faults = Vec::new();
        let root = yaml::parse_yaml(text, &mut faults);
        // A file that is not YAML has one fault; "name is missing" and its like would only hide it.
        if root.is_none() && faults.is_empty() {
            let help = "`ha-host new` writes one to start from";
            faults.push(Fault::error(
                Place::START,
                "",
                "the cluster file is empty",
                help,
            ));
        }
        let (unreadable, parsed) = (root.is_none(), faults.len());
        let mut reader = Reader { faults };
        let unseen = root.as_ref().map(|root| find_in_values(root, text));
        let mut file = Self::from_fields(Fields::root(&mut reader, root));
        if let Some(nodes) = &mut file.nodes {
            nodes.value.append(&mut file.load_balancer.machines);
        }
        file.unseen = unseen.unwrap_or_default();
        if unreadable {
            reader.faults.truncate(parsed);
        }
        (file, reader.faults)
    }

    /// The network of [`Self::anchor`] and the prefix.
    pub fn node_network(&self) -> Option<IpNet> {
        network_of(self.anchor(), self.network.prefix.as_ref())
    }

    /// The address whose network is the nodes': the VIP; where that is elsewhere, the first node's.
    pub(crate) fn anchor(&self) -> Option<&Spanned<IpAddr>> {
        match self.has_endpoint_elsewhere() {
            true => self.entries().first()?.address.as_ref(),
            false => self.endpoint.vip.as_ref(),
        }
    }

    /// The endpoint is in no network of the nodes' own addresses: somebody else's, or on another interface.
    pub(crate) fn has_endpoint_elsewhere(&self) -> bool {
        self.load_balancer.is_external() || self.endpoint.interface.is_some()
    }

    /// The nodes' second network: the first node's.
    pub fn second_network(&self) -> Option<IpNet> {
        let address = self
            .entries()
            .iter()
            .find_map(|n| n.second_address.as_ref());
        network_of(address, self.network.second_prefix.as_ref())
    }

    /// The row of the Kubernetes version; none if it is not known.
    pub(crate) fn minor(&self) -> Option<&'static Minor> {
        minor_of(&self.kubernetes.version.as_ref()?.value)
    }

    /// The machines, those of the load balancer last; none if the list of nodes could not be read.
    pub(crate) fn entries(&self) -> &[NodeEntry] {
        self.nodes.as_ref().map_or(&[], |nodes| &nodes.value)
    }

    /// Those among them that become Nodes.
    pub(crate) fn kubernetes_entries(&self) -> impl Iterator<Item = &NodeEntry> {
        self.entries().iter().filter(|node| !node.is_balancer())
    }

    /// Whether keepalived and haproxy have machines of their own.
    pub(crate) fn has_balancer_machines(&self) -> bool {
        let mode = self.load_balancer.mode.as_ref();
        mode.is_some_and(|mode| mode.value == LbMode::Machines)
    }

    fn from_fields(mut f: Fields<'_>) -> Self {
        f.known(&[
            "version",
            "name",
            "kubernetes",
            "endpoint",
            "loadBalancer",
            "network",
            "ssh",
            "nodes",
            "provider",
            "sysexts",
            "flatcarExtensions",
            "assets",
            "updates",
            "proxy",
            "trustedCAs",
            "registries",
            "ignition",
            "hooks",
        ]);
        let name = f.needed("name", "demo");
        let load_balancer = LoadBalancerFile::read(f.fields("loadBalancer"));
        let is_external = load_balancer.is_external();
        let endpoint = EndpointFile::read(f.fields("endpoint"), is_external);
        let nodes = NodeEntry::read_all(&mut f);
        let vip = endpoint.vip.as_ref().map(|at| at.value);
        let entries = nodes.iter().flat_map(|nodes| &nodes.value);
        let second = entries
            .filter_map(|node| node.second_address.as_ref())
            .next();
        let kubernetes = KubernetesFile::read(f.fields("kubernetes"), vip, second.is_some());
        let first = nodes.as_ref().and_then(|nodes| nodes.value.first());
        let anchor = match is_external || endpoint.interface.is_some() {
            true => first.and_then(|node| node.address.clone()),
            false => endpoint.vip.clone(),
        };
        let (authorized_keys, core_kubeconfig) = read_ssh(f.fields("ssh"));
        let [ignition_merge] = read_lists(f.fields("ignition"), ["merge"]);
        let [before_join, after_ready] = read_lists(f.fields("hooks"), HOOKS);
        Self {
            version: f.or("version", VERSION),
            name,
            kubernetes,
            network: NetworkFile::read(f.fields("network"), anchor.as_ref(), second),
            load_balancer,
            endpoint,
            nodes,
            provider: ProviderFile::read(&mut f),
            sysexts_given: f.is_written("sysexts"),
            sysexts: SysextEntry::read_all(&mut f),
            assets: AssetsFile::read(&mut f),
            flatcar_extensions: f.list("flatcarExtensions"),
            core_kubeconfig,
            updates: f.or("updates", Updates::None),
            proxy: ProxyFile::read(&mut f),
            trusted_cas: f.list("trustedCAs"),
            registries: f.each("registries", RegistryFile::read),
            authorized_keys,
            ignition_merge,
            before_join,
            after_ready,
            unseen: Vec::new(),
        }
    }
}

/// A mapping of nothing but lists of text, one list for each key.
fn read_lists<const N: usize>(mut f: Fields<'_>, keys: [&str; N]) -> [Vec<Spanned<String>>; N] {
    f.known(&keys);
    keys.map(|key| f.list(key))
}

fn read_ssh(mut f: Fields<'_>) -> (Vec<Spanned<String>>, Option<Spanned<bool>>) {
    f.known(&["authorizedKeys", "kubeconfig"]);
    (f.list("authorizedKeys"), f.or("kubeconfig", false))
}

fn network_of(vip: Option<&Spanned<IpAddr>>, prefix: Option<&Spanned<u8>>) -> Option<IpNet> {
    IpNet::new(vip?.value, prefix?.value)
        .ok()
        .map(|net| net.trunc())
}

/// What a v6 network begins with belongs to all of its routers.
fn first_host(net: IpNet) -> Option<IpAddr> {
    net.hosts().find(|host| *host != net.network())
}

impl EndpointFile {
    fn read(mut f: Fields<'_>, is_external: bool) -> Self {
        f.known(&[
            "vip",
            "interface",
            "port",
            "apiserverPort",
            "name",
            "addresses",
        ]);
        let vip_written = f.where_written("vip");
        let addresses_written = f.where_written("addresses");
        let addresses = f.list("addresses");
        let vip = match (is_external, &vip_written) {
            (true, None) if addresses_written.is_some() => addresses.first().cloned(),
            (true, None) => f.needed("addresses", "[192.0.2.10]"),
            _ => f.needed("vip", "192.168.122.30"),
        };
        Self {
            vip,
            interface: f.maybe("interface"),
            port: f.or("port", if is_external { APISERVER_PORT } else { PORT }),
            apiserver_port: f.or("apiserverPort", APISERVER_PORT),
            name: f.maybe("name"),
            addresses,
            addresses_written,
            vip_written,
        }
    }
}

impl NetworkFile {
    /// `vip` and `second`: addresses of the nodes' networks.
    fn read(
        mut f: Fields<'_>,
        vip: Option<&Spanned<IpAddr>>,
        second: Option<&Spanned<IpAddr>>,
    ) -> Self {
        f.known(&[
            "prefix",
            "gateway",
            "dns",
            "ntp",
            "interface",
            "bond",
            "vlan",
            "mtu",
        ]);
        let (prefix, second_prefix) = f.needed_pair("prefix", "24");
        let gateways = [(vip, &prefix), (second, &second_prefix)];
        let [first, other] =
            gateways.map(|(at, prefix)| first_host(network_of(at, prefix.as_ref())?));
        let (gateway, second_gateway) = f.pair_or("gateway", first, other);
        Self {
            prefix,
            gateway,
            second_prefix,
            second_gateway,
            dns_given: f.is_written("dns"),
            dns: f.list("dns"),
            ntp: f.list("ntp"),
            interface: f.or("interface", INTERFACE.to_owned()),
            bond: BondFile::read(&mut f),
            vlan: VlanFile::read(&mut f),
            mtu: f.maybe("mtu"),
        }
    }
}

impl SysextEntry {
    fn read_all(f: &mut Fields<'_>) -> Vec<Self> {
        if f.has_text("sysexts", NO_SYSEXTS) {
            f.raw("sysexts");
            return Vec::new();
        }
        let mut sysexts = f.fields("sysexts");
        let mut entries = Vec::new();
        for (name, node) in sysexts.take_all() {
            let mut f = sysexts.open_value(&name, node);
            f.known(&["version", "url", "sha256", "path"]);
            entries.push(Self {
                name,
                url: f.maybe("url"),
                sha256: f.maybe("sha256"),
                path: f.maybe("path"),
                version: f.maybe("version"),
            });
        }
        entries
    }
}
