//! Chains of nft that drop or reject whatever no rule of theirs accepts, by their policy or by a rule without a condition. A rule
//! that cannot be judged counts as one that accepts: what is named here is closed for sure.

use serde_json::Value;

use super::holds_port;

/// Deeper than this chains do not jump: nft's own limit.
const DEEPEST: u8 = 16;

/// What a node needs to come in or to go out.
enum WantedTraffic {
    TcpPort(u16),
    Vrrp,
}

/// Base chains that are closed, each with what of these it drops: TCP ports of this node, and VRRP, which goes both ways.
pub fn closed_chains(objects: &[Value], ports: &[u16], vrrp: bool) -> Vec<String> {
    let chains = objects.iter().filter_map(|object| object.get("chain"));
    chains
        .filter_map(|chain| {
            let by = closed_by(objects, chain)?;
            let incoming = chain["hook"] == "input";
            if !incoming && chain["hook"] != "output" {
                return None;
            }
            let is_dropped =
                |wanted: &WantedTraffic| !may_pass(objects, chain, &chain["name"], wanted, DEEPEST);
            let ports = ports.iter().filter(|_| incoming);
            let dropped = ports.filter(|port| is_dropped(&WantedTraffic::TcpPort(**port)));
            let mut what: Vec<String> = dropped.map(|port| format!("TCP port {port}")).collect();
            if vrrp && is_dropped(&WantedTraffic::Vrrp) {
                what.push("VRRP".into());
            }
            let word = |key: &str| chain[key].as_str().unwrap_or_default();
            let (family, table, name) = (word("family"), word("table"), word("name"));
            let what = (!what.is_empty()).then(|| what.join(", "))?;
            Some(format!("nft {family} {table} {name}, {by}: {what}"))
        })
        .collect()
}

/// What ends a packet in this base chain that nothing accepts.
fn closed_by(objects: &[Value], chain: &Value) -> Option<&'static str> {
    if chain["policy"] == "drop" {
        return Some("its policy");
    }
    let is_any_of = |part: &Value, words: &[&str]| words.iter().any(|w| part.get(w).is_some());
    // Whatever else a rule holds may be a condition.
    let is_last = |rule: &Value| {
        let (ends, counts) = (["drop", "reject"], ["counter", "log"]);
        let parts = rule["expr"].as_array();
        parts.is_some_and(|parts| {
            let mut rest = parts.iter().filter(|part| !is_any_of(part, &ends));
            rest.all(|part| is_any_of(part, &counts)) && parts.iter().any(|p| is_any_of(p, &ends))
        })
    };
    rules_of(objects, chain, &chain["name"])
        .any(is_last)
        .then_some("its last rule")
}

/// The rules of the chain of this name that lies in the base chain's table.
fn rules_of<'r>(
    objects: &'r [Value],
    base: &'r Value,
    name: &'r Value,
) -> impl Iterator<Item = &'r Value> {
    let rules = objects.iter().filter_map(|object| object.get("rule"));
    rules.filter(move |rule| {
        let same = |key: &str| rule[key] == base[key];
        same("family") && same("table") && rule["chain"] == *name
    })
}

/// Whether a rule of this chain, or of one that it jumps to, may accept it.
fn may_pass(
    objects: &[Value],
    base: &Value,
    name: &Value,
    wanted: &WantedTraffic,
    depth: u8,
) -> bool {
    rules_of(objects, base, name).any(|rule| {
        let Some(parts) = rule["expr"].as_array() else {
            return true;
        };
        let mut matches = parts.iter().filter_map(|part| part.get("match"));
        matches.all(|matched| may_match(matched, wanted))
            && parts
                .iter()
                .any(|part| ends_well(objects, base, part, wanted, depth))
    })
}

fn ends_well(
    objects: &[Value],
    base: &Value,
    part: &Value,
    wanted: &WantedTraffic,
    depth: u8,
) -> bool {
    let target = part.get("jump").or_else(|| part.get("goto"));
    match target {
        Some(_) if depth == 0 => true,
        Some(to) => may_pass(objects, base, &to["target"], wanted, depth - 1),
        None => ["accept", "vmap", "xt", "queue"]
            .iter()
            .any(|end| part.get(end).is_some()),
    }
}

