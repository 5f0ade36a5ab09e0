//! From a file without errors to the valid type. Every `?` stands for a fault that the reader has already reported.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::cluster::{
    Cluster, Cni, Etcd, ExtraPort, Hooks, Kubernetes, LoadBalancer, Network, Node, Nspawn,
    Provider, Sysext, Taint,
};
use crate::file::{
    At, ClusterFile, CniFile, EtcdFile, KubernetesFile, LoadBalancerFile, NodeEntry, ProviderFile,
    SysextEntry, SysextForm, VmFile, object,
};
use crate::node::Endpoint;

/// The valid cluster.
pub(super) fn cluster(file: ClusterFile, base: &Path) -> Option<Cluster> {
    let cidr = file.node_network()?;
    let prefix = file.network.prefix?.value;
    Some(Cluster {
        name: file.name?.value,
        kubernetes: kubernetes(file.kubernetes, base)?,
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
        },
        authorized_keys: values(file.authorized_keys),
        nodes: all(file.nodes?.value, node)?,
        provider: provider(file.provider?.value, base)?,
        sysexts: all(file.sysexts, |s| sysext(s, base))?,
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
        etcd: etcd(file.etcd?.value, base)?,
        cert_sans: values(file.cert_sans),
        kubelet_config: object(file.kubelet_config),
        cluster_configuration: object(file.cluster_configuration),
    })
}

/// A URL as it is, a file by its absolute path.
fn source(text: &str, base: &Path) -> String {
    if super::is_url(text) {
        text.to_owned()
    } else {
        base.join(text).to_string_lossy().into_owned()
    }
}

fn etcd(file: EtcdFile, base: &Path) -> Option<Etcd> {
    let path = |at: Option<At<String>>| -> Option<PathBuf> { Some(base.join(at?.value)) };
    match file {
        EtcdFile::Stacked => Some(Etcd::Stacked),
        EtcdFile::External(external) => Some(Etcd::External {
            endpoints: values(external.endpoints),
            ca: path(external.ca)?,
            cert: path(external.cert)?,
            key: path(external.key)?,
        }),
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
        mode: file.mode?.value,
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
        labels: file
            .labels
            .into_iter()
            .map(|(key, value)| (key.value, value.value))
            .collect(),
        taints: file.taints.into_iter().map(taint).collect::<Option<_>>()?,
    })
}

fn provider(file: ProviderFile, base: &Path) -> Option<Provider> {
    Some(match file {
        ProviderFile::Libvirt(vm) => Provider::Libvirt(machine(vm, base)?),
        ProviderFile::Qemu(vm) => Provider::Qemu(machine(vm, base)?),
        ProviderFile::Nspawn(options) => Provider::Nspawn(Nspawn {
            image: base.join(options.image?.value),
            sysexts_as_directories: options.sysexts?.value == SysextForm::Directory,
        }),
        ProviderFile::None => Provider::None,
    })
}

/// Options of virtual machines, defaults filled in, sizes in bytes.
fn machine(file: VmFile, base: &Path) -> Option<Value> {
    let image = match (file.image.path, file.image.version) {
        (Some(path), _) => json!({"path": base.join(path.value)}),
        (None, Some(version)) => {
            json!({"channel": file.image.channel?.value, "version": version.value})
        }
        (None, None) => json!({"channel": file.image.channel?.value}),
    };
    let mut options = Map::new();
    if let Some(uri) = file.uri {
        options.insert("uri".to_owned(), uri.value.into());
    }
    options.insert("memory".to_owned(), file.memory?.value.0.into());
    options.insert("cpus".to_owned(), file.cpus?.value.into());
    options.insert("disk".to_owned(), file.disk?.value.0.into());
    options.insert("image".to_owned(), image);
    Some(Value::Object(options))
}

fn sysext(file: SysextEntry, base: &Path) -> Option<(String, Sysext)> {
    let source = match (file.path, file.url) {
        (Some(path), _) => Sysext::File(base.join(path.value)),
        (None, Some(url)) => Sysext::Url {
            url: url.value,
            sha256: file.sha256?.value.to_lowercase(),
        },
        (None, None) => return None,
    };
    Some((file.name.value, source))
}
