//! The program as people call it: help, exit codes, messages, files.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::fs;

mod cli_fixture;

use cli_fixture::{CliFixture, DEMO, file_mode};

#[test]
fn help_names_every_verb_and_the_exit_codes() {
    let fixture = CliFixture::new();
    let (code, out, _) = fixture.run(&["--help"]);
    assert_eq!(code, 0);
    for verb in [
        "new",
        "check",
        "render",
        "launch",
        "status",
        "kubeconfig",
        "logs",
        "destroy",
        "completions",
    ] {
        assert!(out.contains(&format!("\n  {verb} ")), "{verb}\n{out}");
        let (code, help, _) = fixture.run(&[verb, "--help"]);
        assert!(code == 0 && help.contains("Usage: ha-host"), "{verb}");
    }
    for hidden in ["exec", "power", "remake", "nspawn-keeper", "man "] {
        assert!(!out.contains(&format!("\n  {hidden}")), "{hidden}");
    }
    assert!(out.contains(
        "0 done, 1 failed, 2 bad input (nothing was written), 3 timed out, 130 interrupted"
    ));
}

#[test]
fn completions_and_the_manual_page() {
    let fixture = CliFixture::new();
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = fixture.run(&["completions", shell]);
        assert!(code == 0 && out.contains("kubeconfig"), "{shell}");
    }
    let (code, page, _) = fixture.run(&["man"]);
    assert!(code == 0 && page.contains(".TH ha-host"));
}

#[test]
fn new_writes_a_file_that_is_right_and_never_twice() {
    let fixture = CliFixture::new();
    let (code, out, _) = fixture.run(&["new", "mine.yaml"]);
    assert!(
        code == 0 && out.contains("ha-host launch mine.yaml"),
        "{out}"
    );
    assert_eq!(fixture.run(&["check", "mine.yaml"]).0, 0);
    let before = fs::read(fixture.path("mine.yaml")).unwrap();
    let (code, _, err) = fixture.run(&["new", "mine.yaml"]);
    assert_eq!(
        (code, err.as_str()),
        (
            2,
            "error: mine.yaml exists and was not touched; name another file\n"
        )
    );
    assert_eq!(fs::read(fixture.path("mine.yaml")).unwrap(), before);
}

#[test]
fn check_describes_a_good_file() {
    let fixture = CliFixture::new();
    let expected =
        "demo: 3 control planes, 2 workers, VIP 10.77.0.30:6444, Kubernetes 1.36.3, none\n";
    assert_eq!(
        fixture.run(&["check", "demo.yaml"]),
        (0, expected.to_owned(), String::new())
    );
}

#[test]
fn bad_input_is_said_at_once_and_writes_nothing() {
    let fixture = CliFixture::new();
    let bad = DEMO
        .replace("10.77.0.30", "10.77.0.12")
        .replace("name: node5", "nmae: node5");
    fs::write(fixture.path("bad.yaml"), bad).unwrap();
    for verb in [
        &["check", "bad.yaml"][..],
        &["render", "bad.yaml", "--out", "out"],
        &["launch", "bad.yaml"],
    ] {
        let (code, out, err) = fixture.run(verb);
        assert_eq!((code, out.as_str()), (2, ""), "{verb:?}");
        assert!(err.contains("bad.yaml:4:"), "the VIP's place\n{err}");
        assert!(err.contains("nmae"), "the second fault too\n{err}");
        assert!(err.ends_with("errors; nothing was written\n"), "{err}");
        assert!(!err.contains('\x1b'), "no colour in a pipe");
    }
    assert!(fixture.files().is_empty());
}

#[test]
fn wrong_calls_are_bad_input() {
    let fixture = CliFixture::new();
    let table: [(&[&str], &str); 7] = [
        (
            &["check", "gone.yaml"],
            "error: there is no gone.yaml; `ha-host new gone.yaml` writes one to start from\n",
        ),
        (
            &["status", "nope"],
            "error: no cluster is called nope; there is none in ",
        ),
        (
            &["destroy", "nope", "--yes"],
            "error: no cluster is called nope; there is none in ",
        ),
        (
            &["kubeconfig", "demo.yaml"],
            "error: no cluster is called demo; there is none in ",
        ),
        (
            &["serve", "demo.yaml", "--listen", "127.0.0.1:1"],
            "error: no cluster is called demo; there is none in ",
        ),
        (
            &["launch", "demo.yaml", "--timeout", "soon"],
            "error: invalid value 'soon' for '--timeout <TIME>': `soon` is not a duration",
        ),
        (
            &["lanch", "demo.yaml"],
            "error: unrecognized subcommand 'lanch'",
        ),
    ];
    for (args, message) in table {
        let (code, out, err) = fixture.run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}\n{err}");
        assert!(err.starts_with(message), "{args:?}\n{err}");
    }
    assert!(fixture.files().is_empty());
}