/// Whether a new packet of this kind from another node may match; false only if it cannot.
fn may_match(matched: &Value, wanted: &WantedTraffic) -> bool {
    let (left, right) = (&matched["left"], &matched["right"]);
    let is_plain = matched["op"] == "==" || matched["op"] == "in";
    if !is_plain || right.as_str().is_some_and(|name| name.starts_with('@')) {
        return true;
    }
    let (protocol, field) = (&left["payload"]["protocol"], &left["payload"]["field"]);
    let key = &left["meta"]["key"];
    let names = match wanted {
        WantedTraffic::TcpPort(_) => ["tcp", "6"],
        WantedTraffic::Vrrp => ["vrrp", "112"],
    };
    if protocol == "icmp" || protocol == "icmpv6" {
        false
    } else if field == "dport" {
        match wanted {
            WantedTraffic::TcpPort(port) => protocol != "udp" && holds_port(right, *port),
            WantedTraffic::Vrrp => false,
        }
    } else if field == "protocol" || field == "nexthdr" || key == "l4proto" {
        holds_word(right, &names)
    } else if key == "iif" || key == "iifname" || key == "oif" || key == "oifname" {
        right != "lo"
    } else if left["ct"]["key"] == "state" {
        holds_word(right, &["new"])
    } else if left["ct"]["key"] == "status" {
        // What a service's address was exchanged for is for a pod, not for the node's own programs.
        right != "dnat"
    } else {
        true
    }
}

