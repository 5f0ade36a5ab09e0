//! Values of the apiserver's arguments that this product lives on.

use super::arguments::{Argument, Program};
use super::given::Given;
use super::go_values::{is_false, parse_port_range};
use crate::diagnostic::Fault;
use crate::file::ClusterFile;

/// Directories of the host that kubeadm mounts into the apiserver by itself.
const MOUNTED: [&str; 5] = [
    "/etc/kubernetes/pki",
    "/etc/ssl/certs",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];
/// Arguments that name a file which is read at start.
const READ_FILES: [&str; 12] = [
    "admission-control-config-file",
    "audit-policy-file",
    "audit-webhook-config-file",
    "authentication-config",
    "authentication-token-webhook-config-file",
    "authorization-config",
    "authorization-webhook-config-file",
    "egress-selector-config-file",
    "encryption-provider-config",
    "oidc-ca-file",
    "token-auth-file",
    "tracing-config-file",
];

/// Values that keep others from reaching an apiserver, and what runs on it.
pub(super) fn check_apiserver(file: &ClusterFile, argument: &Argument<'_>) -> Option<Fault> {
    let text = argument.text.trim();
    match argument.name.as_str() {
        "anonymous-auth" if is_false(text) => {
            let message = "would have every apiserver restarted for ever: haproxy asks /readyz and the kubelet /livez, both without a certificate";
            let help = "leave it out and allow nothing else: `authentication-config` with an AuthenticationConfiguration that says `anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}, {path: /healthz}]}`";
            Some(argument.error(message, help))
        }
        "bind-address" if !matches!(text, "0.0.0.0" | "::") => {
            let message = "is one address for all nodes: peers, haproxy and the agent reach each apiserver at its own node's";
            Some(argument.error(message, "leave it out: it listens on every address"))
        }
        "secure-port" => {
            let wanted = file.endpoint.apiserver_port.as_ref()?.value;
            if text == wanted.to_string() {
                return None;
            }
            let message = format!("is not where haproxy and the agent ask it: {wanted}");
            let help = "leave it out and write endpoint.apiserverPort; the port that clients see is endpoint.port";
            Some(argument.error(message, help))
        }
        "service-node-port-range" => match parse_port_range(text) {
            Some(_) => None,
            None => Some(argument.error("is not a range of ports", "write e.g. 30000-32767")),
        },
        "allow-privileged" if is_false(text) => {
            let message = "keeps out kube-proxy and every pod network: their pods are privileged";
            Some(argument.error(message, "leave it out: kubeadm writes true"))
        }
        "endpoint-reconciler-type" if text == "none" => {
            let message = "leaves the API's own service without an address: no pod reaches the API";
            Some(argument.error(message, "leave it out"))
        }
        "kubelet-certificate-authority" if !signs_serving_certificates(file) => {
            let message = "knows no kubelet: their serving certificates are self-signed, and `kubectl logs` and `exec` fail with a TLS error";
            let help = "leave it out, or write `kubeletConfig: {serverTLSBootstrap: true}` too and run an approver";
            Some(argument.error(message, help))
        }
        _ => check_rights_and_files(file, argument),
    }
}

/// Who may do what, and the files that it reads.
fn check_rights_and_files(file: &ClusterFile, argument: &Argument<'_>) -> Option<Fault> {
    let text = argument.text.trim();
    match argument.name.as_str() {
        "authorization-mode" => {
            let has = |mode: &str| text.split(',').any(|word| word.trim() == mode);
            let lacks = ["Node", "RBAC"].into_iter().find(|mode| !has(mode))?;
            let message =
                format!("lacks {lacks}: no kubelet, and nothing of kubeadm's, may do its work");
            Some(argument.error(message, "write value: Node,RBAC (others may follow)"))
        }
        "enable-admission-plugins" if !text.split(',').any(|p| p.trim() == "NodeRestriction") => {
            let message =
                "replaces kubeadm's NodeRestriction: each kubelet may then change every node";
            let help = format!("write value: NodeRestriction,{text}");
            Some(argument.error(message, help).warning())
        }
        "disable-admission-plugins" if text.split(',').any(|p| p.trim() == "NodeRestriction") => {
            let message = "takes NodeRestriction away: each kubelet may then change every node";
            Some(
                argument
                    .error(message, "leave NodeRestriction out of it")
                    .warning(),
            )
        }
        "audit-log-path" if text.starts_with('/') && !is_mounted(file, text) => {
            let message = "is written inside the apiserver's container, and is lost with it";
            Some(argument.error(message, mount_help(text, false)).warning())
        }
        "oidc-issuer-url" if !text.starts_with("https://") => {
            let message = "is not an https:// URL: the apiserver ends at once";
            Some(argument.error(
                message,
                "write the issuer's URL as its tokens have it, with https://",
            ))
        }
        name if READ_FILES.contains(&name) && !is_mounted(file, text) => {
            let message =
                "is a file that the apiserver's pod does not have: it ends at once, for ever";
            Some(argument.error(message, mount_help(text, true)))
        }
        _ => None,
    }
}

/// Whether kubelets ask the cluster's CA for what they answer with.
fn signs_serving_certificates(file: &ClusterFile) -> bool {
    let setting = Given::find(&file.kubernetes.kubelet_config, "serverTLSBootstrap");
    setting.is_some_and(|at| at.boolean() == Some(true))
}

/// Whether a path of the host is in the apiserver's pod.
fn is_mounted(file: &ClusterFile, path: &str) -> bool {
    let below = |dir: &str| {
        let dir = dir.trim_end_matches('/');
        let rest = path.strip_prefix(dir);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let volumes = Program::Apiserver
        .settings(file)
        .and_then(|settings| settings.get("extraVolumes"))
        .map_or_else(Vec::new, |volumes| volumes.items());
    let mounts: Vec<Given<'_>> = volumes.iter().filter_map(|v| v.get("mountPath")).collect();
    MOUNTED
        .into_iter()
        .chain(mounts.iter().filter_map(Given::text))
        .any(below)
}

/// A file that is read is mounted alone: what lies beside it is none of the pod's business.
fn mount_help(path: &str, reads: bool) -> String {
    if reads {
        return format!(
            "add `extraVolumes: [{{name: extra, hostPath: {path}, mountPath: {path}, readOnly: true, pathType: File}}]`, and bring the file to every control plane by `ignition.merge`"
        );
    }
    let dir = path.rsplit_once('/').map_or(path, |(dir, _)| dir);
    format!(
        "add `extraVolumes: [{{name: extra, hostPath: {dir}, mountPath: {dir}, pathType: DirectoryOrCreate}}]`"
    )
}

/// What the apiserver refuses to be told together.
pub(super) fn check_pairs(arguments: &[Argument<'_>], faults: &mut Vec<Fault>) {
    let find = |name: &str| arguments.iter().find(|argument| argument.name == name);
    for (one, other) in [
        ("oidc-issuer-url", "authentication-config"),
        ("authorization-mode", "authorization-config"),
    ] {
        if let (Some(one), Some(other)) = (find(one), find(other)) {
            let message = format!("and {} exclude each other: it ends at once", other.name);
            let fault = one.error(message, format!("leave {} out", one.name));
            faults.push(fault.also(other.value.node.place, other.name.clone()));
        }
    }
}
