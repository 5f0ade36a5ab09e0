//! `launch` of machines that others make: what it says, what it writes, and who may found. In a network of its own, where nobody
//! answers.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use ha_kube::testing::external_etcd;
use ha_test_support::real;

mod cli_fixture;

use cli_fixture::{CliFixture, file_mode, permits_founding};

/// Where nobody answers there is nothing to wait for.
const SHORT: &str = "--timeout=2s";

struct Others {
    fixture: CliFixture,
}

impl Others {
    /// None: this machine gives no network namespace.
    fn new() -> Option<Self> {
        real::own_network()?;
        Some(Self {
            fixture: CliFixture::new(),
        })
    }

    fn config(&self) -> PathBuf {
        self.fixture.path("state/ha-host/demo/nodes/node1.ign")
    }

    fn launch(&self, more: &[&str]) -> (i32, String, String) {
        let mut command = assert_cmd::Command::from_std(real::own_network().unwrap());
        command
            .arg(env!("CARGO_BIN_EXE_ha-host"))
            .args(["launch", "demo.yaml", SHORT])
            .args(more)
            .current_dir(self.fixture.path(""))
            .env("XDG_STATE_HOME", self.fixture.path("state"));
        self.fixture.finish(command)
    }

    /// As if it had been written so long ago.
    fn age_config(&self, age: Duration) {
        let file = fs::File::options().write(true).open(self.config()).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    /// As if its apiserver had been seen.
    fn note_founded(&self) {
        let record = self.fixture.path("state/ha-host/demo/state.json");
        let text = fs::read_to_string(&record).unwrap();
        let founded = text.replace("\"founded\": false", "\"founded\": true");
        assert_ne!(founded, text, "{text}");
        fs::write(record, founded).unwrap();
    }
}

#[test]
fn each_machine_is_named_with_what_to_boot_it_with() {
    let Some(others) = Others::new() else { return };
    let (code, out, err) = others.launch(&[]);
    assert_eq!(code, 3, "{out}{err}");
    for node in ["node1", "node5"] {
        let words = format!("boot its machine with state/ha-host/demo/nodes/{node}.ign");
        assert!(out.contains(&words), "while it waits: {out}");
        assert!(err.contains(&words), "at its end: {err}");
    }
    assert_eq!(file_mode(&others.config()), 0o600);
    assert!(permits_founding(&others.config()));
    let first = fs::read(others.config()).unwrap();
    others.launch(&[]);
    assert_eq!(
        fs::read(others.config()).unwrap(),
        first,
        "a machine may have been made from it"
    );
}

#[test]
fn once_the_permission_has_ended_a_person_says_that_nothing_was_founded() {
    let Some(others) = Others::new() else { return };
    others.launch(&[]);
    let first = fs::read(others.config()).unwrap();
    others.age_config(Duration::from_secs(2 * 3600));
    let (code, _, err) = others.launch(&[]);
    assert_eq!(code, 3, "{err}");
    assert!(
        err.contains("`ha-host launch demo.yaml --found`, and boot node1 with its new config"),
        "{err}"
    );
    assert_eq!(fs::read(others.config()).unwrap(), first);
    let (code, _, err) = others.launch(&["--found"]);
    assert_eq!(code, 3, "{err}");
    assert!(!err.contains("may found"), "{err}");
    assert!(fs::read(others.config()).unwrap() != first && permits_founding(&others.config()));
}

/// Their machines may all be lost: whose the external etcd is, the founder asks that itself.
#[test]
fn a_founded_cluster_is_founded_again_over_its_external_etcd_alone() {
    for external in [false, true] {
        let Some(others) = Others::new() else { return };
        if external {
            let (file, etcd) = (
                others.fixture.path("demo.yaml"),
                others.fixture.path("etcd"),
            );
            fs::create_dir(&etcd).unwrap();
            let etcd = format!("cni: none, etcd: {}", external_etcd(&etcd));
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, text.replace("cni: none", &etcd)).unwrap();
        }
        others.launch(&[]);
        others.note_founded();
        others.launch(&[]);
        assert!(!permits_founding(&others.config()));
        let (code, _, err) = others.launch(&["--found"]);
        assert_eq!(permits_founding(&others.config()), external, "{err}");
        if external {
            assert_eq!(code, 3, "{err}");
        } else {
            assert_eq!(code, 2, "{err}");
            assert!(err.contains("--found: demo was founded"), "{err}");
        }
    }
}

#[test]
fn machines_may_have_been_made_from_what_was_rendered() {
    let Some(others) = Others::new() else { return };
    let (code, _, err) = others.fixture.run(&["render", "demo.yaml", "--out", "out"]);
    assert_eq!(code, 0, "{err}");
    let (_, _, err) = others.launch(&[]);
    assert!(err.contains("no machine may found demo"), "{err}");
    assert!(!permits_founding(&others.config()));
}

#[test]
fn launch_knows_itself_who_may_found_with_machines_of_its_own() {
    let Some(others) = Others::new() else { return };
    let file = others.fixture.path("demo.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let own = "provider: {nspawn: {image: image}}\nsysexts: none";
    fs::write(&file, text.replace("provider: none", own)).unwrap();
    let (code, out, err) = others.launch(&["--found"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(
        err.contains("--found is for machines that others make"),
        "{err}"
    );
    assert!(!others.fixture.path("state").exists(), "nothing is written");
}

#[test]
fn destroy_forgets_them_and_says_that_they_run_on() {
    let Some(others) = Others::new() else { return };
    others.launch(&[]);
    let (code, out, err) = others.fixture.run(&["destroy", "demo", "--yes"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("machines that were made by others") && !out.contains("stays"),
        "{out}"
    );
    assert!(!others.fixture.path("state/ha-host/demo").exists());
}

/// A server of demo's configs, until dropped.
struct Server {
    process: Child,
    listen: String,
    /// node1's own URL, without the host.
    path: String,
}

impl Server {
    fn start(fixture: &CliFixture) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = free.local_addr().unwrap().to_string();
        drop(free);
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_ha-host"))
            .args(["serve", "demo", "--without-sysexts", "--listen", &listen])
            .env("XDG_STATE_HOME", fixture.path("state"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut urls = lines.map(|line| line.unwrap().replace(&format!("http://{listen}"), ""));
        let first = urls.find(|line| line.contains("node1")).unwrap();
        let path = first.split_whitespace().nth(1).unwrap().to_owned();
        Self {
            process,
            listen,
            path,
        }
    }

    /// The status of an answer.
    fn get(&self) -> String {
        let mut stream = TcpStream::connect(&self.listen).unwrap();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n",
            self.path
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn the_server_that_runs_is_told_to_give_a_config_out_once_more() {
    let Some(others) = Others::new() else { return };
    others.launch(&[]);
    let server = Server::start(&others.fixture);
    let got = [server.get(), server.get()];
    assert_eq!(got, ["200", "410"], "{}", server.path);
    let again = [
        "serve",
        "demo",
        "--listen",
        &server.listen,
        "--again",
        "node1",
    ];
    let (code, out, err) = others.fixture.run(&again);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.contains("the server that runs gives node1's config out once more"),
        "{out}"
    );
    assert_eq!([server.get(), server.get()], ["200", "410"]);
}
