//! Rules that drop what the cluster's nodes say to each other. Whether they hit is tried from peer to peer by `ha-host doctor`;
//! here they are named.

use ha_wire::node::NodeFile;
use serde_json::Value;

use crate::context::Context;
use crate::phases::preflight::check::{Check, Verdict, passing_check};
use crate::phases::preflight::ports::wanted_ports;
use crate::sys::Cmd;

use super::{QUESTION, join_networks};

mod closed_chains;

const FIREWALLD: &str = "firewalld.service";
const NFT_COMMAND: &str = "nft list ruleset";
/// kube-controller-manager and kube-scheduler listen on the loopback address.
const OF_THE_MACHINE: [u16; 2] = [10257, 10259];
/// So many rules are named; the command shows the rest.
const NAMED: usize = 3;

pub async fn check_firewall(cx: &Context) -> Vec<Check> {
    let ports = ports_for_others(&cx.node);
    let run = async |program: &str, args: &[&str]| {
        let command = Cmd::new(program, args, QUESTION);
        // A machine without the program has no such rules.
        cx.sys
            .commands
            .run(command)
            .await
            .map(|out| out.stdout)
            .ok()
    };
    let mut rules = Vec::new();
    if let Some(text) = run("nft", &["--json", "list", "ruleset"]).await {
        let objects = parse_ruleset(&text);
        rules.extend(dropping_nft_rules(&objects, &ports));
        let vrrp = cx.node.runs_balancer();
        rules.extend(closed_chains::closed_chains(&objects, &ports, vrrp));
    }
    for program in ["iptables-save", "ip6tables-save"] {
        if let Some(text) = run(program, &["-t", "filter"]).await {
            rules.extend(dropping_iptables_rules(&text, &ports));
        }
    }
    let firewalld = cx.sys.systemd.active_state(FIREWALLD).await;
    vec![
        check_firewalld(&cx.node, firewalld.is_ok_and(|state| state == "active")),
        check_rules(&rules),
    ]
}

/// Without those that kubeadm's components keep for their own machine.
fn ports_for_others(node: &NodeFile) -> Vec<u16> {
    let ports = wanted_ports(node).into_keys();
    ports
        .filter(|port| !OF_THE_MACHINE.contains(port))
        .collect()
}

fn check_firewalld(node: &NodeFile, active: bool) -> Check {
    let check = passing_check("firewalld", "firewall-cmd --state; firewall-cmd --list-all");
    if !active {
        return check;
    }
    let trusted = join_networks(node.networks().chain(node.pod_cidrs()), " --add-source=");
    let opened = match node.runs_balancer() {
        true => Some(node.endpoint.port),
        false => node
            .is_control_plane()
            .then_some(node.endpoint.apiserver_port),
    };
    let api = opened.map_or_else(String::new, |port| {
        format!(", `firewall-cmd --permanent --add-port={port}/tcp` (who else uses the API)")
    });
    let remedy = format!(
        "systemctl disable --now firewalld; or `firewall-cmd --permanent --zone=trusted --add-source={trusted}` (nodes, \
         pods){api}, `firewall-cmd --reload`"
    );
    let reason = "firewalld is active: what it does not allow, the other nodes do not reach";
    check.with(Verdict::Warn, reason.into(), &remedy)
}

fn check_rules(rules: &[String]) -> Check {
    let check = passing_check("firewall rules", &format!("{NFT_COMMAND}; iptables-save"));
    if rules.is_empty() {
        return check;
    }
    let named = rules[..rules.len().min(NAMED)].join("; ");
    let more = match rules.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let reason = format!("rules drop what nodes of the cluster need: {named}{more}");
    let remedy = "delete them (nft delete rule FAMILY TABLE CHAIN handle N; nft delete table FAMILY TABLE; iptables -D ...), or let the cluster's nodes pass before them; \
                  `ha-host doctor CLUSTER` tries every way";
    check.with(Verdict::Warn, reason, remedy)
}

/// Tables, chains and rules; none if it is no ruleset.
fn parse_ruleset(text: &str) -> Vec<Value> {
    let mut parsed: Value = serde_json::from_str(text).unwrap_or_default();
    match parsed.get_mut("nftables").map(Value::take) {
        Some(Value::Array(objects)) => objects,
        _ => Vec::new(),
    }
}

