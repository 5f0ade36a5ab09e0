//! The file that `ha-host new` writes: valid as it stands, and what it shows commented out is true.

use std::ops::Range;
use std::path::Path;

use ha_cluster_file::check::{check_cluster_file, render_faults};
use ha_cluster_file::cluster::Cluster;
use ha_cluster_file::template::commented_cluster_file;

/// Begins of commented-out parts that show something else than the default.
const NO_DEFAULTS: [&str; 23] = [
    "cni: {manifests",
    "cni: none",
    "etcd:  ",
    "ssh:",
    "mtu:",
    "mac:",
    "interface: eno1",
    "interfaces:",
    "uri:",
    "assets: {",
    "labels:",
    "annotations:",
    "kubeletConfig: {maxPods",
    "flatcarExtensions: [podman",
    "taints:",
    "provider: {",
    "provider: none",
    "sysexts:",
    "sysexts: {nvidia",
    "proxy:  ",
    "registries:",
    "ignition:",
    "hooks:",
];
/// Lines in the other parts that do so.
const NO_DEFAULT_LINES: [&str; 12] = [
    "name: k8s-api",
    "chart:",
    "stats:",
    "extraPorts:",
    "- name: https",
    "port: 443 ",
    "target:",
    "check:",
    "balance:",
    "routerId:",
    "track:",
    "version: 4230",
];

fn valid_cluster(text: &str) -> Cluster {
    match check_cluster_file(text, Path::new("/base")) {
        Ok((cluster, _)) => cluster,
        Err(faults) => panic!("{}\n{text}", render_faults(&faults, text, "template.yaml")),
    }
}

/// How deep a commented-out line is; none for prose, which begins with a capital letter, and for what is not a comment.
fn comment_depth(line: &str) -> Option<usize> {
    let yaml = line.trim_start().strip_prefix("# ")?;
    yaml.trim_start()
        .starts_with(|c: char| c.is_lowercase() || c == '-')
        .then(|| line.len() - yaml.trim_start().len())
}

/// The commented-out parts: a key and the deeper lines after it.
fn commented_parts(lines: &[&str]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let Some(here) = comment_depth(line) else {
            continue;
        };
        match parts.last_mut() {
            Some(part)
                if part.end == i
                    && comment_depth(lines[part.start]).is_some_and(|first| here > first) =>
            {
                part.end = i + 1
            }
            _ => parts.push(i..i + 1),
        }
    }
    parts
}

/// The template with one part switched on, less the lines that `skip` names.
fn with_part(lines: &[&str], part: &Range<usize>, skip: &[&str]) -> String {
    let mut text = String::new();
    for (i, line) in lines.iter().enumerate() {
        let on = part.contains(&i).then(|| line.replacen("# ", "", 1));
        let line = on
            .filter(|on| !skip.iter().any(|word| on.trim_start().starts_with(word)))
            .unwrap_or_else(|| (*line).to_owned());
        text += &line;
        text.push('\n');
    }
    text
}

#[test]
fn it_is_valid_as_it_stands() {
    let text = commented_cluster_file("my-cluster");
    match check_cluster_file(&text, Path::new("/base")) {
        Ok((cluster, warnings)) => {
            assert!(
                warnings.is_empty(),
                "{}",
                render_faults(&warnings, &text, "template.yaml")
            );
            assert_eq!(
                (cluster.name.as_str(), cluster.provider.name()),
                ("my-cluster", "libvirt")
            );
        }
        Err(faults) => panic!("{}", render_faults(&faults, &text, "template.yaml")),
    }
    assert!(
        !text.contains('@') || text.matches('@').count() == text.matches("me@example.com").count()
    );
    assert!(text.lines().all(|line| line.chars().count() <= 120));
}

#[test]
fn every_part_that_is_commented_out_is_valid() {
    let text = commented_cluster_file("demo");
    let lines: Vec<&str> = text.lines().collect();
    let parts = commented_parts(&lines);
    assert!(parts.len() > 20, "{parts:?}");
    for part in parts {
        valid_cluster(&with_part(&lines, &part, &[]));
    }
}

#[test]
fn what_is_called_a_default_is_the_default() {
    let text = commented_cluster_file("demo");
    let lines: Vec<&str> = text.lines().collect();
    let plain = valid_cluster(&text);
    for part in commented_parts(&lines) {
        let first = lines[part.start].trim_start().trim_start_matches("# ");
        if !NO_DEFAULTS.iter().any(|other| first.starts_with(other)) {
            assert_eq!(
                valid_cluster(&with_part(&lines, &part, &NO_DEFAULT_LINES)),
                plain,
                "{first}"
            );
        }
    }
}

#[test]
fn it_names_every_key() {
    let text = commented_cluster_file("demo");
    // The full file has them all, and says so by being read without a fault.
    for line in include_str!("good/every-key.yaml")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        for word in line
            .split([' ', '{', '}', '[', ']', ','])
            .filter_map(|word| word.strip_suffix(':'))
        {
            let own = [
                "operator",
                "replicas",
                "enabled",
                "note",
                "share",
                "gpu",
                "networking",
                "dnsDomain",
            ];
            let names = [
                "featureGates",
                "ControlPlaneKubeletLocalMode",
                "crio",
                "none",
            ];
            let known = own.contains(&word) || names.contains(&word) || word.contains("/");
            assert!(known || text.contains(&format!("{word}:")), "{word}");
        }
    }
}

#[test]
fn every_name_becomes_one_that_a_cluster_can_have() {
    let long = "a".repeat(31) + "-b";
    for (name, called) in [
        ("demo", "demo"),
        ("My Cluster", "my-cluster"),
        ("a: {b", "a---b"),
        ("-x-", "x"),
        ("é", "demo"),
        ("", "demo"),
        (&long, &"a".repeat(31)),
    ] {
        assert_eq!(
            valid_cluster(&commented_cluster_file(name)).name,
            called,
            "{name}"
        );
    }
}
