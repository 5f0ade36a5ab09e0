//! `kubernetes` as written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::etcd::EtcdFile;
use super::json::{Setting, read_settings};
use super::reader::Fields;
use super::spanned::Spanned;
use crate::diagnostic::Fault;
use crate::minors::{default_minor, example_version, minor_of};
use crate::version::version_parts;
use crate::yaml::{Value, YamlNode};
use ha_wire::settings::{Cri, KubeProxy};

/// kubeadm's guides' and flannel's pod network: 256 nodes, and nobody's home network.
pub const POD_CIDR: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 16));
/// kubeadm's own default for services.
pub const SERVICE_CIDR: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 12));
/// kind's pod network where the VIP is an IPv6 address: 256 nodes.
pub const POD_CIDR_V6: IpNet = IpNet::V6(Ipv6Net::new_assert(
    Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 0),
    56,
));
/// kind's network for services there.
pub const SERVICE_CIDR_V6: IpNet = IpNet::V6(Ipv6Net::new_assert(
    Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0),
    112,
));
/// Flatcar's own container runtime: no sysext is needed.
pub const CRI: Cri = Cri::Containerd;
/// No kube-proxy: Cilium, the default, replaces it.
pub const PROXY: KubeProxy = KubeProxy::None;
/// For who writes `cni: weave`.
const CNI_HINT: &str = "; Calico, Flannel and others are `{manifests: [{url: https://..., sha256: HASH}]}` or `{manifests: [FILE]}`";
/// For who calls a pod network by its name: what the file needs for it. Neither of them replaces kube-proxy as its manifest comes.
const CNI_HINTS: [(&str, &str); 2] = [
    (
        "calico",
        "write `cni: {manifests: [{url: URL of calico.yaml, sha256: HASH}]}` and `proxy: nftables`; leave CALICO_IPV4POOL_CIDR in it \
         commented out, as it comes: Calico then takes `podCIDR` as kubeadm was told it. Where it is set, it has to be `podCIDR` \
         (10.244.0.0/16 unless written)",
    ),
    (
        "flannel",
        "write `cni: {manifests: [{url: URL of kube-flannel.yml, sha256: HASH}]}` and `proxy: nftables`; `Network` in the manifest's \
         net-conf.json, 10.244.0.0/16 as it comes, has to be `podCIDR` (the same by default)",
    ),
];

/// `kubernetes`, as written.
#[derive(Debug, Clone)]
pub struct KubernetesFile {
    /// Required: an exact version.
    pub version: Option<Spanned<String>>,
    /// Pod network; default [`POD_CIDR`], or [`POD_CIDR_V6`] with an IPv6 VIP.
    pub pod_cidr: Option<Spanned<IpNet>>,
    /// Service network; default [`SERVICE_CIDR`], or [`SERVICE_CIDR_V6`].
    pub service_cidr: Option<Spanned<IpNet>>,
    /// Of the other family, in a dual-stack cluster; default the other one of the two above, as for the next.
    pub second_pod_cidr: Option<Spanned<IpNet>>,
    /// The same for services.
    pub second_service_cidr: Option<Spanned<IpNet>>,
    /// Container runtime; default [`CRI`].
    pub cri: Option<Spanned<Cri>>,
    /// kube-proxy's mode; default [`PROXY`].
    pub proxy: Option<Spanned<KubeProxy>>,
    /// Who brings the pod network; default Cilium, the chart of the minor.
    pub cni: Option<Spanned<CniFile>>,
    /// Where etcd runs; default: on the control planes.
    pub etcd: Option<Spanned<EtcdFile>>,
    /// `certSANs`: further names of the apiserver's certificate.
    pub cert_sans: Vec<Spanned<String>>,
    /// `kubeletConfig`: passed on to the kubelet.
    pub kubelet_config: Vec<Setting>,
    /// `clusterConfiguration`: passed on to kubeadm.
    pub cluster_configuration: Vec<Setting>,
    /// `timeouts`: how long kubeadm waits for what.
    pub timeouts: Vec<Setting>,
}

/// `kubernetes.cni`: who brings the pod network.
#[derive(Debug, Clone)]
pub enum CniFile {
    /// `{cilium: {...}}`: Cilium, by its CLI on the founder.
    Cilium {
        /// Version of Cilium's chart; default: the one of Kubernetes' minor ([`crate::minors`]).
        version: Option<Spanned<String>>,
        /// The chart itself, a local `.tgz` file; default: the CLI has it.
        chart: Option<Spanned<String>>,
        /// Helm values, merged last.
        values: Vec<Setting>,
    },
    /// `{manifests: [...]}`, applied in this order.
    Manifests(Vec<ManifestFile>),
    /// `none`: somebody else does.
    None,
}

