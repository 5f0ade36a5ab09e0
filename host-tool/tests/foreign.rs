//! What is not ha-host's stays, whoever put it in the way: files in its directories, locks, keys that are lost, other processes.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

mod cli_fixture;

use cli_fixture::{CliFixture, DEMO, copy_tree, fixture_with_state};

#[test]
fn a_strangers_directory_is_refused_and_left_as_it_is() {
    let fixture = CliFixture::new();
    let dir = fixture.path("clusters/demo");
    fs::create_dir_all(dir.join(".git")).unwrap();
    fs::create_dir_all(dir.join("manifests")).unwrap();
    let theirs = [
        (".git/HEAD", "ref"),
        ("manifests/app.yaml", "kind: Pod"),
        ("cluster.yaml", "mine"),
        (".new-ideas", "x"),
    ];
    for (name, text) in theirs {
        fs::write(dir.join(name), text).unwrap();
    }
    fs::write(dir.join("prod.yaml"), DEMO).unwrap();
    let args = [
        "--state-dir",
        "clusters",
        "render",
        "clusters/demo/prod.yaml",
        "--out",
        "out",
    ];
    let (code, out, err) = fixture.run(&args);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    for words in [
        "clusters/demo is to hold the cluster's state",
        ".git, .new-ideas, cluster.yaml and 2 more",
        "--state-dir",
    ] {
        assert!(err.contains(words), "{words}: {err}");
    }
    for (name, text) in theirs {
        assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), text, "{name}");
    }
    assert_eq!(
        fs::read_dir(&dir).unwrap().count(),
        theirs.len() + 1,
        "nothing was added"
    );
    assert!(!fixture.path("out").exists());
}

