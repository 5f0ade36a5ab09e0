//! A proxy for the whole machine, without the cluster's own addresses among its exceptions: then the kubelet, and whatever else
//! systemd starts, speaks to the API through it.

use std::net::IpAddr;

use ha_wire::node::NodeFile;
use ipnet::IpNet;

use crate::context::Context;
use crate::phases::preflight::check::{Check, Verdict, passing_check};
use crate::sys::Cmd;

use super::{QUESTION, join_networks};

/// What programs written in Go read, the first that is set.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// Whose environment matters, beside what systemd gives to all.
const UNITS: [&str; 2] = ["kubelet.service", "ha-agent.service"];

/// An environment that systemd gives away.
#[derive(Debug, Clone)]
struct UnitEnvironment {
    /// `systemd`, or the unit's name.
    of: String,
    variables: Vec<(String, String)>,
}

pub async fn check_proxies(cx: &Context) -> Vec<Check> {
    let mut environments = Vec::new();
    if let Ok(out) = ask_systemd(cx, &["show-environment"]).await {
        let variables = out.lines().filter_map(parse_variable).collect();
        let of = "systemd".to_owned();
        environments.push(UnitEnvironment { of, variables });
    }
    for unit in UNITS {
        if let Ok(out) = ask_systemd(cx, &["show", "--property=Environment", "--value", unit]).await
        {
            let words = split_quoted(&out);
            let variables = words.iter().filter_map(|w| parse_variable(w)).collect();
            let of = unit.to_owned();
            environments.push(UnitEnvironment { of, variables });
        }
    }
    let checks = environments.iter().map(|e| check_proxy(&cx.node, e));
    let mut faults: Vec<Check> = checks.flatten().collect();
    if faults.is_empty() {
        faults.push(passing_check("proxy", "systemctl show-environment"));
    }
    faults
}

async fn ask_systemd(cx: &Context, args: &[&str]) -> anyhow::Result<String> {
    let command = Cmd::new("systemctl", args, QUESTION);
    Ok(cx.sys.commands.run(command).await?.stdout)
}

/// `NAME=value`, the value perhaps quoted as for a shell (`$'...'`).
fn parse_variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let value = value.trim_start_matches('$').trim_matches(['\'', '"']);
    Some((name.to_owned(), value.to_owned()))
}

/// Words, those with spaces in double quotes.
fn split_quoted(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn check_proxy(node: &NodeFile, environment: &UnitEnvironment) -> Option<Check> {
    let value = |names: &[&str]| {
        let set = |name: &&str| {
            let mut all = environment.variables.iter();
            all.find(|(n, v)| n == name && !v.is_empty())
        };
        names.iter().find_map(set)
    };
    let (variable, _) = value(&PROXIES)?;
    let exceptions = value(&EXCEPTIONS).map_or("", |(_, v)| v.as_str());
    let missing: Vec<String> = cluster_addresses(node)
        .into_iter()
        .filter(|address| !is_excepted(exceptions, *address))
        .map(|address| address.to_string())
        .collect();
    if missing.is_empty() {
        return None;
    }
    let of = &environment.of;
    let command = match of.as_str() {
        "systemd" => "systemctl show-environment".to_owned(),
        unit => format!("systemctl show --property=Environment {unit}"),
    };
    // The proxy's own address is not said: it may hold a password.
    let reason = format!(
        "{of} sets {variable}, and its NO_PROXY lacks {}: the kubelet speaks to the API through the proxy",
        missing.join(", ")
    );
    let remedy = format!(
        "add {} to NO_PROXY where it is set (/etc/systemd/system.conf.d, a drop-in of the unit), then systemctl daemon-reexec and restart kubelet",
        wanted_exceptions(node)
    );
    Some(passing_check("proxy", &command).with(Verdict::Fail, reason, &remedy))
}

/// What has to be spoken to without a proxy: every apiserver, the VIP, and the API's service address.
fn cluster_addresses(node: &NodeFile) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = node.endpoint.addresses().collect();
    all.extend(node.control_planes.iter().map(|peer| peer.address));
    all.extend(node.kubernetes.service_cidr.hosts().next());
    all
}

/// What a person would write there.
fn wanted_exceptions(node: &NodeFile) -> String {
    let network = join_networks(node.networks(), ",");
    let inner = join_networks(node.pod_cidrs().chain(node.service_cidrs()), ",");
    let vip = node.endpoint.vip;
    format!("{network},{vip},{inner},.svc,.cluster.local")
}

/// Whether Go's programs speak to this address directly: an address, with or without a port, a network, or everything.
fn is_excepted(exceptions: &str, address: IpAddr) -> bool {
    exceptions.split(',').map(str::trim).any(|exception| {
        let network = exception.parse::<IpNet>();
        let host = exception.parse::<IpAddr>();
        let with_port = exception.parse::<std::net::SocketAddr>();
        exception == "*"
            || network.is_ok_and(|network| network.contains(&address))
            || host.is_ok_and(|host| host == address)
            || with_port.is_ok_and(|at| at.ip() == address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn check_of_variables(lines: &str) -> Option<Check> {
        let variables = lines.lines().filter_map(parse_variable).collect();
        let of = "systemd".to_owned();
        check_proxy(&testing::worker(), &UnitEnvironment { of, variables })
    }

    #[test]
    fn a_proxy_without_the_cluster_s_exceptions_is_named_without_its_address() {
        let proxy = "HTTPS_PROXY=http://me:secret@10.1.1.1:3128\nPATH=/usr/bin\n";
        let check = check_of_variables(proxy).unwrap();
        assert_eq!(check.verdict, Verdict::Fail);
        let all = format!("{} {}", check.reason, check.remedy);
        for word in [
            "HTTPS_PROXY",
            "10.77.0.30",
            "10.77.0.13",
            "10.96.0.1",
            "10.77.0.0/24",
        ] {
            assert!(all.contains(word), "{word}: {all}");
        }
        assert!(!all.contains("secret") && !all.contains("3128"), "{all}");
        for (exceptions, lacks) in [
            ("localhost,.svc", Some("10.77.0.30")),
            ("10.77.0.0/24", Some("10.96.0.1")),
            (
                "10.77.0.30:6444,10.77.0.11,10.77.0.12,10.96.0.0/12",
                Some("10.77.0.13"),
            ),
            ("10.77.0.0/24, 10.96.0.0/12", None),
            ("*", None),
        ] {
            let check = check_of_variables(&format!("{proxy}NO_PROXY={exceptions}\n"));
            assert_eq!(check.is_some(), lacks.is_some(), "{exceptions}: {check:?}");
            if let (Some(check), Some(lacks)) = (check, lacks) {
                assert!(check.reason.contains(lacks), "{}", check.reason);
            }
        }
    }

    #[test]
    fn no_proxy_is_no_fault() {
        assert!(check_of_variables("PATH=/usr/bin\nNO_PROXY=\nHTTPS_PROXY=\n").is_none());
    }

    #[test]
    fn quoted_variables_are_read() {
        let words = split_quoted("A=b \"NO_PROXY=10.0.0.0/8, 10.96.0.0/12\" C=d\n");
        assert_eq!(words, ["A=b", "NO_PROXY=10.0.0.0/8, 10.96.0.0/12", "C=d"]);
        let quoted = parse_variable("NO_PROXY=$'10.0.0.0/8 x'").unwrap();
        assert_eq!(quoted.1, "10.0.0.0/8 x");
    }
}
