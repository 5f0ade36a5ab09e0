//! Values of `clusterConfiguration` whose form kubeadm judges on the node, where nobody sees it at once.

use super::super::name_syntax::is_dns_name;
use super::gates::is_gate;
use super::given::Given;
use crate::diagnostic::Fault;
use crate::file::Setting;
use crate::minors::{Minor, known_minors};
use crate::suggest::did_you_mean;

const VOLUME_KEYS: [&str; 5] = ["name", "hostPath", "mountPath", "readOnly", "pathType"];

pub(super) fn check_cluster_values(settings: &[Setting], minor: &Minor, faults: &mut Vec<Fault>) {
    let find = |path: &str| {
        let mut steps = path.split('.');
        let first = Given::find(settings, steps.next()?);
        steps.fold(first, |at, step| at?.get(step))
    };
    faults.extend(find("networking.dnsDomain").and_then(|at| check_domain(&at)));
    for path in [
        "imageRepository",
        "dns.imageRepository",
        "etcd.local.imageRepository",
    ] {
        faults.extend(find(path).and_then(|at| check_repository(&at)));
    }
    if let Some(dir) = find("etcd.local.dataDir") {
        faults.extend(check_absolute(&dir, "/var/lib/etcd"));
    }
    for component in ["apiServer", "controllerManager", "scheduler"] {
        let volumes = find(&format!("{component}.extraVolumes"));
        check_volumes(volumes.map_or_else(Vec::new, |v| v.items()), faults);
    }
    for (key, value) in find("featureGates").map_or_else(Vec::new, |gates| gates.entries()) {
        let Some(fault) = check_gate(&key.name, &value, minor) else {
            continue;
        };
        faults.push(Fault {
            place: key.place,
            ..fault
        });
    }
}

fn check_domain(domain: &Given<'_>) -> Option<Fault> {
    let text = domain.text()?;
    let near = text.to_lowercase();
    let near = near.trim_matches('.');
    let near = if is_dns_name(near) {
        near
    } else {
        "cluster.local"
    };
    let help = format!("use lower-case letters, digits, `-` and `.` in between, e.g. {near}");
    (!is_dns_name(text)).then(|| {
        let message = format!("`{text}` is not a valid DNS domain");
        domain.error(message, help)
    })
}

/// `HOST[:PORT]/PATH`, as images are named.
fn check_repository(repository: &Given<'_>) -> Option<Fault> {
    let text = repository.text()?;
    if let Some((_, rest)) = text.split_once("://") {
        let message = format!("`{text}` has a scheme, which images' names do not");
        return Some(repository.error(message, format!("write {}", rest.trim_end_matches('/'))));
    }
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let host_fine = |c: char| fine(c) || c.is_ascii_uppercase() || c == ':';
    let parts = |path: &str| {
        path.split('/')
            .all(|p| !p.is_empty() && p.chars().all(fine))
    };
    let good = !host.is_empty() && host.chars().all(host_fine) && (host == text || parts(path));
    (!good).then(|| {
        let message = format!("`{text}` is not a valid image repository");
        repository.error(
            message,
            "write host and path in lower case, e.g. registry.k8s.io",
        )
    })
}

fn check_absolute(path: &Given<'_>, example: &str) -> Option<Fault> {
    let text = path.text()?;
    let help = format!("begin it with `/`, e.g. {example}");
    (!text.starts_with('/')).then(|| path.error(format!("`{text}` is not an absolute path"), help))
}

/// What a volume needs, and that the pod's manifest can hold it.
fn check_volumes(volumes: Vec<Given<'_>>, faults: &mut Vec<Fault>) {
    let mut seen: Vec<(&str, Given<'_>)> = Vec::new();
    for volume in volumes {
        if volume.entries().is_empty() {
            continue;
        }
        for key in ["name", "hostPath", "mountPath"] {
            let Some(value) = volume.get(key) else {
                // A misspelt key was named.
                if volume
                    .entries()
                    .iter()
                    .any(|(key, _)| !VOLUME_KEYS.contains(&key.name.as_str()))
                {
                    continue;
                }
                let help = format!(
                    "write `{key}: {}`",
                    if key == "name" { "extra" } else { "/etc/extra" }
                );
                faults.push(volume.error(format!("has no `{key}`"), help));
                continue;
            };
            if key != "name" {
                faults.extend(check_absolute(&value, "/etc/extra"));
                continue;
            }
            let Some(name) = value.text() else { continue };
            if let Some((_, first)) = seen.iter().find(|(known, _)| *known == name) {
                let fault = value.error(
                    format!("`{name}` is already in use"),
                    "give each volume a name of its own",
                );
                faults.push(fault.also(first.node.place, "first here"));
            }
            seen.push((name, value.clone()));
        }
    }
}

fn check_gate(name: &str, value: &Given<'_>, minor: &Minor) -> Option<Fault> {
    if !is_gate(name) {
        let message = "is not a feature gate's name";
        return Some(value.error(message, "write a name like RootlessControlPlane"));
    }
    if minor.gates.contains(&name) {
        return None;
    }
    let older = |known: &&Minor| known.number < minor.number && known.gates.contains(&name);
    if let Some(last) = known_minors().iter().rfind(older) {
        let message = format!(
            "is gone: kubeadm of Kubernetes {} refuses it, {} was the last to know it",
            minor.name(),
            last.name()
        );
        let help = "leave it out: what it turned on is always on, or went with it";
        return Some(value.error(message, help));
    }
    let meant = did_you_mean(name, minor.gates.iter().copied());
    let message =
        format!("is not a feature gate of kubeadm{meant}: it refuses those that it does not know");
    let help = "gates of components go to their `extraArgs`, e.g. `{name: feature-gates, value: \"NAME=true\"}`, those of the kubelet to kubeletConfig.featureGates";
    Some(value.error(message, help).warning())
}
