//! What `check` says of the files that a cluster file names: each at the place that names it, all at once, nothing written.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::fs;

mod cli_fixture;

use cli_fixture::{CliFixture, DEMO};

/// The inputs of a public report (a snippet of a newer specification than the machine reads) and its kin.
const FILES: [(&str, &str); 9] = [
    (
        "v35.ign",
        r#"{"ignition":{"version":"3.5.0"},"storage":{"files":[{"path":"/etc/x","contents":{"source":"data:,hi"}}]}}"#,
    ),
    (
        "v34.ign",
        r#"{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/x","contents":{"source":"data:,hi"}}]}}"#,
    ),
    ("v22.ign", r#"{"ignition":{"version":"2.2.0"}}"#),
    (
        "butane.ign",
        "variant: flatcar\nversion: 1.1.0\nstorage:\n  files:\n    - path: /etc/x\n",
    ),
    (
        "hosts.ign",
        r#"{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/etc/hosts","overwrite":true,"contents":{"source":"data:,127.0.0.1%20localhost%0A10.0.0.9%20registry.corp%0A"}}]}}"#,
    ),
    (
        "page.yaml",
        "<!DOCTYPE html>\n<html><body>calico.yaml</body></html>\n",
    ),
    (
        "template.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}\n",
    ),
    ("values.yaml", "---\nreplicas: 2\n"),
    (
        "good.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
    ),
];

fn fixture_with_files() -> CliFixture {
    let fixture = CliFixture::new();
    for (name, content) in FILES {
        fs::write(fixture.path(name), content).unwrap();
    }
    fs::create_dir(fixture.path("manifests")).unwrap();
    fixture
}

/// The demo with these files.
fn write_demo_with_files(fixture: &CliFixture, manifests: &str, merge: &str) {
    let text = DEMO.replace("cni: none", &format!("cni: {{manifests: [{manifests}]}}"));
    let text = format!("{text}ignition: {{merge: [{merge}]}}\n");
    fs::write(fixture.path("mine.yaml"), text).unwrap();
}

#[test]
fn every_file_that_is_wrong_is_told_at_its_place() {
    let fixture = fixture_with_files();
    write_demo_with_files(
        &fixture,
        "gone.yaml, manifests, page.yaml, template.yaml, values.yaml, good.yaml",
        "v35.ign, v22.ign, butane.ign, hosts.ign",
    );
    let (code, out, err) = fixture.run(&["check", "mine.yaml"]);
    let home = fs::canonicalize(fixture.path(".")).unwrap();
    let told = err.replace(&fixture.path("").display().to_string(), "/work/");
    let told = told.replace(&format!("{}/", home.display()), "/work/");
    assert_eq!((code, out.as_str()), (2, ""), "{told}");
    let golden = include_str!("data/check-files.txt");
    assert!(told == golden, "says now:\n{told}");
    let state = fixture.path("state");
    assert!(!state.exists(), "nothing is written");
}

#[test]
fn a_newer_ignition_is_a_warning_and_render_says_the_same() {
    let fixture = fixture_with_files();
    write_demo_with_files(&fixture, "good.yaml", "v34.ign, hosts.ign");
    let words =
        "is of Ignition version 3.4.0: a machine whose Flatcar is older ends in the first boot";
    let (code, out, err) = fixture.run(&["check", "mine.yaml"]);
    assert!(code == 0 && out.starts_with("demo: "), "{out}{err}");
    assert!(
        err.starts_with("warning: ignition.merge[0]: ") && err.contains(words),
        "{err}"
    );
    assert!(err.contains("mine.yaml:13:20"), "{err}");
    let (code, _, err) = fixture.run(&["render", "mine.yaml", "--out", "out"]);
    assert!(code == 0 && err.contains(words), "{err}");
}

#[test]
fn render_refuses_what_check_refuses() {
    let fixture = fixture_with_files();
    for (manifests, merge, words) in [
        (
            "page.yaml",
            "hosts.ign",
            "page.yaml is not a Kubernetes manifest: line 1: it is a web page; ",
        ),
        ("gone.yaml", "hosts.ign", "gone.yaml does not exist; "),
        (
            "good.yaml",
            "v22.ign",
            "v22.ign is not an Ignition config that can be merged: ",
        ),
        (
            "good.yaml",
            "butane.ign",
            "butane.ign is not an Ignition config: it is Butane YAML; ",
        ),
    ] {
        write_demo_with_files(&fixture, manifests, merge);
        for verb in [
            &["check", "mine.yaml"][..],
            &["render", "mine.yaml", "--out", "out"],
        ] {
            let (code, out, err) = fixture.run(verb);
            assert_eq!((code, out.as_str()), (2, ""), "{verb:?} {err}");
            // `check` puts its remedy on a line of its own.
            let said = words.trim_end_matches("; ");
            assert!(err.contains(said), "{verb:?} {err}");
        }
    }
    assert!(!fixture.path("out").exists());
}

#[test]
fn json_has_the_files_faults_too() {
    let fixture = fixture_with_files();
    write_demo_with_files(&fixture, "good.yaml", "butane.ign");
    let (code, out, _) = fixture.run(&["check", "mine.yaml", "--json"]);
    let verdict: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 2);
    assert_eq!(verdict["faults"][0]["path"], "ignition.merge[0]");
    assert_eq!(verdict["faults"][0]["severity"], "error");
}

#[test]
fn machines_and_their_images_are_opened() {
    let fixture = fixture_with_files();
    fs::write(fixture.path("rootfs.tar"), vec![b'x'; 4096]).unwrap();
    fs::write(fixture.path("empty.raw"), "").unwrap();
    for (more, words) in [
        (
            "provider: {nspawn: {image: manifests}}\nsysexts: none\n",
            "is not a node image",
        ),
        (
            "provider: {qemu: {image: {path: gone.img}}}\nsysexts: none\n",
            "gone.img does not exist",
        ),
        (
            "provider: qemu\nsysexts: none\nassets: {disk: {images: [rootfs.tar]}}\n",
            "rootfs.tar is not a tar archive",
        ),
        (
            "provider: none\nsysexts: {ha-agent: {path: empty.raw}}\n",
            "empty.raw is empty",
        ),
        (
            "provider: none\nsysexts: {ha-agent: {path: manifests}}\n",
            "manifests is a directory",
        ),
    ] {
        let text = DEMO.replace("provider: none\n", more);
        fs::write(fixture.path("mine.yaml"), text).unwrap();
        let (code, _, err) = fixture.run(&["check", "mine.yaml"]);
        assert!(code == 2 && err.contains(words), "{words}\n{err}");
    }
}
