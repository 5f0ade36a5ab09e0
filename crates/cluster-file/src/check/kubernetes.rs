//! Kubernetes' version, and what goes with what: runtime, kube-proxy, pod network, etcd.

use std::collections::HashMap;

use serde_json::Value;

use super::hashed_url::{HashedUrl, check_hashed_url};
use super::name_syntax::is_dns_name;
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, CniFile, ManifestFile, ProviderFile, Setting, Spanned};
use crate::minors::{Deprecation, Minor, default_minor, example_version, known_minors, minor_of};
use crate::version::version_parts;
use ha_wire::settings::{Cri, KubeProxy};

/// What a manifest has to have beside its URL, and where it may be instead.
const OF_MANIFEST: HashedUrl = HashedUrl {
    instead: "the file's path alone",
    where_hash_is: "look at what is there and take its hash: `curl -fL URL | tee net.yaml | sha256sum`",
};

pub(super) fn check_kubernetes(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let k8s = &file.kubernetes;
    if let Some(at) = &k8s.version {
        check_version(at, faults);
    }
    if let (Some(proxy), Some(cni)) = (&k8s.proxy, &k8s.cni) {
        check_proxy_and_cni(proxy, cni, faults);
    }
    if let Some(cni) = &k8s.cni {
        check_pod_network(cni, faults);
    }
    if let Some(proxy) = &k8s.proxy {
        check_ipvs(proxy, file.minor(), faults);
    }
    check_runtime(file, faults);
    for san in &k8s.cert_sans {
        check_cert_san(san, faults);
    }
}

/// What of this version a new cluster cannot have. `standing` is the version of the cluster that the file is of, if it stands:
/// it keeps what it was made with.
pub(super) fn check_newness(file: &ClusterFile, standing: Option<&str>, faults: &mut Vec<Fault>) {
    let version = file.kubernetes.version.as_ref();
    let Some((at, minor)) = version.zip(file.minor()) else {
        return;
    };
    if !minor.for_new && standing != Some(at.value.as_str()) {
        let message = format!(
            "{} is not for new clusters any more: this ha-host tests {}",
            at.value,
            minors_for_new()
        );
        let help = format!(
            "write e.g. {}; a cluster that stands with it is launched again as it is",
            example_version()
        );
        faults.push(at.error(message, help));
    }
}

/// `1.35, 1.36 and 1.37`.
fn minors_for_new() -> String {
    let minors = known_minors().iter().filter(|minor| minor.for_new);
    let mut names: Vec<String> = minors.map(Minor::name).collect();
    let last = names.pop().unwrap_or_default();
    match names.is_empty() {
        true => last,
        false => format!("{} and {last}", names.join(", ")),
    }
}

fn check_ipvs(proxy: &Spanned<KubeProxy>, minor: Option<&Minor>, faults: &mut Vec<Fault>) {
    let said = minor.and_then(|minor| Some((minor, minor.ipvs?)));
    let Some((minor, Deprecation { off_in, gone_in })) =
        said.filter(|_| proxy.value == KubeProxy::Ipvs)
    else {
        return;
    };
    let when = match (off_in, gone_in) {
        (Some(off), Some(gone)) => format!("off by default from {off} on, gone with {gone}"),
        (None, Some(gone)) => format!("gone with {gone}"),
        (Some(off), None) => format!("off by default from {off} on"),
        (None, None) => "it may be gone in a later release".to_owned(),
    };
    let message = format!(
        "ipvs is deprecated, says Kubernetes {}: {when}",
        minor.name()
    );
    let help = "write `proxy: nftables`, or `proxy: none` with Cilium";
    faults.push(proxy.error(message, help).warning());
}

fn check_version(at: &Spanned<String>, faults: &mut Vec<Fault>) {
    let text = at.value.as_str();
    if minor_of(text).is_none() {
        let (message, help) = describe_bad_version(text);
        faults.push(at.error(message, help));
    }
}

/// What is wrong with this as a version, and what would be right.
fn describe_bad_version(text: &str) -> (String, String) {
    let bare = text.strip_prefix('v').unwrap_or(text);
    let (core, suffix) = bare.split_once('-').unwrap_or((bare, ""));
    if let Some([_, wanted, _]) = version_parts(core) {
        if minor_of(core).is_none() {
            let new = known_minors()
                .last()
                .is_some_and(|newest| wanted > newest.number);
            let known = if new {
                "not supported yet"
            } else {
                "not supported"
            };
            let help = format!(
                "write a version of {}, e.g. {}",
                minors_for_new(),
                example_version()
            );
            return (format!("{core} is {known}"), help);
        }
        if suffix.is_empty() {
            return (format!("`{text}` begins with a v"), format!("write {core}"));
        }
        let help = format!("write a release, e.g. {core}");
        return (format!("`{text}` is not a release"), help);
    }
    if version_parts(&format!("{core}.0")).is_some() {
        let minor = minor_of(&format!("{core}.0")).filter(|minor| minor.for_new);
        let minor = minor.unwrap_or_else(default_minor);
        let help = format!("write the exact version, e.g. {}", minor.example());
        return (format!("`{text}` has no patch number"), help);
    }
    let help = "versions are not looked up on the internet";
    let help = format!(
        "write the exact version, e.g. {}: {help}",
        example_version()
    );
    (format!("`{text}` is not a valid version"), help)
}

