//! `render`: what it writes, and what it leaves alone.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

mod cli_fixture;

use cli_fixture::permits_founding;

const DEMO: &str = include_str!("data/demo.yaml");

struct RenderCli(TempDir);

impl RenderCli {
    fn new() -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        fs::write(fixture.path("demo.yaml"), DEMO).unwrap();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn state(&self, name: &str) -> PathBuf {
        self.path("state/ha-host/demo").join(name)
    }

    fn ha_host(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ha-host"));
        self.run(command.args(args))
    }

    fn run(&self, command: &mut Command) -> (i32, String, String) {
        let output = command
            .current_dir(self.0.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_DATA_HOME", self.path("data"))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap_or(-1),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// Every file of the cluster's state with what it says.
    fn state_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect_contents(&self.state(""), &mut files);
        files
    }

    /// As if a launch had seen the cluster whole, and others had pointed its kubeconfig and its disk elsewhere.
    fn pretend_launched(&self) {
        assert_eq!(
            self.ha_host(&["render", "demo.yaml", "--out", "first"]).0,
            0
        );
        let record = fs::read_to_string(self.state("state.json")).unwrap();
        let standing = record.replace(r#""life": "rendered""#, r#""life": "standing""#);
        assert_ne!(standing, record);
        fs::write(self.state("state.json"), standing).unwrap();
        let kubeconfig = fs::read_to_string(self.state("kubeconfig")).unwrap();
        let forwarded = kubeconfig.replace("10.77.0.30:6444", "127.0.0.1:20000");
        assert_ne!(forwarded, kubeconfig);
        fs::write(self.state("kubeconfig"), forwarded).unwrap();
        fs::create_dir(self.state("assets")).unwrap();
        std::os::unix::fs::symlink("old.img", self.state("assets/current")).unwrap();
    }
}

fn collect_contents(dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            files.insert(path, target.to_str().unwrap().into());
        } else if path.is_dir() {
            collect_contents(&path, files);
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

#[test]
fn a_cluster_that_was_launched_is_not_changed() {
    let fixture = RenderCli::new();
    fixture.pretend_launched();
    let before = fixture.state_files();
    let (code, out, err) = fixture.ha_host(&["render", "demo.yaml", "--out", "look"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("demo was launched: nothing else was written"),
        "{out}"
    );
    assert_eq!(fs::read_dir(fixture.path("look")).unwrap().count(), 5);
    assert!(!permits_founding(&fixture.path("look/node1.ign")));
    assert!(fixture.state_files() == before, "the state has changed");
}

#[test]
fn an_edit_that_launch_refuses_is_refused_the_same() {
    let fixture = RenderCli::new();
    fixture.pretend_launched();
    let before = fixture.state_files();
    let edited = DEMO.replace("port: 6444", "port: 7444");
    assert_ne!(edited, DEMO);
    fs::write(fixture.path("demo.yaml"), edited).unwrap();
    let (code, out, err) = fixture.ha_host(&["render", "demo.yaml", "--out", "look"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("endpoint.port: 6444 -> 7444"), "{err}");
    assert!(!fixture.path("look").exists());
    assert!(fixture.state_files() == before, "the state has changed");
    let found = ["render", "demo.yaml", "--out", "look", "--found"];
    fs::write(fixture.path("demo.yaml"), DEMO).unwrap();
    assert_eq!(fixture.ha_host(&found).0, 2, "that is for launch to permit");
}

#[test]
fn the_permission_to_found_comes_with_new_keys_and_later_only_if_told() {
    let fixture = RenderCli::new();
    let render = |out: &str, more: &[&str]| {
        let (code, said, err) =
            fixture.ha_host(&[&["render", "demo.yaml", "--out", out], more].concat());
        assert_eq!(code, 0, "{err}");
        (permits_founding(&fixture.path(out).join("node1.ign")), said)
    };
    let (permits, said) = render("first", &[]);
    assert!(
        permits && said.contains("the permission to found in one"),
        "{said}"
    );
    let (permits, said) = render("second", &[]);
    assert!(!permits && said.contains("render with --found"), "{said}");
    assert!(
        render("third", &["--found"]).0,
        "nobody answers at 10.77.0.30"
    );
}

#[test]
fn a_full_disk_leaves_no_config_and_the_next_render_is_not_refused() {
    let fixture = RenderCli::new();
    assert_eq!(
        fixture.ha_host(&["render", "demo.yaml", "--out", "fits"]).0,
        0
    );
    let bytes: u64 = fs::read_dir(fixture.path("fits"))
        .unwrap()
        .map(|e| e.unwrap().metadata().unwrap().len())
        .sum();
    assert!(
        bytes > 16 * 1024,
        "all of it has to be more than the disk holds"
    );
    fs::create_dir(fixture.path("full")).unwrap();
    // In namespaces of its own; the second look says that the disk is what was in the way.
    let script = r#"mount -t tmpfs -o size=16k tmpfs full &&
        ! "$1" render demo.yaml --out full && ls -A full && mount --options-mode=ignore -o remount,size=8m tmpfs full &&
        "$1" render demo.yaml --out full"#;
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
    ]);
    let (code, out, err) = fixture.run(command.arg(env!("CARGO_BIN_EXE_ha-host")));
    assert_eq!(code, 0, "{out}\n{err}");
    assert!(err.contains("No space left on device"), "{err}");
    assert!(out.starts_with("demo: "), "something was left: {out}");
}

#[test]
fn a_launchs_own_pull_takes_the_signing_key_of_the_environment() {
    let fixture = RenderCli::new();
    let qemu = DEMO
        .replace("provider: none", "provider: qemu\nsysexts: none")
        .replace("dns: [10.77.0.1]", "dns: [10.77.0.3]");
    fs::write(fixture.path("qemu.yaml"), qemu).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ha-host"));
    command.env("HA_HOST_SIGNING_KEY", "/nonexistent/flatcar.asc");
    let (code, out, err) = fixture.run(command.args(["launch", "qemu.yaml"]));
    assert_eq!(code, 2, "{out}\n{err}");
    assert!(
        err.contains("the signing key /nonexistent/flatcar.asc cannot be read"),
        "{err}"
    );
    assert!(
        !err.contains("--signing-key"),
        "launch has no such option: {err}"
    );
}
