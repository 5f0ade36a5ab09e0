//! Whether the control plane's programs know an argument, and whether it is the user's to set.

use super::arguments::{Argument, Flag, Program};
use crate::diagnostic::Fault;
use crate::minors::Minor;
use crate::suggest::did_you_mean;

/// Whether each argument is one that its program has in this minor, and one that the file may set.
pub(super) fn check_argument_names(
    arguments: &[Argument<'_>],
    minor: &Minor,
    faults: &mut Vec<Fault>,
) {
    for argument in arguments {
        let (name, program) = (argument.name.as_str(), argument.program);
        let written = argument.named.text().unwrap_or_default();
        let of = |table: &'static [(Program, &str, &str)]| {
            let found = table.iter().find(|(p, n, _)| *p == program && *n == name);
            found.map(|(_, _, instead)| *instead)
        };
        let called = program.name();
        if written.starts_with('-') {
            let message = format!("`{written}` begins with dashes, which kubeadm adds itself");
            faults.push(argument.name_error(message, format!("write {name}")));
        }
        if name.is_empty() || name.contains(['=', ' ']) {
            let message = format!("`{written}` is not an argument's name");
            let help = "write the name alone, e.g. `{name: v, value: \"2\"}`";
            faults.push(argument.name_error(message, help));
        } else if let Some(instead) = of(OWNED) {
            let message = format!("{called}'s {name} cannot be set here");
            faults.push(argument.name_error(message, instead));
        } else if let Some(instead) = of(REMOVED) {
            let message =
                format!("{called} has no argument {name} any more: it ends at once, for ever");
            faults.push(argument.name_error(message, instead));
        } else {
            faults.extend(check_known(argument, minor));
        }
    }
}

/// Whether its program has the argument, and has it in this minor.
fn check_known(argument: &Argument<'_>, minor: &Minor) -> Option<Fault> {
    let (name, program) = (argument.name.as_str(), argument.program);
    let called = format!("{} of Kubernetes {}", program.name(), minor.name());
    let in_minor = |flag: &Flag| flag.is_in(minor.number);
    let Some(flag) = program.flag(name) else {
        let known = program.known_flags().filter(in_minor);
        let meant = did_you_mean(name, known.map(|flag| flag.name));
        let message = format!("{called} has no argument `{name}`{meant}");
        let help = format!(
            "with an unknown argument it ends at once: compare `{} --help` of your version",
            program.name()
        );
        return Some(argument.name_error(message, help).warning());
    };
    if in_minor(&flag) {
        return None;
    }
    if let Some(since) = flag.since.filter(|since| minor.number < *since) {
        let message = format!("{called} has no argument {name} yet: it ends at once, for ever");
        let help = format!("leave it out, or take Kubernetes 1.{since}");
        return Some(argument.name_error(message, help));
    }
    let message = format!("{called} has no argument {name} any more: it ends at once, for ever");
    let plain = name.strip_prefix("experimental-").filter(|plain| {
        let now = program.flag(plain);
        now.is_some_and(|flag| flag.is_in(minor.number))
    });
    let help = plain.map_or_else(
        || "leave it out".to_owned(),
        |plain| format!("write {plain}"),
    );
    Some(argument.name_error(message, help))
}

use Program::{Apiserver as A, ControllerManager as C, Etcd as E, Scheduler as S};