fn check_proxy_and_cni(
    proxy: &Spanned<KubeProxy>,
    cni: &Spanned<CniFile>,
    faults: &mut Vec<Fault>,
) {
    let shown = Spanned {
        place: if proxy.given { proxy.place } else { cni.place },
        ..proxy.clone()
    };
    let none = proxy.value == KubeProxy::None;
    match &cni.value {
        CniFile::Cilium { values, .. } => match replaces_proxy(values) {
            Some((key, false)) if none => {
                let message = "is none and Cilium is configured not to replace kube-proxy: services would not work";
                let help = "leave kubeProxyReplacement out, or write `proxy: nftables`";
                faults.push(
                    shown
                        .error(message, help)
                        .also(key.place, "kubeProxyReplacement"),
                );
            }
            Some((key, true)) if !none => {
                let message =
                    "conflicts with Cilium's kubeProxyReplacement: both would handle services";
                let fault = shown.error(message, "write `proxy: none`");
                faults.push(fault.also(key.place, "kubeProxyReplacement"));
            }
            _ => {}
        },
        CniFile::Manifests(_) | CniFile::None if none => {
            let default = if proxy.given { "" } else { " (the default)" };
            let message = format!(
                "is none{default}: services do not work unless your pod network replaces kube-proxy"
            );
            let help = "write `proxy: nftables` if it does not";
            faults.push(shown.error(message, help).warning());
        }
        CniFile::Manifests(_) | CniFile::None => {}
    }
}

/// What the Helm values say about kube-proxy.
fn replaces_proxy(values: &[Setting]) -> Option<(&Spanned<String>, bool)> {
    let Setting { key, value, .. } = values
        .iter()
        .find(|setting| setting.key.value == "kubeProxyReplacement")?;
    match value {
        Value::Bool(on) => Some((key, *on)),
        Value::String(text) => Some((key, matches!(text.as_str(), "true" | "strict"))),
        _ => None,
    }
}

fn check_pod_network(cni: &Spanned<CniFile>, faults: &mut Vec<Fault>) {
    match &cni.value {
        CniFile::Manifests(sources) => {
            if sources.is_empty() {
                let help = "name files or URLs, or write `cni: none` if somebody else brings the pod network";
                faults.push(cni.error("lists no manifest", help));
            }
            for source in sources {
                check_manifest_source(source, faults);
            }
            check_named_once(sources, faults);
        }
        CniFile::Cilium { .. } | CniFile::None => {}
    }
}

pub(super) fn check_manifest_source(source: &ManifestFile, faults: &mut Vec<Fault>) {
    let source = match source {
        ManifestFile::Plain(source) => source,
        ManifestFile::Hashed { url, sha256 } => {
            return check_hashed_url(url, sha256.as_ref(), &OF_MANIFEST, faults);
        }
    };
    if !ha_wire::settings::is_url(&source.value) {
        super::files::check_local_path(source, faults);
    } else if !source.value.starts_with("https://") {
        let message = "is fetched without TLS and applied with all rights: whoever is on the way may take over the cluster";
        let help = "write `{url: https://..., sha256: HASH}`: ha-host fetches it, checks it and brings it along";
        faults.push(source.error(message, help).warning());
    }
}

/// A hash belongs to its URL, wherever that stands in the list.
fn check_named_once(sources: &[ManifestFile], faults: &mut Vec<Fault>) {
    let mut seen = HashMap::new();
    for source in sources {
        let (at, hashed) = match source {
            ManifestFile::Plain(at) => (at, false),
            ManifestFile::Hashed { url, .. } => (url, true),
        };
        if let Some((first, was_hashed)) = seen.insert(&at.value, (at, hashed))
            && (hashed || was_hashed)
        {
            let fault = at.error("is named twice", "keep it once, with its hash");
            faults.push(fault.also(first.place, first.path.clone()));
        }
    }
}

fn check_runtime(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let (Some(cri), Some(provider)) = (&file.kubernetes.cri, &file.provider) else {
        return;
    };
    let brought = file
        .sysexts
        .iter()
        .any(|s| s.name.value == Cri::Crio.name());
    if cri.value == Cri::Crio && !brought && matches!(provider.value, ProviderFile::Nspawn(_)) {
        let help = "name a sysext `crio` below `sysexts`, write `cri: containerd`, or choose another provider";
        let fault = cri.error(
            "is crio, and the node image of provider nspawn has containerd only",
            help,
        );
        faults.push(fault.also(provider.place, "provider"));
    }
}

fn check_cert_san(san: &Spanned<String>, faults: &mut Vec<Fault>) {
    let text = san.value.as_str();
    let name = text.strip_prefix("*.").unwrap_or(text);
    if text.parse::<std::net::IpAddr>().is_err() && !is_dns_name(name) {
        let message = format!("`{text}` is neither an IP address nor a DNS name");
        faults.push(san.error(
            message,
            "write it without scheme and port, e.g. api.example.com",
        ));
    }
}