/// Rules of nft's JSON that drop or reject a TCP port of these, or VRRP.
fn dropping_nft_rules(objects: &[Value], ports: &[u16]) -> Vec<String> {
    let rules = objects.iter().filter_map(|object| object.get("rule"));
    let dropping = rules.filter_map(|rule| {
        let parts = rule["expr"].as_array()?;
        let drops = parts
            .iter()
            .any(|p| p.get("drop").is_some() || p.get("reject").is_some());
        let what = parts
            .iter()
            .find_map(|part| what_nft_matches(part.get("match")?, ports));
        let word = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        let place = [word("family"), word("table"), word("chain")].join(" ");
        let what = what.filter(|_| drops)?;
        Some(format!("nft {place} handle {}: {what}", rule["handle"]))
    });
    dropping.collect()
}

fn what_nft_matches(matched: &Value, ports: &[u16]) -> Option<String> {
    if matched["op"] != "==" && matched["op"] != "in" {
        return None;
    }
    let (left, right) = (&matched["left"], &matched["right"]);
    let field = left["payload"]["field"].as_str();
    let protocol =
        matches!(field, Some("protocol" | "nexthdr")) || left["meta"]["key"] == "l4proto";
    if protocol && (right == "vrrp" || right == 112) {
        return Some("VRRP".into());
    }
    let is_port = field == Some("dport") && left["payload"]["protocol"] != "udp";
    let hit = ports
        .iter()
        .find(|port| is_port && holds_port(right, **port))?;
    Some(format!("TCP port {hit}"))
}

/// A port, a range of ports, or a set of both.
fn holds_port(value: &Value, port: u16) -> bool {
    let range = |ends: &Value| {
        let end = |i: usize| ends[i].as_u64();
        let (first, last) = (end(0)?, end(1)?);
        Some((first..=last).contains(&u64::from(port)))
    };
    match value {
        Value::Number(number) => number.as_u64() == Some(port.into()),
        Value::Array(all) => all.iter().any(|one| holds_port(one, port)),
        Value::Object(object) => {
            let set = object.get("set").is_some_and(|set| holds_port(set, port));
            set || object.get("range").and_then(range).unwrap_or(false)
        }
        _ => false,
    }
}

/// Rules of `iptables-save` that do the same.
fn dropping_iptables_rules(text: &str, ports: &[u16]) -> Vec<String> {
    let dropping = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |option: &str| {
            let at = words.iter().position(|word| *word == option)?;
            // `! --dport 22` speaks of all others.
            let negated = at.checked_sub(1).is_some_and(|before| words[before] == "!");
            words.get(at + 1).copied().filter(|_| !negated)
        };
        let drops = matches!(after("-j"), Some("DROP" | "REJECT"));
        let is_rule = words.first() == Some(&"-A") && drops;
        let vrrp = matches!(after("-p"), Some("vrrp" | "112"));
        let list = after("--dport").or_else(|| after("--dports"));
        let is_tcp = after("-p") == Some("tcp");
        let hit = ports
            .iter()
            .any(|port| is_tcp && list.is_some_and(|list| list_holds(list, *port)));
        (is_rule && (vrrp || hit)).then(|| format!("iptables {line}"))
    };
    text.lines().filter_map(dropping).collect()
}

