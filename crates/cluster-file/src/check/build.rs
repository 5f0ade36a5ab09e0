//! From a file without errors to the valid type. Every `?` stands for a fault that the reader has already reported.

use std::path::Path;

use super::machines;
use crate::bakery;
use crate::cluster::{Cluster, Kubernetes, Network, Nic, Node, Sysext};
use crate::file::{
    At, ClusterFile, CniFile, KubernetesFile, LoadBalancerFile, NicFile, NodeEntry, SysextEntry,
    object,
};
use ha_wire::settings::{Cni, Endpoint, ExtraPort, Hooks, LbMode, LoadBalancer, Taint};

/// The valid cluster; none if a value that it needs is missing.
pub(super) fn cluster(file: ClusterFile, base: &Path) -> Option<Cluster> {
    let cidr = file.node_network()?;
    let prefix = file.network.prefix?.value;
    let name = file.name?.value;
    let kubernetes = kubernetes(file.kubernetes, base)?;
    let provider = machines::provider(file.provider?.value, base)?;
    let sysexts = match provider.vm() {
        Some(_) if !file.sysexts_given => bakery::defaults(&kubernetes),
        _ => all(file.sysexts, |s| sysext(s, base))?,
    };
    let mut nodes: Vec<Node> = all(file.nodes?.value, node)?;
    if provider.vm().is_some() {
        machines::addresses(&name, &mut nodes);
    }
    Some(Cluster {
        name,
        kubernetes,
        endpoint: Endpoint {
            vip: file.endpoint.vip?.value,
            port: file.endpoint.port?.value,
        },
        load_balancer: load_balancer(file.load_balancer)?,
        network: Network {
            prefix,
            cidr,
            gateway: file.network.gateway?.value,
            dns: values(file.network.dns),
            interface: file.network.interface?.value,
            mtu: file.network.mtu.map(|at| at.value),
        },
        authorized_keys: values(file.authorized_keys),
        nodes,
        assets: machines::assets(file.assets, &provider, base),
        provider,
        sysexts,
        updates: file.updates?.value,
        ignition_merge: all(file.ignition_merge, |path| Some(base.join(path.value)))?,
        hooks: Hooks {
            before_join: values(file.before_join),
            after_ready: values(file.after_ready),
        },
    })
}

/// Every item by `make`, or none at all.
fn all<A, B, C: FromIterator<B>>(items: Vec<A>, make: impl Fn(A) -> Option<B>) -> Option<C> {
    items.into_iter().map(make).collect()
}

fn values<T>(list: Vec<At<T>>) -> Vec<T> {
    list.into_iter().map(|at| at.value).collect()
}

fn kubernetes(file: KubernetesFile, base: &Path) -> Option<Kubernetes> {
    let cni = match file.cni?.value {
        CniFile::Cilium { version, values } => Cni::Cilium {
            version: version?.value,
            values: object(values),
        },
        CniFile::Manifests(sources) => Cni::Manifests {
            sources: sources.iter().map(|s| source(&s.value, base)).collect(),
        },
        CniFile::None => Cni::None,
    };
    Some(Kubernetes {
        version: file.version?.value,
        pod_cidr: file.pod_cidr?.value.trunc(),
        service_cidr: file.service_cidr?.value.trunc(),
        cri: file.cri?.value,
        proxy: file.proxy?.value,
        cni,
        cert_sans: values(file.cert_sans),
        kubelet_config: object(file.kubelet_config),
        cluster_configuration: object(file.cluster_configuration),
    })
}

fn nic(file: NicFile) -> Option<Nic> {
    Some(Nic {
        mac: file.mac?.value,
        address: file.address.map(|at| at.value),
        mtu: file.mtu.map(|at| at.value),
    })
}

/// A URL as it is, a file by its absolute path.
fn source(text: &str, base: &Path) -> String {
    if ha_wire::settings::is_url(text) {
        text.to_owned()
    } else {
        base.join(text).to_string_lossy().into_owned()
    }
}

fn load_balancer(file: LoadBalancerFile) -> Option<LoadBalancer> {
    let extra = |port: crate::file::ExtraPortFile| {
        Some(ExtraPort {
            name: port.name?.value,
            port: port.port?.value,
            target: port.target?.value,
        })
    };
    Some(LoadBalancer {
        mode: LbMode::Native,
        stats: file.stats.map(|at| at.value),
        extra_ports: file
            .extra_ports
            .into_iter()
            .map(extra)
            .collect::<Option<_>>()?,
        advert_interval_ms: file.advert_interval_ms?.value,
    })
}

fn node(file: NodeEntry) -> Option<Node> {
    let taint = |taint: crate::file::TaintFile| {
        let value = taint.value.map(|at| at.value).unwrap_or_default();
        Some(Taint {
            key: taint.key?.value,
            value,
            effect: taint.effect?.value,
        })
    };
    Some(Node {
        name: file.name?.value,
        role: file.role?.value,
        address: file.address?.value,
        mac: file.mac.map(|at| at.value),
        uri: file.uri.map(|at| at.value),
        interfaces: all(file.interfaces, nic)?,
        labels: file
            .labels
            .into_iter()
            .map(|(key, value)| (key.value, value.value))
            .collect(),
        taints: file.taints.into_iter().map(taint).collect::<Option<_>>()?,
    })
}

fn sysext(file: SysextEntry, base: &Path) -> Option<(String, Sysext)> {
    let source = match (file.path, file.url, file.version) {
        (Some(path), _, _) => Sysext::File(base.join(path.value)),
        (None, Some(url), _) => Sysext::Url {
            url: url.value,
            sha256: file.sha256?.value.to_lowercase(),
        },
        (None, None, Some(version)) => Sysext::Bakery {
            version: version.value,
        },
        (None, None, None) => return None,
    };
    Some((file.name.value, source))
}
