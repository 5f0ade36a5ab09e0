//! The files that kubeadm and the kubelet write without syncing them. After a power cut such a file may be there and empty, or
//! cut short; kubeadm takes one that is there for made and fails at it for ever. What does not parse is removed before
//! kubeadm runs again, which makes it anew from the CAs. Of what Ignition brought (CAs, service-account key) nothing is here.

use std::collections::BTreeMap;

use anyhow::Result;
use ha_kube::certificate::is_key_pair;
use ha_kube::kubeconfig::parse_yaml;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::context::Context;
use crate::kube::{KUBELET_CONF, KUBELET_CONFIG, KUBELET_PEM, kubeconfig, pki_file, pod_manifest};
use crate::sys::durable::Watched;
use crate::sys::files::Files;

/// Where all of them are. Below the kubelet's own directory are pods' volumes, which are the pods'.
pub const WRITTEN: &[Watched] = &[
    Watched {
        dir: "/etc/kubernetes",
        deep: true,
    },
    Watched {
        dir: "/var/lib/kubelet",
        deep: false,
    },
    Watched {
        dir: "/var/lib/kubelet/pki",
        deep: false,
    },
];

/// The kubelet's arguments that kubeadm found out.
pub const KUBELET_ARGUMENTS: &str = "/var/lib/kubelet/kubeadm-flags.env";
/// The part of the kubelet's configuration that is this node's alone, from 1.34 on: `kubeadm upgrade` knows the runtime's socket by
/// it, and without it takes none or another.
pub const INSTANCE_CONFIG: &str = "/var/lib/kubelet/instance-config.yaml";
/// What the kubelet serves with, signed by itself. With one of the two broken it never starts again.
const SERVING: [&str; 2] = [
    "/var/lib/kubelet/pki/kubelet.crt",
    "/var/lib/kubelet/pki/kubelet.key",
];
/// What kubeadm signs, certificate and key each, below its PKI directory.
pub const SIGNED: [&str; 7] = [
    "apiserver",
    "apiserver-kubelet-client",
    "apiserver-etcd-client",
    "front-proxy-client",
    "etcd/server",
    "etcd/peer",
    "etcd/healthcheck-client",
];
const KUBECONFIGS: [&str; 4] = ["admin", "super-admin", "controller-manager", "scheduler"];
const STATIC_PODS: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// Files that are of use together alone.
struct Piece {
    names: Vec<String>,
    /// Given their texts in order.
    is_whole: fn(&[&str]) -> bool,
}

impl Piece {
    fn new<const N: usize>(names: [String; N], is_whole: fn(&[&str]) -> bool) -> Self {
        let names = names.into();
        Self { names, is_whole }
    }

    /// None: one of them is not there.
    fn is_whole_in(&self, texts: &BTreeMap<String, String>) -> Option<bool> {
        let texts = self.names.iter().map(|n| texts.get(n).map(String::as_str));
        texts
            .collect::<Option<Vec<_>>>()
            .map(|texts| (self.is_whole)(&texts))
    }
}

fn all_pieces() -> Vec<Piece> {
    let pair: fn(&[&str]) -> bool = |texts| matches!(texts, [cert, key] if is_key_pair(cert, key));
    let mut all: Vec<Piece> = SIGNED
        .map(|name| ["crt", "key"].map(|suffix| pki_file(&format!("{name}.{suffix}"))))
        .map(|names| Piece::new(names, pair))
        .into();
    all.push(Piece::new(SERVING.map(str::to_owned), pair));
    let mut one = |name: String, is_whole| all.push(Piece::new([name], is_whole));
    one(KUBELET_PEM.to_owned(), |texts| {
        texts.iter().all(|both| is_key_pair(both, both))
    });
    for name in KUBECONFIGS.map(|name| format!("/etc/kubernetes/{name}.conf")) {
        one(name, |texts| texts.iter().all(|t| kubeconfig::is_whole(t)));
    }
    one(KUBELET_CONF.to_owned(), |texts| {
        texts.iter().all(|t| kubeconfig::is_whole(t))
    });
    for name in STATIC_PODS {
        one(pod_manifest(name), |texts| {
            texts.iter().all(|t| is_static_pod(t))
        });
    }
    one(KUBELET_CONFIG.to_owned(), |texts| {
        let kind = |text: &&str| parse_as::<KubeletConfiguration>(text).map(|c| c.kind);
        texts
            .iter()
            .all(|t| kind(t).as_deref() == Some("KubeletConfiguration"))
    });
    one(INSTANCE_CONFIG.to_owned(), |texts| {
        texts
            .iter()
            .all(|t| parse_as::<InstanceConfig>(t).is_some())
    });
    one(KUBELET_ARGUMENTS.to_owned(), |texts| {
        texts.iter().all(|t| has_arguments(t))
    });
    all
}