/// What kubeadm writes for each node by itself, and the agent reads, renews or waits for.
const OWNED: &[(Program, &str, &str)] = &[
    (
        A,
        "advertise-address",
        "leave it out: it is each node's own address, and this would be one for all",
    ),
    (
        A,
        "client-ca-file",
        "leave it out: it is the cluster's CA, which nodes and the agent's clients are known by",
    ),
    (
        A,
        "etcd-servers",
        "leave it out: each apiserver asks the etcd on its own node",
    ),
    (
        A,
        "etcd-cafile",
        "leave it out: it is the etcd CA that ha-host makes",
    ),
    (
        A,
        "etcd-certfile",
        "leave it out: the agent renews kubeadm's certificate",
    ),
    (
        A,
        "etcd-keyfile",
        "leave it out: the agent renews kubeadm's certificate",
    ),
    (
        A,
        "kubelet-client-certificate",
        "leave it out: the agent renews kubeadm's certificate",
    ),
    (
        A,
        "kubelet-client-key",
        "leave it out: the agent renews kubeadm's certificate",
    ),
    (
        A,
        "proxy-client-cert-file",
        "leave it out: the agent renews kubeadm's certificate",
    ),
    (
        A,
        "proxy-client-key-file",
        "leave it out: the agent renews kubeadm's certificate",
    ),
    (
        A,
        "requestheader-client-ca-file",
        "leave it out: it is the front-proxy CA that ha-host makes",
    ),
    (A, "service-cluster-ip-range", "use kubernetes.serviceCIDR"),
    (
        A,
        "tls-cert-file",
        "leave it out: the agent renews kubeadm's certificate; use kubernetes.certSANs for further names",
    ),
    (
        A,
        "tls-private-key-file",
        "leave it out: the agent renews kubeadm's certificate",
    ),
    (C, "cluster-cidr", "use kubernetes.podCIDR"),
    (C, "cluster-name", "use name"),
    (
        C,
        "cluster-signing-cert-file",
        "leave it out: kubelets renew their certificates by the cluster's CA",
    ),
    (
        C,
        "cluster-signing-key-file",
        "leave it out: kubelets renew their certificates by the cluster's CA",
    ),
    (
        C,
        "kubeconfig",
        "leave it out: it is the one that kubeadm writes and the agent renews",
    ),
    (
        C,
        "root-ca-file",
        "leave it out: it is the cluster's CA, which pods know the apiserver by",
    ),
    (C, "service-cluster-ip-range", "use kubernetes.serviceCIDR"),
    (
        S,
        "kubeconfig",
        "leave it out: it is the one that kubeadm writes and the agent renews; with `config` name that one in it",
    ),
    (
        E,
        "advertise-client-urls",
        "leave it out: it is each node's own address",
    ),
    (
        E,
        "cert-file",
        "leave it out: the agent renews kubeadm's certificate",
    ),
    (
        E,
        "client-cert-auth",
        "leave it out: without it whoever reaches the port owns the cluster",
    ),
    (
        E,
        "config-file",
        "write its settings as arguments: with a file etcd takes no notice of any argument",
    ),
    (
        E,
        "data-dir",
        "use kubernetes.clusterConfiguration.etcd.local.dataDir",
    ),
    (
        E,
        "force-new-cluster",
        "leave it out: every start would throw the other members out",
    ),
    (
        E,
        "initial-advertise-peer-urls",
        "leave it out: it is each node's own address",
    ),
    (
        E,
        "initial-cluster",
        "leave it out: kubeadm names the members, and the agent reads them there",
    ),
    (
        E,
        "initial-cluster-state",
        "leave it out: kubeadm says it as a member joins, and the agent reads it there",
    ),
    (
        E,
        "key-file",
        "leave it out: the agent renews kubeadm's certificate",
    ),
    (
        E,
        "listen-client-urls",
        "leave it out: it is each node's own address and 2379, where the agent asks it",
    ),
    (
        E,
        "listen-peer-urls",
        "leave it out: it is each node's own address",
    ),
    (
        E,
        "name",
        "leave it out: a member is called as its node is, which the agent knows it by",
    ),
    (
        E,
        "peer-cert-file",
        "leave it out: the agent renews kubeadm's certificate",
    ),
    (
        E,
        "peer-client-cert-auth",
        "leave it out: without it whoever reaches the port owns the cluster",
    ),
    (
        E,
        "peer-key-file",
        "leave it out: the agent renews kubeadm's certificate",
    ),
    (
        E,
        "peer-trusted-ca-file",
        "leave it out: it is the etcd CA that ha-host makes",
    ),
    (
        E,
        "trusted-ca-file",
        "leave it out: it is the etcd CA that ha-host makes",
    ),
];

/// What older guides say, and every supported version ends with "unknown flag".
const REMOVED: &[(Program, &str, &str)] = &[
    (
        A,
        "basic-auth-file",
        "leave it out; users come by certificate, OIDC or a webhook",
    ),
    (
        A,
        "cloud-config",
        "leave it out: the cloud's own controller manager reads it",
    ),
    (
        A,
        "cloud-provider",
        "leave it out: the cloud's own controller manager does it; kubelets and kube-controller-manager take `external`",
    ),
    (A, "enable-swagger-ui", "leave it out"),
    (
        A,
        "experimental-encryption-provider-config",
        "write encryption-provider-config",
    ),
    (
        A,
        "insecure-bind-address",
        "leave it out: there is no insecure port any more",
    ),
    (
        A,
        "insecure-port",
        "leave it out: there is no insecure port any more",
    ),
    (A, "kubelet-https", "leave it out: it always is"),
    (A, "target-ram-mb", "leave it out"),
    (C, "address", "write bind-address"),
    (C, "enable-taint-manager", "leave it out: it always is"),
    (
        C,
        "experimental-cluster-signing-duration",
        "write cluster-signing-duration",
    ),
    (
        C,
        "pod-eviction-timeout",
        "write default-not-ready-toleration-seconds and default-unreachable-toleration-seconds in apiServer.extraArgs",
    ),
    (
        C,
        "port",
        "leave it out: there is no insecure port any more",
    ),
    (S, "address", "write bind-address"),
    (
        S,
        "algorithm-provider",
        "write a KubeSchedulerConfiguration and name it in `config`",
    ),
    (
        S,
        "policy-config-file",
        "write a KubeSchedulerConfiguration and name it in `config`",
    ),
    (
        S,
        "port",
        "leave it out: there is no insecure port any more",
    ),
    (E, "debug", "write log-level with value debug"),
    (E, "enable-v2", "leave it out: etcd 3.6 has no v2"),
    (E, "proxy", "leave it out: etcd 3.6 has no v2"),
];
