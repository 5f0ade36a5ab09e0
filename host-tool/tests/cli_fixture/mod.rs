//! The program as people call it, in a directory of its own.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use assert_cmd::Command;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

pub const DEMO: &str = include_str!("../data/demo.yaml");

/// A directory with a cluster file and a place for state.
#[derive(Debug)]
pub struct CliFixture(pub TempDir);

impl CliFixture {
    pub fn new() -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        fs::write(fixture.path("demo.yaml"), DEMO).unwrap();
        fixture
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("ha-host").unwrap();
        command
            .current_dir(self.0.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env_remove("HA_HOST_FAILPOINT");
        command.args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> (i32, String, String) {
        self.finish(self.command(args))
    }

    pub fn finish(&self, mut command: Command) -> (i32, String, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap_or(-1), text(stdout), text(stderr))
    }

    /// Every file below the fixture, but not the cluster files.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect_files(self.0.path(), &mut files);
        files.retain(|f| {
            f.extension().is_none_or(|e| e != "yaml") || f.starts_with(self.path("state"))
        });
        files
    }
}

/// Somebody who holds a cluster's lock, until dropped.
#[derive(Debug)]
pub struct LockHolder(Child);

impl Drop for LockHolder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

impl CliFixture {
    /// Takes a cluster's lock as process 4711.
    pub fn hold_lock(&self, cluster: &str) -> LockHolder {
        let lock = self.path("state/ha-host").join(cluster).join("lock");
        let mut holder = std::process::Command::new("flock")
            .arg(&lock)
            .args(["sh", "-c", "echo held; read wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "held\n");
        fs::write(&lock, "4711").unwrap();
        LockHolder(holder)
    }
}

fn collect_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_files(&path, files)
        } else {
            files.push(path)
        }
    }
}

pub fn file_mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A fixture whose state is as one of `fixtures`.
pub fn fixture_with_state(format: &str) -> CliFixture {
    let fixture = CliFixture::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    copy_tree(&fixtures.join(format), &fixture.path("state/ha-host"));
    fixture
}

/// Copies a directory with all in it.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Whether the node file in a config permits its node to found the cluster.
pub fn permits_founding(config: &Path) -> bool {
    let config: serde_json::Value = serde_json::from_slice(&fs::read(config).unwrap()).unwrap();
    let files = config["storage"]["files"].as_array().unwrap();
    let node = files
        .iter()
        .find(|f| f["path"] == "/etc/ha-agent/node.json");
    let source = node.unwrap()["contents"]["source"].as_str().unwrap();
    let bytes = STANDARD.decode(source.strip_prefix("data:;base64,").unwrap());
    let node: serde_json::Value = serde_json::from_slice(&bytes.unwrap()).unwrap();
    assert_eq!(node["name"], "node1");
    node.get("founder").is_some()
}
