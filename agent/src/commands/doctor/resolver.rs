//! The name servers that the kubelet hands to pods, CoreDNS among them, and whether they and CoreDNS answer for names outside of
//! the cluster: each is asked.

use std::net::IpAddr;

use ha_kube::kubeconfig::parse_yaml;

use crate::context::Context;
use crate::kube::KUBELET_CONFIG;
use crate::phases::is_settled;
use crate::phases::preflight::check::{Check, Verdict, passing_check};
use crate::phases::steady::answers::pods_resolver;
use crate::render::kubeadm::EffectiveSettings;
use crate::sys::dns;
use crate::sys::files::Files;

/// What kubeadm takes where systemd-resolved runs.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
const USUAL: &str = "/etc/resolv.conf";
/// What to do about name servers that do not answer.
const FOR_NODES: &str = "is the server up, and does its way let UDP port 53 pass? Else name another (network.dns of the cluster file, \
                         DNS= in the .network file)";
/// The same for cluster DNS.
const FOR_PODS: &str = "CoreDNS asks the name servers of the nodes that it runs on (`forward` in kubectl -n kube-system get configmap \
                        coredns -o yaml): mend those";

pub async fn check_resolver(cx: &Context) -> Vec<Check> {
    let files = &cx.sys.files;
    let file = resolver_file(files);
    let text = files.read(&file).ok().flatten();
    let mut checks = vec![evaluate_resolver(&file, text.as_deref())];
    let servers = name_servers(&text.unwrap_or_default());
    checks.extend(check_outer_names("outer names", &servers, FOR_NODES).await);
    if cx.node.is_kubernetes_node() && is_settled(cx) && EffectiveSettings::new(&cx.node).has_dns {
        let config = files.read(KUBELET_CONFIG).ok().flatten();
        let server = pods_resolver(&config.unwrap_or_default()).map(|(server, _)| server);
        checks.extend(check_outer_names("outer names in pods", server.as_slice(), FOR_PODS).await);
    }
    checks
}

/// A warning: a cluster may live without the world outside. Nothing is said of servers that are not there: that is said already.
async fn check_outer_names(name: &str, servers: &[IpAddr], remedy: &str) -> Option<Check> {
    let check = passing_check(name, &format!("nslookup -type=ns . {}", servers.first()?));
    let mut errors = Vec::new();
    for server in servers {
        if let Err(error) = dns::resolves_outer_names(*server).await {
            errors.push(format!("{error:#}"));
        }
    }
    let what = match errors.len() {
        0 => return Some(check),
        all if all == servers.len() => "no name outside of the cluster is resolved",
        _ => "some name servers do not resolve names outside of the cluster",
    };
    let reason = format!("{what}: {}", errors.join("; "));
    Some(check.with(Verdict::Warn, reason, remedy))
}

/// The kubelet's `resolvConf`, or what kubeadm is going to write there.
fn resolver_file(files: &Files) -> String {
    let config = files.read(KUBELET_CONFIG).ok().flatten();
    let config = config.and_then(|text| parse_yaml(&text).ok());
    let named = config.as_ref().and_then(|c| c["resolvConf"].as_str());
    match named {
        Some(named) if !named.is_empty() => named.to_owned(),
        _ if files.exists(RESOLVED) => RESOLVED.to_owned(),
        _ => USUAL.to_owned(),
    }
}

fn evaluate_resolver(file: &str, text: Option<&str>) -> Check {
    let check = passing_check("name servers of pods", &format!("cat {file}"));
    let Some(text) = text else {
        let reason =
            format!("{file}, which the kubelet hands to pods, is not there: no pod starts");
        let remedy = "make it, or name another in kubeletConfig.resolvConf of the cluster file";
        return check.with(Verdict::Fail, reason, remedy);
    };
    let servers = name_servers(text);
    if servers.is_empty() {
        let reason = format!("{file} names no name server: CoreDNS, which forwards there, exits");
        let remedy = "give the machine a name server (network.dns of the cluster file, DNS= in its .network file), \
                      then `kubectl -n kube-system rollout restart deployment coredns`";
        return check.with(Verdict::Fail, reason, remedy);
    }
    if let Some(itself) = servers.iter().find(|server| server.is_loopback()) {
        let reason =
            format!("{file} names {itself}: in a pod that is the pod, so CoreDNS asks itself");
        let remedy = "name the real servers there, or set kubeletConfig.resolvConf to /run/systemd/resolve/resolv.conf";
        return check.with(Verdict::Fail, reason, remedy);
    }
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    check.says(servers.join(", "))
}

/// `nameserver ADDRESS`, an IPv6 one perhaps with its zone.
fn name_servers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let address = (words.next() == Some("nameserver")).then(|| words.next())??;
        address.split('%').next()?.parse().ok()
    };
    text.lines().filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn pods_need_a_name_server_that_is_not_themselves() {
        for (text, verdict, words) in [
            (
                Some("# none\nsearch example.com\n"),
                Verdict::Fail,
                "names no name server",
            ),
            (Some(""), Verdict::Fail, "CoreDNS"),
            (None, Verdict::Fail, "is not there"),
            (
                Some("nameserver 127.0.0.53\n"),
                Verdict::Fail,
                "asks itself",
            ),
            (Some("nameserver 10.77.0.1\n"), Verdict::Pass, "10.77.0.1"),
            (
                Some("nameserver fe80::1%eth0\nnameserver 9.9.9.9\n"),
                Verdict::Pass,
                "fe80::1, 9.9.9.9",
            ),
        ] {
            let check = evaluate_resolver("/etc/resolv.conf", text);
            assert_eq!(check.verdict, verdict, "{text:?}");
            assert!(check.reason.contains(words), "{}", check.reason);
            assert_eq!(check.remedy.is_empty(), verdict == Verdict::Pass);
        }
    }

    #[tokio::test]
    async fn name_servers_that_do_not_answer_are_named() {
        // Nobody listens at port 53 of these.
        let silent: [IpAddr; 2] = ["127.0.0.9", "127.0.0.10"].map(|a| a.parse().unwrap());
        let check = check_outer_names("outer names", &silent, FOR_NODES).await;
        let check = check.unwrap();
        assert_eq!(check.verdict, Verdict::Warn);
        for word in [
            "no name outside of the cluster",
            "127.0.0.9:53",
            "127.0.0.10:53",
        ] {
            assert!(check.reason.contains(word), "{}", check.reason);
        }
        assert_eq!(check.command, "nslookup -type=ns . 127.0.0.9");
        assert!(
            check_outer_names("outer names", &[], FOR_NODES)
                .await
                .is_none()
        );
    }

    #[tokio::test]
    async fn the_kubelet_s_own_file_is_looked_at() {
        let machine = testing::fake_machine(testing::worker());
        let files = &machine.cx.sys.files;
        assert_eq!(resolver_file(files), USUAL);
        machine.file(RESOLVED, "");
        assert_eq!(resolver_file(files), RESOLVED);
        machine.file(
            KUBELET_CONFIG,
            "kind: KubeletConfiguration\nresolvConf: /etc/mine\n",
        );
        machine.file("/etc/mine", "nameserver 127.0.0.9\n");
        let reason = &check_resolver(&machine.cx).await[0].reason;
        assert!(reason.starts_with("/etc/mine names 127.0.0.9"), "{reason}");
    }
}
