//! `image` as people call it. What Flatcar really signed cannot be made here, so these tests see what is refused; that a good
//! image is stored, and all kinds of faults, are the unit tests' part (crate ha-flatcar-image), whose keys and server are used here.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use ha_test_support::image_server::{Served, Server};
use ha_test_support::signing_keys::{Authority, Subkey, years_ago};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// The primary key that ha-host believes.
const FLATCAR: &str = "F88CFEDEFF29A5B4D9523864E25D9AED0593B34A";
/// A subkey of it, good until 2027-03-08.
const SUBKEY: &str = "52F145DFD00BBDCD928CBB5A32DA80F91EF52974";
/// 2026-01-01, in seconds: these tests go on when that subkey has ended.
const SIGNED: u64 = 1_767_225_600;
const IMAGE: &str = "/amd64-usr/1.2.3/flatcar_production_qemu_image.img.bz2";

/// A store, a state, a server, and a signer that is not Flatcar.
struct ImageFixture {
    dir: TempDir,
    server: Server,
    authority: Authority,
    signer: Subkey,
}

impl ImageFixture {
    fn new() -> Self {
        let mut authority = Authority::new();
        let signer = authority.subkey(years_ago(1.0), None);
        let fixture = Self {
            dir: tempfile::tempdir().unwrap(),
            server: Server::start(),
            authority,
            signer,
        };
        fixture.serve(|_| {});
        fixture
    }

    /// Serves an image with this fault. Its signature says that Flatcar made it, so that only the image itself can tell.
    fn serve(&self, fault: impl FnOnce(&mut Served)) {
        let body = vec![7; 100_000];
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(SIGNED);
        self.sign(self.signer.sign_as(SUBKEY, &body, at));
        let mut image = Served {
            body,
            etag: Some("\"one\"".to_owned()),
            ranges: true,
            ..Served::default()
        };
        fault(&mut image);
        self.server.serve(IMAGE, image);
    }

    fn sign(&self, signature: Vec<u8>) {
        let served = Served {
            body: signature,
            ..Served::default()
        };
        self.server.serve(&format!("{IMAGE}.sig"), served);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ha-host"));
        command
            .current_dir(self.dir.path())
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env_remove("HA_HOST_SIGNING_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .arg("image")
            .args(args);
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        code_and_streams(self.command(args).output().unwrap())
    }

    /// Pulls 1.2.3 from the server.
    fn pull(&self, more: &[&str]) -> Command {
        let url = self.server.url();
        let args = ["pull", "--version", "1.2.3", "--arch", "x86-64"];
        let mut command = self.command(&args);
        command.args(["--mirror", &url]).args(more);
        command
    }

    /// What the store holds.
    fn stored_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("data/ha-host/images"));
        let names = entries
            .into_iter()
            .flatten()
            .map(|e| e.unwrap().file_name());
        let mut names: Vec<String> = names.map(|n| n.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Puts an image into the store by hand.
    fn store_by_hand(&self, version: &str) -> PathBuf {
        let dir = self.path("data/ha-host/images/x86-64").join(version);
        fs::create_dir_all(&dir).unwrap();
        let image = dir.join("flatcar_production_qemu_image.img");
        fs::write(&image, b"QFI\xfb").unwrap();
        let record = serde_json::json!({
            "format": 1, "version": version, "channel": "stable", "arch": "x86-64",
            "file": "flatcar_production_qemu_image.img", "size": 1_100_000_000_u64, "sha256": "a", "packedSha256": "b",
            "source": "a file", "signedBy": "c", "signedMs": 0, "pulledMs": 1_763_737_200_000_u64,
        });
        fs::write(dir.join("image.json"), record.to_string()).unwrap();
        image
    }
}

fn code_and_streams(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap_or(-1);
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn a_forged_image_is_refused() {
    let fixture = ImageFixture::new();
    let (code, out, err) = code_and_streams(fixture.pull(&[]).output().unwrap());
    assert_eq!(code, 1, "{err}");
    let why = format!("the signature of {SUBKEY} is not over this file");
    for words in [why.as_str(), "nothing was stored", IMAGE] {
        assert!(err.contains(words), "{words}: {err}");
    }
    assert_eq!(err.lines().count(), 1, "one message: {err}");
    assert!(
        out.contains("download  100.00 kB") && out.contains("verify"),
        "{out}"
    );
    assert_eq!(fixture.stored_names(), ["lock"]);

    let (code, out, err) = code_and_streams(fixture.pull(&["--json"]).output().unwrap());
    assert_eq!(code, 1);
    let lines = out.lines().map(|l| serde_json::from_str(l).unwrap());
    let lines: Vec<Value> = lines.collect();
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["version"], &last["type"]),
        (&1.into(), &"error".into())
    );
    assert!(err.contains(last["message"].as_str().unwrap()), "{err}");
    let whole = |l: &Value| l["type"] == "progress" && l["done"] == 100_000;
    assert!(lines.iter().any(whole), "{out}");
}

