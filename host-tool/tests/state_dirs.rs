//! State directories of every version: whatever wrote them, clusters in them can be seen and removed.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::fs;

mod desk;

use desk::desk_with;

/// One directory below `fixtures` a format; they never change.
const FORMATS: [&str; 2] = ["state-0.1.0", "state-accepted-v1"];

#[test]
fn every_cluster_of_every_version_is_listed() {
    for format in FORMATS {
        let (code, out, err) = desk_with(format).run(&["status"]);
        assert_eq!((code, err.as_str()), (0, ""), "{format}");
        let words = |line: &str| {
            line.split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let lines: Vec<String> = out.lines().map(words).collect();
        let expected = [
            "bare rendered",
            "ns launched",
            "old rendered",
            "q launched",
            "virt launched",
        ];
        assert_eq!(lines, expected, "{format}");
    }
}

#[test]
fn every_cluster_of_every_version_has_its_kubeconfig() {
    let servers = [
        ("bare", "https://10.88.1.30:6444"),
        ("q", "https://127.0.0.1:16444"),
        ("ns", "https://10.88.3.30:6444"),
        ("virt", "https://10.88.4.30:6444"),
        ("old", "https://10.88.5.30:6444"),
    ];
    for format in FORMATS {
        let desk = desk_with(format);
        for (name, server) in servers {
            let (code, out, err) = desk.run(&["kubeconfig", name]);
            assert_eq!((code, err.as_str()), (0, ""), "{format} {name}");
            assert!(
                out.contains(&format!(r#""server": "{server}""#)),
                "{format} {name}: {out}"
            );
        }
    }
}

#[test]
fn a_cluster_that_todays_rules_would_refuse_is_looked_at_and_removed() {
    for format in FORMATS {
        let desk = desk_with(format);
        fs::copy(
            desk.path("state/ha-host/old/cluster.yaml"),
            desk.path("old.yaml"),
        )
        .unwrap();
        assert_eq!(
            desk.run(&["check", "old.yaml"]).0,
            2,
            "{format}: the rules refuse it"
        );
        for name in ["old", "old.yaml"] {
            let (code, out, err) = desk.run(&["status", name]);
            assert_eq!((code, err.as_str()), (1, ""), "{format} {name}");
            assert!(
                out.contains("Kubernetes 1.32.9") && out.contains("\n  node2 "),
                "{out}"
            );
        }
        let (code, _, err) = desk.run(&["logs", "old", "node7"]);
        assert_eq!(
            (code, err.as_str()),
            (2, "error: old has no node node7; it has node1, node2\n"),
            "{format}"
        );
        let (code, out, err) = desk.run(&["destroy", "old", "--yes"]);
        assert_eq!((code, err.as_str()), (0, ""), "{format}");
        assert!(out.starts_with("old is gone"), "{out}");
        assert!(!desk.path("state/ha-host/old").exists());
    }
}

#[test]
fn a_minor_that_new_clusters_cannot_have_stays_good_for_one_that_has_it() {
    for format in FORMATS {
        let desk = desk_with(format);
        let of_state = desk.path("state/ha-host/bare/cluster.yaml");
        let text = fs::read_to_string(of_state).unwrap();
        fs::write(desk.path("bare.yaml"), &text).unwrap();
        fs::write(
            desk.path("new.yaml"),
            text.replace("name: bare", "name: new"),
        )
        .unwrap();
        fs::write(desk.path("up.yaml"), text.replace("1.34.4", "1.34.5")).unwrap();
        let (code, out, err) = desk.run(&["check", "bare.yaml"]);
        assert_eq!(code, 0, "{format}: {out}{err}");
        let (code, _, err) = desk.run(&["render", "bare.yaml", "--out", "out"]);
        assert_eq!(code, 0, "{format}: {err}");
        for file in ["new.yaml", "up.yaml"] {
            for args in [
                &["check", file][..],
                &["render", file, "--out", "no"],
                &["launch", file],
            ] {
                let (code, _, err) = desk.run(args);
                assert_eq!(code, 2, "{format} {args:?}: {err}");
                assert!(
                    err.contains("is not for new clusters any more") && err.contains("e.g. 1.36.3"),
                    "{err}"
                );
            }
        }
        assert!(!desk.path("no").exists() && !desk.path("state/ha-host/new").exists());
    }
}

#[test]
fn what_a_machine_that_is_off_said_last_is_shown() {
    for format in FORMATS {
        let (code, out, err) = desk_with(format).run(&["logs", "q", "node1"]);
        assert_eq!(code, 0, "{format}: {err}");
        assert!(out.contains("node1 login:"), "{out}");
    }
}

#[test]
fn every_cluster_of_every_version_can_be_destroyed() {
    for format in FORMATS {
        let desk = desk_with(format);
        for name in ["bare", "q", "ns"] {
            let (code, out, err) = desk.run(&["destroy", name, "--yes"]);
            assert_eq!((code, err.as_str()), (0, ""), "{format} {name}");
            assert!(out.starts_with(&format!("{name} is gone")), "{out}");
            assert!(
                !desk.path("state/ha-host").join(name).exists(),
                "{format} {name}"
            );
        }
    }
}

#[test]
fn a_destroy_needs_no_more_than_the_provider() {
    let desk = desk_with("state-0.1.0");
    let (dir, text) = (
        desk.path("state/ha-host/q"),
        desk.path("state/ha-host/q/cluster.yaml"),
    );
    fs::write(
        &text,
        "name: q\nnodes: of another version\nprovider: {qemu: {}}\n",
    )
    .unwrap();
    let (code, _, err) = desk.run(&["status", "q"]);
    assert_eq!(code, 1);
    assert!(err.contains("`ha-host destroy q` works with any"), "{err}");
    let (code, out, err) = desk.run(&["destroy", "q", "--yes"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(!dir.exists());
}

#[test]
fn machines_that_nothing_is_known_of_are_not_forgotten() {
    let desk = desk_with("state-0.1.0");
    fs::remove_file(desk.path("state/ha-host/q/cluster.yaml")).unwrap();
    let (code, _, err) = desk.run(&["destroy", "q", "--yes"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("does not say who made the machines of q"),
        "{err}"
    );
    assert!(
        desk.path("state/ha-host/q/machines/node1/disk.qcow2")
            .exists()
    );
}

#[test]
fn a_record_that_cannot_be_read_hides_no_other() {
    let desk = desk_with("state-0.1.0");
    let record = desk.path("state/ha-host/old/state.json");
    fs::write(&record, "{").unwrap();
    let (code, out, err) = desk.run(&["status"]);
    assert_eq!((code, err.as_str()), (1, ""));
    assert!(
        out.starts_with("bare ") && out.contains("\nvirt ") && out.lines().count() == 5,
        "{out}"
    );
    assert!(
        out.contains("not readable") && out.contains("old/state.json cannot be understood"),
        "{out}"
    );
    let (code, out, _) = desk.run(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["clusters"].as_array().unwrap().len()), (1, 4));
    assert_eq!(json["unreadable"][0]["name"], "old");
}

#[test]
fn status_says_when_keys_end() {
    let desk = desk_with("state-0.1.0");
    let (_, out, _) = desk.run(&["status", "q"]);
    let line = out
        .lines()
        .find(|line| line.starts_with("  keys  kubeconfig "))
        .unwrap_or_else(|| panic!("{out}"));
    assert!(
        line.contains(" 2027-11-") && line.contains("authorities ") && line.contains(" 2036-11-"),
        "{line}"
    );
    let (_, out, _) = desk.run(&["status", "q", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(
        json["keys"]["kubeconfig"]
            .as_str()
            .unwrap()
            .starts_with("2027-11-"),
        "{json}"
    );
    assert!(
        json["keys"]["authorities"]
            .as_str()
            .unwrap()
            .starts_with("2036-11-"),
        "{json}"
    );
}