/// What of these texts is broken: files that are there and of no use, a half of a pair too.
pub fn broken_files(texts: &BTreeMap<String, String>) -> Vec<String> {
    let all = all_pieces();
    let broken = all.iter().filter(|p| p.is_whole_in(texts) != Some(true));
    broken
        .flat_map(|piece| piece.names.iter())
        .filter(|name| texts.contains_key(*name))
        .cloned()
        .collect()
}

/// The texts of all of them that are there.
pub fn read_all(files: &Files) -> Result<BTreeMap<String, String>> {
    read_pieces(files, &all_pieces())
}

fn read_pieces<'a>(
    files: &Files,
    pieces: impl IntoIterator<Item = &'a Piece>,
) -> Result<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for name in pieces.into_iter().flat_map(|piece| &piece.names) {
        texts.extend(files.read(name)?.map(|text| (name.clone(), text)));
    }
    Ok(texts)
}

/// Whether each of these files is there and parses, with the other half of its pair.
pub fn are_whole(files: &Files, names: &[String]) -> Result<bool> {
    let all = all_pieces();
    for name in names {
        let mut of_name = all.iter().filter(|piece| piece.names.contains(name));
        let whole = match of_name.next() {
            Some(piece) => piece.is_whole_in(&read_pieces(files, [piece])?) == Some(true),
            None => false,
        };
        if !whole {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes what is broken of a node that is not settled: kubeadm and the kubelet make all of it anew. Not while kubeadm runs.
pub fn remove_broken(cx: &Context) -> Result<()> {
    restore_or_wipe(cx, &broken_files(&read_all(&cx.sys.files)?))
}

/// Of a settled node the pieces that come back without kubeadm.
pub fn fix_without_kubeadm(cx: &Context) -> Result<()> {
    let mut broken = broken_files(&read_all(&cx.sys.files)?);
    broken.retain(|name| name == INSTANCE_CONFIG || SERVING.contains(&name.as_str()));
    restore_or_wipe(cx, &broken)
}

/// As kubeadm writes it.
fn instance_config(cx: &Context) -> String {
    let socket = cx.node.kubernetes.cri.socket();
    format!("containerRuntimeEndpoint: {socket:?}\n")
}

/// Itself, or by being gone: what is missing kubeadm or the kubelet makes.
fn restore_or_wipe(cx: &Context, names: &[String]) -> Result<()> {
    for name in names {
        warn!("{name} is empty or cut short, as after a power cut: it is made anew");
        match name.as_str() {
            // A join that goes on with a kubelet that is there does not come to the step that makes it.
            INSTANCE_CONFIG => {
                let text = instance_config(cx);
                cx.sys.files.write(name, 0o644, text.as_bytes())?;
            }
            _ => cx.sys.files.wipe(name)?,
        }
    }
    Ok(())
}

fn parse_as<T: DeserializeOwned>(yaml: &str) -> Option<T> {
    serde_json::from_value(parse_yaml(yaml).ok()?).ok()
}

/// Its volumes come last: one that was cut short lacks some that its containers mount.
fn is_static_pod(text: &str) -> bool {
    let Some(Pod { kind, spec }) = parse_as(text) else {
        return false;
    };
    let mut mounts = spec.containers.iter().flat_map(|c| &c.volume_mounts);
    kind == "Pod" && !spec.containers.is_empty() && mounts.all(|m| spec.volumes.contains(m))
}

/// systemd's form of a line: `NAME="TEXT"`.
fn has_arguments(text: &str) -> bool {
    let value = |line: &str| {
        line.strip_prefix("KUBELET_KUBEADM_ARGS=\"")
            .is_some_and(|rest| rest.ends_with('"'))
    };
    text.lines().any(value)
}

#[derive(Deserialize)]
struct KubeletConfiguration {
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InstanceConfig {
    #[serde(rename = "containerRuntimeEndpoint")]
    _endpoint: String,
}

#[derive(Deserialize)]
struct Pod {
    kind: String,
    spec: PodSpec,
}

#[derive(Deserialize)]
struct PodSpec {
    containers: Vec<Container>,
    #[serde(default)]
    volumes: Vec<VolumeName>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    #[serde(default)]
    volume_mounts: Vec<VolumeName>,
}

/// A volume, or a mount of one.
#[derive(Deserialize, PartialEq)]
struct VolumeName {
    name: String,
}

#[cfg(test)]
mod tests;