#[test]
fn another_signers_image_is_not_even_fetched() {
    let fixture = ImageFixture::new();
    fixture.sign(fixture.signer.sign(b"anything", SystemTime::now()));
    let (code, _, err) = code_and_streams(fixture.pull(&[]).output().unwrap());
    assert_eq!(code, 1, "{err}");
    for words in [&fixture.signer.fingerprint(), "--signing-key FILE", IMAGE] {
        assert!(err.contains(words), "{words}: {err}");
    }
    let asked: Vec<String> = fixture.server.asked().into_iter().map(|r| r.path).collect();
    assert_eq!(asked, [format!("{IMAGE}.sig")]);
    assert_eq!(fixture.stored_names(), ["lock"]);
}

#[test]
fn another_key_is_refused_by_option_and_by_environment() {
    let fixture = ImageFixture::new();
    let file = fixture.path("key");
    fs::write(&file, fixture.authority.public()).unwrap();
    let name = file.display().to_string();
    let mut by_environment = fixture.pull(&[]);
    by_environment.env("HA_HOST_SIGNING_KEY", &name);
    for mut command in [fixture.pull(&["--signing-key", &name]), by_environment] {
        let (code, _, err) = code_and_streams(command.output().unwrap());
        assert_eq!(code, 1, "{err}");
        let own = fixture.authority.cert.fingerprint().to_hex();
        for words in [own.as_str(), FLATCAR, "nothing was fetched"] {
            assert!(err.contains(words), "{words}: {err}");
        }
    }
    assert_eq!(fixture.server.asked(), []);
    assert_eq!(fixture.stored_names(), [""; 0]);
}

#[test]
fn bad_input_exits_with_2_and_leaves_nothing() {
    let fixture = ImageFixture::new();
    fs::write(fixture.path("alone"), "x").unwrap();
    for (args, words) in [
        (
            &["pull", "--channel", "nightly"][..],
            "stable, beta, alpha, lts",
        ),
        (&["pull", "--arch", "riscv"], "x86-64, arm64"),
        (&["pull", "--version", "../x"], "not a version of Flatcar"),
        (&["pull", "--file", "alone"], "--version"),
        (
            &["pull", "--version", "1.2.3", "--file", "alone"],
            "alone.sig cannot be read",
        ),
        (
            &["pull", "--version", "1.2.3", "--file", "none"],
            "none cannot be read",
        ),
        (
            &["pull", "--file", "alone", "--mirror", "http://a"],
            "cannot be used with",
        ),
        (&["pull", "--mirror", "http://me:secret@a"], "no password"),
        (&["pull", "--signing-key", "none"], "none cannot be read"),
        (&["rm", "1.2.3"], "there is none"),
        (&["rm"], "VERSION"),
    ] {
        let (code, _, err) = fixture.run(args);
        assert!(code == 2 && err.contains(words), "{args:?} {code} {err}");
        assert!(!err.contains("secret"), "{err}");
        let names = fixture.stored_names();
        assert!(names.iter().all(|n| n == "lock"), "{args:?} left {names:?}");
    }
}

#[test]
fn what_is_not_on_the_server_is_named() {
    let fixture = ImageFixture::new();
    let url = fixture.server.url();
    let args = [
        "pull",
        "--channel",
        "beta",
        "--version",
        "9.9.9",
        "--arch",
        "arm64",
        "--mirror",
        &url,
    ];
    let (code, _, err) = fixture.run(&args);
    assert!(
        code == 1 && err.contains("channel beta has no 9.9.9 for arm64"),
        "{code} {err}"
    );
    assert!(err.contains("404"), "{err}");
}

