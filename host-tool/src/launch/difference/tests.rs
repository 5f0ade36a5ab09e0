use std::path::Path;

use ha_test_support::{DEMO, parse_cluster};

use super::*;

/// What is said of the demo cluster with these replacements.
fn describe_replacements(replacements: &[(&str, &str)]) -> Vec<String> {
    let parse = |text: &str| parse_cluster(text, Path::new("/"));
    let base = format!("{DEMO}provider: none\n");
    let new = replacements
        .iter()
        .fold(base.clone(), |text, (from, to)| text.replace(from, to));
    let found = find_differences(&parse(&base), &parse(&new)).unwrap();
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn what_differs_is_named_by_the_files_keys_with_both_values() {
    let kubernetes =
        |more: &str| describe_replacements(&[("cni: none}", &format!("cni: none, {more}}}"))]);
    assert_eq!(
        kubernetes("kubeletConfig: {maxPods: 120}"),
        ["kubernetes.kubeletConfig.maxPods: none -> 120"]
    );
    assert_eq!(
        kubernetes("clusterConfiguration: {apiServer: {extraArgs: [{name: v, value: \"4\"}]}}"),
        ["kubernetes.clusterConfiguration.apiServer.extraArgs[v]: none -> 4"]
    );
    assert_eq!(
        kubernetes("podCIDR: 10.80.0.0/14"),
        ["kubernetes.podCIDR: 10.96.0.0/12 -> 10.80.0.0/14"].map(|line| line.replace(
            "10.96.0.0/12",
            &parse_cluster(DEMO, Path::new("/"))
                .kubernetes
                .pod_cidr
                .to_string()
        ))
    );
    assert_eq!(
        describe_replacements(&[("port: 6444", "port: 7444"), ("10.77.0.15", "10.77.0.25")]),
        [
            "endpoint.port: 6444 -> 7444",
            "nodes[node5].address: 10.77.0.15 -> 10.77.0.25"
        ]
    );
    let second = |n: usize| {
        let one = format!("address: 10.77.0.{n}}}");
        let two = one
            .replace("10.77.0.", "[10.77.0.")
            .replace('}', &format!(", \"fd00:77::{n}\"]}}"));
        (one, two)
    };
    let mut pairs: Vec<(String, String)> = (11..16).map(second).collect();
    pairs.push(("prefix: 24".into(), "prefix: [24, 64]".into()));
    pairs.push((
        "gateway: 10.77.0.1".into(),
        "gateway: [10.77.0.1, \"fd00:77::1\"]".into(),
    ));
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let seen = describe_replacements(&pairs);
    for line in [
        "network.prefix: 24 -> 24, 64",
        "network.gateway: 10.77.0.1 -> 10.77.0.1, fd00:77::1",
        "nodes[node5].address: 10.77.0.15 -> 10.77.0.15, fd00:77::15",
    ] {
        assert!(seen.iter().any(|said| said == line), "{line}: {seen:?}");
    }
    assert!(
        seen.iter().all(|line| !line.starts_with("secondary")),
        "{seen:?}"
    );
    assert_eq!(
        describe_replacements(&[("dns: [10.77.0.1]", "dns: [10.77.0.1, 9.9.9.9]")]),
        ["network.dns: 10.77.0.1 -> 10.77.0.1, 9.9.9.9"]
    );
    assert_eq!(
        describe_replacements(&[("node5", "node7")]),
        [
            "nodes[node5]: worker -> none",
            "nodes[node7]: none -> worker"
        ]
    );
    assert_eq!(
        describe_replacements(&[("10.77.0.11}", "10.77.0.11, taints: []}")]),
        ["nodes[node1].taints: none -> []"]
    );
    assert_eq!(describe_replacements(&[]), Vec::<String>::new());
}

#[test]
fn a_map_that_became_a_list_is_said_without_its_values() {
    let (old, new) = (
        json!({"extraArgs": {"v": "4"}}),
        json!({"extraArgs": [{"name": "v", "value": "4"}]}),
    );
    let mut found = Vec::new();
    compare_values("apiServer", Some(&old), Some(&new), &mut found);
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["apiServer.extraArgs: a map of 1 -> a list of 1"]);
}

#[test]
fn no_secret_is_shown() {
    for (key, value) in [
        ("hooks.beforeJoin", json!(["echo hush > /x"])),
        ("kubernetes.cni.cilium.values.apiToken", json!("hush")),
        (
            "kubernetes.clusterConfiguration.apiServer.extraEnvs[A]",
            json!("hush"),
        ),
        (
            "kubernetes.clusterConfiguration.apiServer.extraArgs[oidc-client-secret]",
            json!("hush"),
        ),
        (
            "sysexts.a.url.url",
            json!("https://me:hush@example.org/a.raw"),
        ),
        (
            "provider.qemu.image.file.kernel.append",
            json!("console=ttyS0 root_password=hush"),
        ),
        ("kubernetes.x", json!({"a": "hush"})),
        ("kubernetes.x", json!([{"a": "hush"}])),
    ] {
        let found = difference_of(key, Some(&value), None);
        assert!(!found.to_string().contains("hush"), "{found}");
        let other = difference_of(key, Some(&value), Some(&json!("hush2")));
        assert!(!other.old.contains("hush"), "{other}");
        assert_ne!(other.old, other.new, "{other}");
    }
}

/// A proxy's URL may hold a password; its exceptions may be shown.
#[test]
fn a_proxys_password_is_not_shown() {
    let proxy = |password: &str, except: &str| {
        let more = format!(
            "proxy: {{https: \"http://me:{password}@10.77.0.5:3128\", except: [{except}]}}\nnodes:"
        );
        parse_cluster(
            &format!("{}provider: none\n", DEMO.replace("nodes:", &more)),
            Path::new("/"),
        )
    };
    let (old, new) = (
        proxy("hush", "a.example.com"),
        proxy("husht", "b.example.com"),
    );
    let found = find_differences(&old, &new).unwrap();
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "proxy.except: a.example.com -> b.example.com",
            "proxy.https: not shown -> another (not shown)"
        ]
    );
}
