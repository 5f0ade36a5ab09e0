//! From a file without errors to the valid type. Every `?` stands for a fault that the reader has already reported.

use std::collections::BTreeMap;
use std::path::Path;

use super::machines;
use crate::bakery;
use crate::cluster::{
    Bond, Cluster, Etcd, ExternalEtcd, Kubernetes, Network, Nic, Node, Proxy, Registry,
    RegistryAuth, Secondary, Sysext, Vlan,
};
use crate::file::{
    BondFile, ClusterFile, CniFile, EndpointFile, EtcdFile, KubernetesFile, ManifestFile, NicFile,
    NodeEntry, ProxyFile, RegistryAuthFile, RegistryFile, Spanned, SysextEntry, VlanFile,
    settings_as_object,
};
use ha_wire::settings::{Cni, Endpoint, Hooks, Taint};

mod load_balancer;

/// The valid cluster; none if a value that it needs is missing.
pub(super) fn build_cluster(file: ClusterFile, base: &Path) -> Option<Cluster> {
    let cidr = file.node_network()?;
    let secondary = build_secondary(&file);
    let prefix = file.network.prefix?.value;
    let name = file.name?.value;
    let kubernetes = build_kubernetes(file.kubernetes, base)?;
    let load_balancer = load_balancer::build_load_balancer(file.load_balancer, base)?;
    let provider = machines::build_provider(file.provider?.value, base)?;
    let sysexts = match provider.vm() {
        Some(_) if !file.sysexts_given => bakery::default_sysexts(&kubernetes, load_balancer.mode),
        _ => collect_all(file.sysexts, |s| build_sysext(s, base))?,
    };
    let mut nodes: Vec<Node> = collect_all(file.nodes?.value, |node| build_node(node, base))?;
    if provider.vm().is_some() {
        machines::assign_macs(&name, &mut nodes);
    }
    Some(Cluster {
        name,
        kubernetes,
        endpoint: build_endpoint(file.endpoint)?,
        load_balancer,
        network: Network {
            prefix,
            cidr,
            gateway: file.network.gateway?.value,
            dns: values_of(file.network.dns),
            interface: file.network.interface?.value,
            bond: match file.network.bond {
                Some(bond) => Some(build_bond(bond)?),
                None => None,
            },
            vlan: match file.network.vlan {
                Some(vlan) => Some(build_vlan(vlan)?),
                None => None,
            },
            ntp: values_of(file.network.ntp),
            mtu: file.network.mtu.map(|at| at.value),
        },
        secondary,
        authorized_keys: values_of(file.authorized_keys),
        nodes,
        assets: machines::build_assets(file.assets, &provider, base),
        provider,
        sysexts,
        flatcar_extensions: values_of(file.flatcar_extensions),
        core_kubeconfig: file.core_kubeconfig?.value,
        updates: file.updates?.value,
        proxy: file.proxy.map(build_proxy),
        trusted_cas: collect_all(file.trusted_cas, |path| Some(base.join(path.value)))?,
        registries: collect_all(file.registries, |registry| build_registry(registry, base))?,
        ignition_merge: collect_all(file.ignition_merge, |path| Some(base.join(path.value)))?,
        hooks: build_hooks(file.before_join, file.after_ready),
    })
}

fn build_endpoint(file: EndpointFile) -> Option<Endpoint> {
    Some(Endpoint {
        vip: file.vip?.value,
        interface: file.interface.map(|at| at.value),
        port: file.port?.value,
        apiserver_port: file.apiserver_port?.value,
        name: file.name.map(|at| at.value),
        further_addresses: values_of(file.addresses).into_iter().skip(1).collect(),
    })
}

/// Every item by `make`, or none at all.
fn collect_all<A, B, C: FromIterator<B>>(
    items: Vec<A>,
    make: impl Fn(A) -> Option<B>,
) -> Option<C> {
    items.into_iter().map(make).collect()
}

fn values_of<T>(list: Vec<Spanned<T>>) -> Vec<T> {
    list.into_iter().map(|at| at.value).collect()
}

fn build_kubernetes(file: KubernetesFile, base: &Path) -> Option<Kubernetes> {
    let cni = file.cni?.value;
    let manifest_hashes = build_manifest_hashes(&cni)?;
    let cni = match cni {
        CniFile::Cilium {
            version,
            chart,
            values,
        } => Cni::Cilium {
            version: version?.value,
            chart: chart.map(|at| absolute_source(&at.value, base)),
            values: settings_as_object(values),
        },
        CniFile::Manifests(sources) => Cni::Manifests {
            sources: sources
                .iter()
                .map(|source| match source {
                    ManifestFile::Plain(at) => absolute_source(&at.value, base),
                    ManifestFile::Hashed { url, .. } => url.value.clone(),
                })
                .collect(),
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
        manifest_hashes,
        etcd: file.etcd.and_then(|etcd| build_etcd(etcd.value, base)),
        cert_sans: values_of(file.cert_sans),
        kubelet_config: settings_as_object(file.kubelet_config),
        cluster_configuration: settings_as_object(file.cluster_configuration),
        timeouts: settings_as_object(file.timeouts),
    })
}