#[test]
fn render_writes_one_config_a_node_for_its_owner_only() {
    let fixture = CliFixture::new();
    let (code, out, err) = fixture.run(&["render", "demo.yaml", "--out", "out"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("5 Ignition configs in out") && out.contains("keys (new)"),
        "{out}"
    );
    let files = fixture.files();
    let configs: Vec<_> = files
        .iter()
        .filter(|f| f.starts_with(fixture.path("out")))
        .collect();
    assert_eq!(configs.len(), 5);
    for file in &files {
        assert_eq!(file_mode(file), 0o600, "{}", file.display());
        let dir = file.parent().unwrap();
        assert!(
            dir == fixture.0.path() || file_mode(dir) == 0o700,
            "{}",
            dir.display()
        );
    }
}

#[test]
fn render_keeps_its_keys_and_overwrites_only_when_told() {
    let fixture = CliFixture::new();
    let render =
        |more: &[&str]| fixture.run(&[&["render", "demo.yaml", "--out", "out"], more].concat());
    assert_eq!(render(&[]).0, 0);
    let ca = || fs::read(fixture.path("state/ha-host/demo/pki/ca.crt")).unwrap();
    let config = || fs::read(fixture.path("out/node4.ign")).unwrap();
    let (first_ca, first) = (ca(), config());
    let (code, _, err) = render(&[]);
    assert_eq!(code, 2);
    assert_eq!(
        err,
        "error: out/node1.ign exists and was not touched; --force replaces it\n"
    );
    assert_eq!(config(), first);
    let (code, out, _) = render(&["--force"]);
    assert!(code == 0 && out.contains("keys (kept)"), "{out}");
    assert_eq!(ca(), first_ca);
    assert_ne!(config(), first, "a fresh identity");
}

#[test]
fn status_lists_clusters_and_kubeconfig_prints_one() {
    let fixture = CliFixture::new();
    assert_eq!(
        fixture.run(&["status"]).1,
        "no clusters; `ha-host new` writes a cluster file to start from\n"
    );
    fixture.run(&["render", "demo.yaml", "--out", "out"]);
    let (code, out, _) = fixture.run(&["status"]);
    assert!(
        code == 0 && out.starts_with("demo ") && out.contains(" rendered "),
        "{out}"
    );
    for cluster in ["demo", "demo.yaml", "./demo.yaml"] {
        let (code, out, _) = fixture.run(&["kubeconfig", cluster]);
        assert!(
            code == 0 && out.contains(r#""server": "https://10.77.0.30:6444""#),
            "{cluster}"
        );
    }
    let (_, json, _) = fixture.run(&["status", "--json"]);
    assert!(
        json.starts_with(r#"{"clusters":[{"#) && json.contains(r#""life":"rendered""#),
        "{json}"
    );
    assert!(
        fixture
            .run(&["status", "other"])
            .2
            .contains("known are: demo")
    );
}

#[test]
fn destroy_asks_and_removes_everything() {
    let fixture = CliFixture::new();
    fixture.run(&["render", "demo.yaml", "--out", "out"]);
    let (code, _, err) = fixture.run(&["destroy", "demo"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("nobody can answer here: ha-host destroy demo --yes"),
        "{err}"
    );
    assert!(fixture.path("state/ha-host/demo/state.json").exists());
    let (code, out, _) = fixture.run(&["destroy", "demo", "--yes"]);
    assert!(code == 0 && out.starts_with("demo is gone"), "{out}");
    assert!(!fixture.path("state/ha-host/demo").exists());
    assert!(
        fixture.path("out/node1.ign").exists(),
        "what the user asked for elsewhere is the user's"
    );
}

#[test]
fn a_second_ha_host_is_turned_away_by_name() {
    let fixture = CliFixture::new();
    fixture.run(&["render", "demo.yaml", "--out", "out"]);
    let held = fixture.hold_lock("demo");
    let (code, _, err) = fixture.run(&["render", "demo.yaml", "--out", "other"]);
    drop(held);
    assert_eq!(code, 1);
    assert!(
        err.starts_with("error: another ha-host (pid 4711) is at work on this cluster"),
        "{err}"
    );
    assert_eq!(
        fixture.run(&["render", "demo.yaml", "--out", "other"]).0,
        0,
        "the lock ends with its holder"
    );
}
