//! State directories of every version: whatever wrote them, clusters in them can be seen and removed.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::fs;

mod cli_fixture;

use cli_fixture::fixture_with_state;

/// One directory below `fixtures` a format; they never change.
const FORMATS: [&str; 2] = ["state-0.1.0", "state-accepted-v1"];

#[test]
fn every_cluster_of_every_version_is_listed() {
    for format in FORMATS {
        let (code, out, err) = fixture_with_state(format).run(&["status"]);
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
        let fixture = fixture_with_state(format);
        for (name, server) in servers {
            let (code, out, err) = fixture.run(&["kubeconfig", name]);
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
        let fixture = fixture_with_state(format);
        fs::copy(
            fixture.path("state/ha-host/old/cluster.yaml"),
            fixture.path("old.yaml"),
        )
        .unwrap();
        assert_eq!(
            fixture.run(&["check", "old.yaml"]).0,
            2,
            "{format}: the rules refuse it"
        );
        for name in ["old", "old.yaml"] {
            let (code, out, err) = fixture.run(&["status", name]);
            assert_eq!((code, err.as_str()), (1, ""), "{format} {name}");
            assert!(
                out.contains("Kubernetes 1.32.9") && out.contains("\n  node2 "),
                "{out}"
            );
        }
        let (code, _, err) = fixture.run(&["logs", "old", "node7"]);
        assert_eq!(
            (code, err.as_str()),
            (2, "error: old has no node node7; it has node1, node2\n"),
            "{format}"
        );
        let (code, out, err) = fixture.run(&["destroy", "old", "--yes"]);
        assert_eq!((code, err.as_str()), (0, ""), "{format}");
        assert!(out.starts_with("old is gone"), "{out}");
        assert!(!fixture.path("state/ha-host/old").exists());
    }
}

#[test]
fn a_minor_that_new_clusters_cannot_have_stays_good_for_one_that_has_it() {
    for format in FORMATS {
        let fixture = fixture_with_state(format);
        let of_state = fixture.path("state/ha-host/bare/cluster.yaml");
        let text = fs::read_to_string(of_state).unwrap();
        fs::write(fixture.path("bare.yaml"), &text).unwrap();
        fs::write(
            fixture.path("new.yaml"),
            text.replace("name: bare", "name: new"),
        )
        .unwrap();
        fs::write(fixture.path("up.yaml"), text.replace("1.34.4", "1.34.5")).unwrap();
        let (code, out, err) = fixture.run(&["check", "bare.yaml"]);
        assert_eq!(code, 0, "{format}: {out}{err}");
        let (code, _, err) = fixture.run(&["render", "bare.yaml", "--out", "out"]);
        assert_eq!(code, 0, "{format}: {err}");
        for file in ["new.yaml", "up.yaml"] {
            for args in [
                &["check", file][..],
                &["render", file, "--out", "no"],
                &["launch", file],
            ] {
                let (code, _, err) = fixture.run(args);
                assert_eq!(code, 2, "{format} {args:?}: {err}");
                assert!(
                    err.contains("is not for new clusters any more") && err.contains("e.g. 1.36.3"),
                    "{err}"
                );
            }
        }
        assert!(!fixture.path("no").exists() && !fixture.path("state/ha-host/new").exists());
    }
}

#[test]
fn what_a_machine_that_is_off_said_last_is_shown() {
    for format in FORMATS {
        let (code, out, err) = fixture_with_state(format).run(&["logs", "q", "node1"]);
        assert_eq!(code, 0, "{format}: {err}");
        assert!(out.contains("node1 login:"), "{out}");
    }
}

#[test]
fn every_cluster_of_every_version_can_be_destroyed() {
    for format in FORMATS {
        let fixture = fixture_with_state(format);
        for name in ["bare", "q", "ns"] {
            let (code, out, err) = fixture.run(&["destroy", name, "--yes"]);
            assert_eq!((code, err.as_str()), (0, ""), "{format} {name}");
            assert!(out.starts_with(&format!("{name} is gone")), "{out}");
            assert!(
                !fixture.path("state/ha-host").join(name).exists(),
                "{format} {name}"
            );
        }
    }
}

#[test]
fn a_destroy_needs_no_more_than_the_provider() {
    let fixture = fixture_with_state("state-0.1.0");
    let (dir, text) = (
        fixture.path("state/ha-host/q"),
        fixture.path("state/ha-host/q/cluster.yaml"),
    );
    fs::write(
        &text,
        "name: q\nnodes: of another version\nprovider: {qemu: {}}\n",
    )
    .unwrap();
    let (code, _, err) = fixture.run(&["status", "q"]);
    assert_eq!(code, 1);
    assert!(err.contains("`ha-host destroy q` works with any"), "{err}");
    let (code, out, err) = fixture.run(&["destroy", "q", "--yes"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(!dir.exists());
}

#[test]
fn machines_that_nothing_is_known_of_are_not_forgotten() {
    let fixture = fixture_with_state("state-0.1.0");
    fs::remove_file(fixture.path("state/ha-host/q/cluster.yaml")).unwrap();
    let (code, _, err) = fixture.run(&["destroy", "q", "--yes"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("does not say who made the machines of q"),
        "{err}"
    );
    assert!(
        fixture
            .path("state/ha-host/q/machines/node1/disk.qcow2")
            .exists()
    );
}

#[test]
fn a_record_that_cannot_be_read_hides_no_other() {
    let fixture = fixture_with_state("state-0.1.0");
    let record = fixture.path("state/ha-host/old/state.json");
    fs::write(&record, "{").unwrap();
    let (code, out, err) = fixture.run(&["status"]);
    assert_eq!((code, err.as_str()), (1, ""));
    assert!(
        out.starts_with("bare ") && out.contains("\nvirt ") && out.lines().count() == 5,
        "{out}"
    );
    assert!(
        out.contains("not readable") && out.contains("old/state.json cannot be understood"),
        "{out}"
    );
    let (code, out, _) = fixture.run(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["clusters"].as_array().unwrap().len()), (1, 4));
    assert_eq!(json["unreadable"][0]["name"], "old");
}

#[test]
fn status_says_when_keys_end() {
    let fixture = fixture_with_state("state-0.1.0");
    let (_, out, _) = fixture.run(&["status", "q"]);
    let line = out
        .lines()
        .find(|line| line.starts_with("  keys  kubeconfig "))
        .unwrap_or_else(|| panic!("{out}"));
    assert!(
        line.contains(" 2027-11-") && line.contains("authorities ") && line.contains(" 2036-11-"),
        "{line}"
    );
    let (_, out, _) = fixture.run(&["status", "q", "--json"]);
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