/// `2379`, `2379:2380`, `22,2379:2380`.
fn list_holds(list: &str, port: u16) -> bool {
    let holds = |one: &str| {
        let (first, last) = one.split_once(':').unwrap_or((one, one));
        let ends = first.parse::<u16>().ok().zip(last.parse().ok());
        ends.is_some_and(|(first, last)| (first..=last).contains(&port))
    };
    list.split(',').any(holds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// As `nft --json list ruleset` (1.1) prints a table with these rules, shortened.
    fn table_with_rules(exprs: &[&str]) -> String {
        let rule = |expr: &&str| {
            format!(
                r#"{{"rule": {{"family": "inet", "table": "mine", "chain": "in", "handle": 4, "expr": [{expr}]}}}}"#
            )
        };
        let rules: Vec<String> = exprs.iter().map(rule).collect();
        format!(
            r#"{{"nftables": [{{"metainfo": {{"version": "1.1.3"}}}}, {{"chain": {{"family": "inet", "table": "mine",
            "name": "in", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}}}}, {}]}}"#,
            rules.join(",")
        )
    }

    #[test]
    fn nft_rules_that_drop_a_port_or_vrrp_are_named() {
        let dport = |right: &str| {
            format!(
                r#"{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "tcp", "field": "dport"}}}}, "right": {right}}}}}"#
            )
        };
        let vrrp = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "protocol"}}, "right": "vrrp"}}"#;
        let (drop, accept) = (r#"{"drop": null}"#, r#"{"accept": null}"#);
        for (expr, named) in [
            (format!("{}, {drop}", dport("2379")), Some("TCP port 2379")),
            (
                format!(
                    r#"{}, {{"counter": {{"packets": 0, "bytes": 0}}}}, {{"reject": {{"type": "tcp reset"}}}}"#,
                    dport(r#"{"set": [22, {"range": [2379, 2380]}]}"#)
                ),
                Some("TCP port 2379"),
            ),
            (format!("{vrrp}, {drop}"), Some("VRRP")),
            (format!("{}, {accept}", dport("2379")), None),
            (format!("{}, {drop}", dport("22")), None),
            (
                format!("{}, {drop}", dport("2379").replace("==", "!=")),
                None,
            ),
            (drop.to_owned(), None),
        ] {
            let objects = parse_ruleset(&table_with_rules(&[&expr]));
            let rules = dropping_nft_rules(&objects, &[2379, 6443]);
            let expected = named.map(|what| format!("nft inet mine in handle 4: {what}"));
            assert_eq!(rules, Vec::from_iter(expected), "{expr}");
        }
        assert_eq!(
            dropping_nft_rules(&parse_ruleset("no JSON"), &[2379]),
            [""; 0]
        );
    }

    #[test]
    fn iptables_rules_that_drop_a_port_or_vrrp_are_named() {
        for (line, hits) in [
            ("-A INPUT -p tcp -m tcp --dport 2379 -j DROP", true),
            (
                "-A INPUT -s 10.77.0.11/32 -p tcp -m multiport --dports 22,2379:2380 -j REJECT --reject-with tcp-reset",
                true,
            ),
            ("-A OUTPUT -p vrrp -j DROP", true),
            ("-A OUTPUT -p 112 -j DROP", true),
            ("-A INPUT -p tcp -m tcp --dport 2379 -j ACCEPT", false),
            ("-A INPUT -p tcp -m tcp ! --dport 22 -j DROP", false),
            ("-A INPUT -p udp -m udp --dport 2379 -j DROP", false),
            (
                "-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -j DROP",
                false,
            ),
            (":INPUT DROP [0:0]", false),
        ] {
            let rules = dropping_iptables_rules(line, &[2379, 6443]);
            assert_eq!(rules.len(), usize::from(hits), "{line}");
        }
    }

    #[test]
    fn firewalld_and_rules_are_warnings_with_a_remedy() {
        let node = testing::control_plane();
        assert_eq!(check_firewalld(&node, false).verdict, Verdict::Pass);
        let external = testing::behind_external(testing::control_plane());
        assert_eq!(ports_for_others(&external), [2379, 2380, 6443, 10250]);
        let check = check_firewalld(&external, true);
        assert!(check.remedy.contains("--add-port=6443/tcp`"));
        let check = check_firewalld(&node, true);
        assert_eq!(check.verdict, Verdict::Warn);
        for word in [
            "--zone=trusted --add-source=10.77.0.0/24 --add-source=10.244.0.0/16`",
            "--add-port=6444/tcp`",
        ] {
            assert!(check.remedy.contains(word), "{}", check.remedy);
        }
        assert_eq!(ports_for_others(&node), [2379, 2380, 6443, 6444, 10250]);
        let rules: Vec<String> = (1..=5).map(|i| format!("rule {i}")).collect();
        let check = check_rules(&rules);
        assert_eq!(check.verdict, Verdict::Warn);
        assert!(
            check.reason.ends_with("rule 3 and 2 more"),
            "{}",
            check.reason
        );
    }
}