/// An item of `kubernetes.cni.manifests`.
#[derive(Debug, Clone)]
pub enum ManifestFile {
    /// A file, or a URL that the founder fetches.
    Plain(Spanned<String>),
    /// `{url: ..., sha256: ...}`: fetched on the operator's machine, and from then on like a file.
    Hashed {
        /// Where it is fetched.
        url: Spanned<String>,
        /// The hash of what has to be there.
        sha256: Option<Spanned<String>>,
    },
}

impl KubernetesFile {
    /// `dual`: nodes have addresses of both families.
    pub(super) fn read(mut f: Fields<'_>, vip: Option<IpAddr>, dual: bool) -> Self {
        f.known(&[
            "version",
            "podCIDR",
            "serviceCIDR",
            "cri",
            "proxy",
            "cni",
            "etcd",
            "certSANs",
            "kubeletConfig",
            "clusterConfiguration",
            "timeouts",
        ]);
        let version: Option<Spanned<String>> = f.needed("version", example_version());
        let minor = version.as_ref().and_then(|at| minor_of(&at.value));
        let cilium = minor.unwrap_or_else(default_minor).cilium;
        let (mut pods, mut services) = ([POD_CIDR, POD_CIDR_V6], [SERVICE_CIDR, SERVICE_CIDR_V6]);
        if vip.is_some_and(|vip| vip.is_ipv6()) {
            pods.reverse();
            services.reverse();
        }
        let mut networks =
            |key, [first, second]: [IpNet; 2]| f.pair_or(key, Some(first), dual.then_some(second));
        let (pod_cidr, second_pod_cidr) = networks("podCIDR", pods);
        let (service_cidr, second_service_cidr) = networks("serviceCIDR", services);
        Self {
            version,
            pod_cidr,
            service_cidr,
            second_pod_cidr,
            second_service_cidr,
            cri: f.or("cri", CRI),
            proxy: f.or("proxy", PROXY),
            cni: CniFile::read(&mut f, cilium),
            etcd: EtcdFile::read(&mut f),
            cert_sans: f.list("certSANs"),
            kubelet_config: read_settings(&mut f, "kubeletConfig"),
            cluster_configuration: read_settings(&mut f, "clusterConfiguration"),
            timeouts: read_settings(&mut f, "timeouts"),
        }
    }
}

impl CniFile {
    /// `cilium` is the default chart's version.
    fn read(f: &mut Fields<'_>, cilium: &str) -> Option<Spanned<Self>> {
        let named = |(name, _): &&(&str, &str)| f.has_text("cni", name);
        if let Some((name, help)) = CNI_HINTS.iter().find(named) {
            let (_, node) = f.take("cni")?;
            let message =
                format!("kubernetes.cni: `{name}` is not a choice here: it comes by its manifest");
            f.fault(Fault::error(node.place, "kubernetes.cni", message, *help));
            return None;
        }
        let (word, options) = f.choice("cni", &["cilium", "manifests", "none"], CNI_HINT)?;
        let value = match word.value {
            "manifests" => Self::Manifests(ManifestFile::read_all(f, &word, options)),
            "none" => {
                f.options(&word, options).known(&[]);
                Self::None
            }
            _ => {
                let mut f = f.options(&word, options);
                f.known(&["version", "chart", "values"]);
                let chart: Option<Spanned<String>> = f.maybe("chart");
                let named = chart.as_ref().and_then(|at| chart_file_version(&at.value));
                Self::Cilium {
                    version: f.or("version", named.unwrap_or(cilium).to_owned()),
                    chart,
                    values: read_settings(&mut f, "values"),
                }
            }
        };
        Some(word.with(value))
    }
}

impl ManifestFile {
    fn read_all(f: &mut Fields<'_>, word: &Spanned<&'static str>, list: YamlNode) -> Vec<Self> {
        let items = f.option_items(word, list).into_iter();
        items
            .filter_map(|(path, item)| match item.value {
                Value::Map(_) => Self::read_hashed(f.open_item(path, item)),
                _ => f.item_scalar(path, item).map(Self::Plain),
            })
            .collect()
    }

    fn read_hashed(mut f: Fields<'_>) -> Option<Self> {
        f.known(&["url", "sha256"]);
        let sha256 = f.maybe("sha256");
        let url = f.needed("url", "https://...")?;
        Some(Self::Hashed { url, sha256 })
    }
}

/// The version that Helm's own name of a chart's file says: 1.20.2 of `charts/cilium-1.20.2.tgz`.
pub(crate) fn chart_file_version(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    let version = name.strip_prefix("cilium-")?.strip_suffix(".tgz")?;
    version_parts(version).map(|_| version)
}