/// A word or a number, or a set of them.
fn holds_word(value: &Value, words: &[&str]) -> bool {
    match value {
        Value::String(word) => words.contains(&word.as_str()),
        Value::Number(number) => words.contains(&number.to_string().as_str()),
        Value::Array(all) => all.iter().any(|one| holds_word(one, words)),
        Value::Object(object) => object.get("set").is_none_or(|set| holds_word(set, words)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json_rule(chain: &str, expr: Value) -> Value {
        json!({"rule": {"family": "inet", "table": "t", "chain": chain, "expr": expr}})
    }

    fn json_chain(name: &str, hook: &str, policy: &str) -> Value {
        json!({"chain": {"family": "inet", "table": "t", "name": name, "hook": hook, "policy": policy}})
    }

    fn match_expression(left: Value, right: Value) -> Value {
        json!({"match": {"op": "==", "left": left, "right": right}})
    }

    fn match_dport(right: Value) -> Value {
        match_expression(
            json!({"payload": {"protocol": "tcp", "field": "dport"}}),
            right,
        )
    }

    /// As a hardened machine begins, by nft's own JSON: what is its own, what was answered, and pings.
    fn hardened_table(more: Vec<Value>) -> Vec<Value> {
        let accept = || json!({"accept": null});
        let state = json!({"ct": {"key": "state"}});
        let mut all = vec![
            json_chain("in", "input", "drop"),
            json_rule(
                "in",
                json!([
                    match_expression(json!({"meta": {"key": "iif"}}), json!("lo")),
                    accept()
                ]),
            ),
            json_rule(
                "in",
                json!([
                    match_expression(state, json!(["established", "related"])),
                    accept()
                ]),
            ),
            json_rule(
                "in",
                json!([
                    match_expression(json!({"meta": {"key": "l4proto"}}), json!("icmp")),
                    accept()
                ]),
            ),
            json_rule("in", json!([match_dport(json!(22)), accept()])),
        ];
        all.extend(more);
        all
    }

    #[test]
    fn a_chain_that_drops_what_nobody_accepts_is_named() {
        let accept = || json!({"accept": null});
        let all = "nft inet t in, its policy: TCP port 6443, TCP port 10250, VRRP";
        let from_peers = json!({"payload": {"protocol": "ip", "field": "saddr"}});
        for (more, said) in [
            (vec![], Some(all)),
            (
                vec![json_rule(
                    "in",
                    json!([
                        match_dport(json!({"set": [6443, {"range": [10250, 10259]}]})),
                        accept()
                    ]),
                )],
                Some("nft inet t in, its policy: VRRP"),
            ),
            (
                vec![json_rule(
                    "in",
                    json!([match_dport(json!(6443)), {"counter": null}, {"drop": null}]),
                )],
                Some(all),
            ),
            // Whoever comes from there may be a peer.
            (
                vec![json_rule(
                    "in",
                    json!([
                        match_expression(from_peers, json!("10.77.0.0/24")),
                        accept()
                    ]),
                )],
                None,
            ),
            (
                vec![
                    json_rule("in", json!([match_dport(json!("@allowed")), accept()])),
                    json_rule("in", json!([{"xt": null}])),
                ],
                None,
            ),
            (
                vec![
                    json_rule("in", json!([{"jump": {"target": "mine"}}])),
                    json_rule("mine", json!([match_dport(json!(6443)), accept()])),
                ],
                Some("nft inet t in, its policy: TCP port 10250, VRRP"),
            ),
        ] {
            let closed = closed_chains(&hardened_table(more.clone()), &[6443, 10250], true);
            assert_eq!(closed, Vec::from_iter(said.map(str::to_owned)), "{more:?}");
        }
    }

    #[test]
    fn what_accepts_or_is_no_way_of_a_node_is_not_named() {
        for (hook, policy) in [("input", "accept"), ("forward", "drop")] {
            assert_eq!(
                closed_chains(&[json_chain("in", hook, policy)], &[6443], true),
                [""; 0]
            );
        }
        let out = [json_chain("out", "output", "drop")];
        assert_eq!(
            closed_chains(&out, &[6443], false),
            [""; 0],
            "ports of peers are tried"
        );
        assert_eq!(
            closed_chains(&out, &[6443], true),
            ["nft inet t out, its policy: VRRP"]
        );
    }

    /// As firewalld 2.3 makes them for its zone `public`, by `nft --json list ruleset`, shortened.
    fn of_firewalld(allowed: Value) -> Vec<Value> {
        let reject = || json!({"reject": {"type": "icmpx", "expr": "admin-prohibited"}});
        let jump = |to: &str| json!({"jump": {"target": to}});
        let accept = || json!({"accept": null});
        let status =
            json!({"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}});
        let invalid =
            json!({"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "invalid"}});
        let lo = match_expression(json!({"meta": {"key": "iifname"}}), json!("lo"));
        let pings = match_expression(
            json!({"meta": {"key": "l4proto"}}),
            json!({"set": ["icmp", "ipv6-icmp"]}),
        );
        vec![
            json_chain("filter_INPUT", "input", "accept"),
            json_rule("filter_INPUT", json!([status, accept()])),
            json_rule("filter_INPUT", json!([lo, accept()])),
            json_rule("filter_INPUT", json!([invalid, {"drop": null}])),
            json_rule("filter_INPUT", json!([jump("filter_IN_public")])),
            json_rule("filter_INPUT", json!([reject()])),
            json_rule("filter_IN_public", json!([pings, accept()])),
            json_rule("filter_IN_public", json!([match_dport(allowed), accept()])),
        ]
    }

    #[test]
    fn a_chain_that_ends_with_a_reject_is_closed_like_one_whose_policy_is_drop() {
        let said = "nft inet t filter_INPUT, its last rule: ";
        for (allowed, what) in [
            (json!(22), "TCP port 6443, TCP port 10250, VRRP"),
            (json!(6443), "TCP port 10250, VRRP"),
        ] {
            let closed = closed_chains(&of_firewalld(allowed), &[6443, 10250], true);
            assert_eq!(closed, [format!("{said}{what}")]);
        }
        let mut objects = of_firewalld(json!(22));
        objects[5]["rule"]["expr"] = json!([{"xt": {"type": "match"}}, {"drop": null}]);
        assert!(closed_chains(&objects, &[6443], true).is_empty());
    }
}