#[test]
fn ctrl_c_keeps_what_came_and_the_next_pull_goes_on() {
    let fixture = ImageFixture::new();
    let (tell, told) = mpsc::channel();
    fixture.serve(|image| image.stalls = Some(tell));
    let child = fixture.pull(&[]).spawn().unwrap();
    // The server has sent half of it; wait until the child has noted the bytes, which it does as they come.
    told.recv().unwrap();
    let part = fixture.path("data/ha-host/images/.new-x86-64-1.2.3/packed");
    while fs::metadata(&part).map_or(0, |m| m.len()) < 50_000 {
        std::thread::yield_now();
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let (code, out, err) = code_and_streams(child.wait_with_output().unwrap());
    assert_eq!((code, err.as_str()), (130, ""), "{out}");
    assert!(out.contains("interrupted: nothing was stored"), "{out}");
    let (_, out, _) = fixture.run(&["ls"]);
    assert!(
        out.contains("unfinished: 1.2.3 (x86-64), 50.00 kB"),
        "{out}"
    );

    fixture.serve(|_| {});
    fixture.server.asked();
    code_and_streams(fixture.pull(&[]).output().unwrap());
    let asked = fixture.server.asked();
    assert!(
        asked
            .iter()
            .any(|r| r.range.as_deref() == Some("bytes=50000-")),
        "{asked:?}"
    );
}

#[test]
fn ls_and_rm() {
    let fixture = ImageFixture::new();
    let (code, out, _) = fixture.run(&["ls"]);
    assert!(code == 0 && out.contains("no images in"), "{out}");
    let image = fixture.store_by_hand("4230.2.3");
    fixture.store_by_hand("4230.2.10");
    let machines = fixture.path("state/ha-host/demo/machines");
    fs::create_dir_all(&machines).unwrap();
    fs::write(fixture.path("state/ha-host/demo/state.json"), "{}").unwrap();
    fs::write(machines.join("_images"), format!("{}\n", image.display())).unwrap();

    let (_, out, _) = fixture.run(&["ls"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines,
        [
            "VERSION    CHANNEL  ARCH         SIZE  PULLED            USED BY",
            "4230.2.3   stable   x86-64    1.10 GB  2025-11-21 15:00  demo",
            "4230.2.10  stable   x86-64    1.10 GB  2025-11-21 15:00",
        ]
    );
    let (_, out, _) = fixture.run(&["ls", "--json"]);
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list["images"][0]["usedBy"][0], "demo");
    assert_eq!(list["images"][0]["path"], image.display().to_string());
    assert_eq!(list["images"][1]["image"]["version"], "4230.2.10");

    let (code, _, err) = fixture.run(&["rm", "4230.2.10", "4230.2.3"]);
    assert!(code == 1 && err.contains("in use by demo"), "{code} {err}");
    let (code, _, err) = fixture.run(&["rm", "4230.2.3", "--state-dir", "elsewhere"]);
    assert!(
        code == 1 && err.contains("in use by demo"),
        "of another root: {code} {err}"
    );
    let (code, out, _) = fixture.run(&["rm", "4230.2.10"]);
    assert!(code == 0 && out.contains("4230.2.10"), "{out}");
    let (_, out, _) = fixture.run(&["ls"]);
    assert_eq!(out.lines().count(), 2, "{out}");
    assert!(image.exists());
}

#[test]
fn what_is_there_needs_no_network() {
    let fixture = ImageFixture::new();
    let image = fixture.store_by_hand("1.2.3");
    let (code, out, _) = code_and_streams(fixture.pull(&[]).output().unwrap());
    assert!(code == 0 && out.contains("is there already"), "{out}");
    let (_, out, _) = code_and_streams(fixture.pull(&["--json"]).output().unwrap());
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(last["type"], "already-stored");
    assert_eq!(last["path"], image.display().to_string());
    assert_eq!(fixture.server.asked(), []);
}