#[test]
fn destroy_leaves_what_it_did_not_make_and_names_it() {
    let fixture = CliFixture::new();
    assert_eq!(fixture.run(&["render", "demo.yaml", "--out", "out"]).0, 0);
    let dir = fixture.path("state/ha-host/demo");
    fs::write(dir.join("notes.txt"), "mine").unwrap();
    fs::create_dir_all(dir.join(".new-ideas/deep")).unwrap();
    let (code, out, _) = fixture.run(&["destroy", "demo", "--yes"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("did not make what else is in it: .new-ideas, notes.txt"),
        "{out}"
    );
    assert_eq!(fs::read_to_string(dir.join("notes.txt")).unwrap(), "mine");
    assert!(dir.join(".new-ideas/deep").exists());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
    let (code, _, err) = fixture.run(&["render", "demo.yaml", "--out", "out", "--force"]);
    assert!(code == 2 && err.contains("notes.txt"), "{err}");
}

#[test]
fn destroy_of_a_cluster_without_machines_claims_none() {
    let fixture = CliFixture::new();
    fixture.run(&["render", "demo.yaml", "--out", "out"]);
    let (_, out, _) = fixture.run(&["destroy", "demo", "--yes"]);
    assert!(
        out.starts_with("demo is gone: keys and ") && !out.contains("disks"),
        "{out}"
    );
    assert!(out.contains("they run on"), "{out}");
}

#[test]
fn lost_keys_are_an_error_and_no_new_cluster() {
    let fixture = fixture_with_state("state-0.1.0");
    fs::write(
        fixture.path("q.yaml"),
        fs::read(fixture.path("state/ha-host/q/cluster.yaml")).unwrap(),
    )
    .unwrap();
    fs::write(
        fixture.path("bare.yaml"),
        fs::read(fixture.path("state/ha-host/bare/cluster.yaml")).unwrap(),
    )
    .unwrap();
    for name in ["q", "bare"] {
        let dir = fixture.path("state/ha-host").join(name);
        fs::rename(dir.join("pki"), fixture.path(&format!("{name}-pki"))).unwrap();
        let before = fs::read(dir.join("kubeconfig")).unwrap();
        let file = format!("{name}.yaml");
        let runs = [
            &["render", file.as_str(), "--out", "out", "--force"][..],
            &["kubeconfig", name],
            &["status", name],
        ];
        for args in runs {
            let (code, _, err) = fixture.run(args);
            assert_eq!(code, 1, "{args:?}: {err}");
            for words in [
                &format!("ha-host/{name}/pki is missing"),
                "restore it",
                "/etc/kubernetes/pki",
            ] {
                assert!(err.contains(words), "{words}: {err}");
            }
        }
        assert!(!dir.join("pki").exists(), "{name}: no new keys");
        assert_eq!(fs::read(dir.join("kubeconfig")).unwrap(), before, "{name}");
        fs::rename(fixture.path(&format!("{name}-pki")), dir.join("pki")).unwrap();
        assert_eq!(fixture.run(&["kubeconfig", name]).0, 0, "{name}: restored");
    }
    assert!(!fixture.path("out").exists());
}

#[test]
fn a_cluster_with_lost_keys_can_still_be_destroyed() {
    let fixture = fixture_with_state("state-0.1.0");
    fs::remove_dir_all(fixture.path("state/ha-host/q/pki")).unwrap();
    let (code, out, err) = fixture.run(&["destroy", "q", "--yes"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
}

#[test]
fn a_lock_that_leads_elsewhere_is_not_followed() {
    let fixture = fixture_with_state("state-0.1.0");
    let (victim, lock) = (fixture.path("victim"), fixture.path("state/ha-host/q/lock"));
    fs::write(&victim, "root:*:1::::::\n").unwrap();
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink(&victim, &lock).unwrap();
    let (code, _, err) = fixture.run(&["destroy", "q", "--yes"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("q/lock is not ha-host's lock: it is a link"),
        "{err}"
    );
    assert_eq!(fs::read_to_string(&victim).unwrap(), "root:*:1::::::\n");
    assert!(fixture.path("state/ha-host/q/machines/node1").exists());
}

#[test]
fn a_place_that_anybody_can_write_is_refused_to_root_and_warned_of() {
    let fixture = fixture_with_state("state-0.1.0");
    let open = fixture.path("state");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let root = nix::unistd::geteuid().is_root();
    for args in [
        &["status"][..],
        &["destroy", "bare", "--yes"],
        &["kubeconfig", "q"],
        &["image", "ls"],
    ] {
        let (code, out, err) = fixture.run(args);
        assert!(
            err.contains("state can be written by anybody (mode 0777)"),
            "{args:?}: {err}"
        );
        assert_eq!(
            (code, out.is_empty()),
            if root { (2, true) } else { (0, false) },
            "{args:?}: {err}"
        );
    }
    assert_eq!(fixture.path("state/ha-host/bare").exists(), root);
    assert_eq!(
        fixture.run(&["check", "demo.yaml"]).0,
        0,
        "what needs no state looks at none"
    );
    fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(
        fixture.run(&["status"]).2,
        "",
        "like /tmp: each entry is its owner's"
    );
}

#[test]
fn a_machine_is_not_switched_while_another_ha_host_is_at_work() {
    let fixture = fixture_with_state("state-0.1.0");
    let held = fixture.hold_lock("q");
    for args in [
        &["power", "q", "node1", "on"][..],
        &["power", "q", "node1", "off"],
        &["cut", "q", "node1"],
    ] {
        let (code, out, err) = fixture.run(args);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}: {err}");
        assert!(
            err.starts_with("error: another ha-host (pid 4711) is at work on this cluster"),
            "{args:?}: {err}"
        );
    }
    let (code, _, err) = fixture.run(&["power", "q", "node1", "off", "--during-launch"]);
    assert_eq!(
        (code, err.as_str()),
        (0, ""),
        "a machine that is off already"
    );
    drop(held);
    assert_eq!(fixture.run(&["power", "q", "node1", "off"]).0, 0);
}

#[test]
fn a_copied_directory_is_not_taken_for_a_cluster_of_its_own() {
    let fixture = fixture_with_state("state-0.1.0");
    copy_tree(
        &fixture.path("state/ha-host/q"),
        &fixture.path("state/ha-host/q-backup"),
    );
    for args in [
        &["destroy", "q-backup", "--yes"][..],
        &["power", "q-backup", "node1", "off"],
        &["status", "q-backup"],
    ] {
        let (code, _, err) = fixture.run(args);
        assert_eq!(code, 2, "{args:?}: {err}");
        assert!(
            err.contains("q-backup is the state of q, copied or renamed"),
            "{err}"
        );
    }
    assert!(
        fixture
            .path("state/ha-host/q-backup/machines/node1")
            .exists()
    );
    assert_eq!(fixture.run(&["destroy", "q", "--yes"]).0, 0);
}