fn build_manifest_hashes(cni: &CniFile) -> Option<BTreeMap<String, String>> {
    let CniFile::Manifests(sources) = cni else {
        return Some(BTreeMap::new());
    };
    let hashed = sources.iter().filter_map(|source| match source {
        ManifestFile::Plain(_) => None,
        ManifestFile::Hashed { url, sha256 } => Some((url, sha256)),
    });
    let pair = |(url, sha256): (&Spanned<String>, &Option<Spanned<String>>)| {
        Some((url.value.clone(), sha256.as_ref()?.value.to_lowercase()))
    };
    hashed.map(pair).collect()
}

fn build_etcd(file: EtcdFile, base: &Path) -> Option<Etcd> {
    let EtcdFile::External(file) = file else {
        return None;
    };
    let endpoint = |at: Spanned<String>| at.value.trim_end_matches('/').to_owned();
    Some(Etcd::External(ExternalEtcd {
        endpoints: file.endpoints.into_iter().map(endpoint).collect(),
        ca_file: base.join(file.ca_file?.value),
        cert_file: base.join(file.cert_file?.value),
        key_file: base.join(file.key_file?.value),
    }))
}

/// The rules have seen that there is all of it or nothing.
fn build_secondary(file: &ClusterFile) -> Option<Secondary> {
    let (network, kubernetes) = (&file.network, &file.kubernetes);
    Some(Secondary {
        prefix: network.second_prefix.as_ref()?.value,
        cidr: file.second_network()?,
        gateway: network.second_gateway.as_ref()?.value,
        pod_cidr: kubernetes.second_pod_cidr.as_ref()?.value.trunc(),
        service_cidr: kubernetes.second_service_cidr.as_ref()?.value.trunc(),
    })
}

fn build_proxy(file: ProxyFile) -> Proxy {
    Proxy {
        http: file.http.map(|at| at.value),
        https: file.https.map(|at| at.value),
        except: values_of(file.except),
    }
}

fn build_registry(file: RegistryFile, base: &Path) -> Option<Registry> {
    let auth = |auth: RegistryAuthFile| {
        Some(RegistryAuth {
            user: auth.user?.value,
            password_file: base.join(auth.password_file?.value),
        })
    };
    Some(Registry {
        host: file.host?.value,
        mirrors: values_of(file.mirrors),
        ca: file.ca.map(|path| base.join(path.value)),
        skip_verify: file.skip_verify?.value,
        auth: match file.auth {
            Some(written) => Some(auth(written)?),
            None => None,
        },
    })
}

fn build_bond(file: BondFile) -> Option<Bond> {
    Some(Bond {
        name: file.name?.value,
        members: values_of(file.members),
        mode: file.mode?.value,
    })
}

fn build_vlan(file: VlanFile) -> Option<Vlan> {
    Some(Vlan {
        id: u16::try_from(file.id?.value).ok()?,
        link: file.link?.value,
    })
}

fn build_nic(file: NicFile) -> Option<Nic> {
    Some(Nic {
        mac: file.mac?.value,
        address: file.address.map(|at| at.value),
        mtu: file.mtu.map(|at| at.value),
    })
}

/// A URL as it is, a file by its absolute path.
fn absolute_source(text: &str, base: &Path) -> String {
    if ha_wire::settings::is_url(text) {
        text.to_owned()
    } else {
        base.join(text).to_string_lossy().into_owned()
    }
}

fn build_node(file: NodeEntry, base: &Path) -> Option<Node> {
    let taint = |taint: crate::file::TaintFile| {
        let value = taint.value.map(|at| at.value).unwrap_or_default();
        Some(Taint {
            key: taint.key?.value,
            value,
            effect: taint.effect?.value,
        })
    };
    Some(Node {
        untainted: file.is_untainted(),
        name: file.name?.value,
        role: file.role?.value,
        address: file.address?.value,
        second_address: file.second_address.map(|at| at.value),
        mac: file.mac.map(|at| at.value),
        interface: file.interface.map(|at| at.value),
        uri: file.uri.map(|at| at.value),
        interfaces: collect_all(file.interfaces, build_nic)?,
        labels: build_map(file.labels),
        annotations: build_map(file.annotations),
        taints: file.taints.into_iter().map(taint).collect::<Option<_>>()?,
        kubelet_config: settings_as_object(file.kubelet_config),
        sysexts: collect_all(file.sysexts, |s| build_sysext(s, base))?,
        flatcar_extensions: values_of(file.flatcar_extensions),
        hooks: build_hooks(file.before_join, file.after_ready),
    })
}

fn build_hooks(before_join: Vec<Spanned<String>>, after_ready: Vec<Spanned<String>>) -> Hooks {
    Hooks {
        before_join: values_of(before_join),
        after_ready: values_of(after_ready),
    }
}

fn build_map(pairs: Vec<(Spanned<String>, Spanned<String>)>) -> BTreeMap<String, String> {
    let pairs = pairs.into_iter();
    pairs.map(|(key, value)| (key.value, value.value)).collect()
}

fn build_sysext(file: SysextEntry, base: &Path) -> Option<(String, Sysext)> {
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
