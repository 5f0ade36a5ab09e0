//! Clusters whose machines hang, and programs that do not outlive their test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

pub const HA_HOST: &str = env!("CARGO_BIN_EXE_ha-host");
pub const DEMO: &str = include_str!("../data/demo.yaml");
/// What hangs here hangs for a thousand seconds, so anything far below that shows what it is to show, on a busy machine too.
pub const SOON: Duration = Duration::from_secs(20);
/// A `virsh` that hangs, with a child of its own, and writes down both.
const HANGING: &str = "#!/bin/sh\nsleep 1000 & echo $! $$ >>\"$PIDS\"; wait\n";

/// A cluster of libvirt's whose every call hangs, a cluster of QEMU's, and one of nobody's.
pub struct HangingFixture(TempDir);

impl HangingFixture {
    pub fn new() -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        let write = |name: &str, provider: &str| {
            let text = DEMO.replace("name: demo", &format!("name: {name}"));
            let text = text.replace("provider: none", provider);
            fs::write(fixture.path(&format!("{name}.yaml")), text).unwrap();
        };
        write("demo", "provider: none");
        let machine = "{image: {path: disk.qcow2}}}\nsysexts: none";
        write("lib", &format!("provider: {{libvirt: {machine}"));
        write("emu", &format!("provider: {{qemu: {machine}"));
        let flatcar = "{image: {channel: stable}}}\nsysexts: none";
        write("web", &format!("provider: {{libvirt: {flatcar}"));
        fs::write(fixture.path("disk.qcow2"), "").unwrap();
        fs::create_dir(fixture.path("bin")).unwrap();
        let virsh = fixture.path("bin/virsh");
        fs::write(&virsh, HANGING).unwrap();
        fs::set_permissions(&virsh, fs::Permissions::from_mode(0o755)).unwrap();
        fixture
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        self.command_of(HA_HOST, args)
    }

    pub fn command_of(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap();
        command
            .args(args)
            .current_dir(self.0.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("PIDS", self.path("pids"))
            .env("HOME", self.0.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_DATA_HOME", self.path("data"))
            .env_remove("HA_HOST_FAILPOINT")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> (i32, String, String) {
        decode_output(self.command(args).output().unwrap())
    }

    /// Something was made for this cluster at libvirt's host.
    pub fn make_known(&self) {
        let machines = self.path("state/ha-host/lib/machines");
        fs::create_dir_all(&machines).unwrap();
        let host = r#"{"uri":"qemu:///system","pool":"default","poolMade":false}"#;
        let record = format!(r#"{{"version":1,"state":"0123456789abcdef","hosts":[{host}]}}"#);
        fs::write(machines.join("libvirt.json"), record).unwrap();
    }

    /// The numbers of the hanging programs, once there are any.
    pub fn hanging_pids(&self) -> Vec<i32> {
        wait_for_some("virsh is called", || {
            let text = fs::read_to_string(self.path("pids")).unwrap_or_default();
            let pids: Vec<i32> = text
                .split_whitespace()
                .map(|p| p.parse().unwrap())
                .collect();
            (text.ends_with('\n')).then_some(pids)
        })
    }
}

/// What hangs ends with the test, also with one that fails.
impl Drop for HangingFixture {
    fn drop(&mut self) {
        let text = fs::read_to_string(self.path("pids")).unwrap_or_default();
        for pid in text.split_whitespace().filter_map(|p| p.parse().ok()) {
            if process_lives(pid) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

/// A program that does not outlive the test.
pub struct Running(pub Option<Child>);

impl Running {
    pub fn start(mut command: Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    pub fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Its end, which must come soon.
    pub fn end(mut self) -> (i32, String, String) {
        let begun = Instant::now();
        let mut child = self.0.take().unwrap();
        while child.try_wait().unwrap().is_none() {
            if begun.elapsed() > SOON {
                self.0 = Some(child);
                panic!("it does not end");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        decode_output(child.wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn decode_output(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap_or(-1);
    (code, text(output.stdout), text(output.stderr))
}

pub fn wait_for_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < SOON, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn process_lives(pid: i32) -> bool {
    // A zombie waits for its parent alone.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

/// Until none of these programs lives.
pub fn wait_until_gone(pids: &[i32]) {
    wait_for_some("the children are gone", || {
        (!pids.iter().any(|pid| process_lives(*pid))).then_some(())
    });
}

/// Its end, and what it said, after this signal.
pub fn end_by(signal: Signal, running: Running) -> (i32, String, String) {
    kill(Pid::from_raw(running.id().cast_signed()), signal).unwrap();
    let begun = Instant::now();
    let end = running.end();
    println!("ended after {:?}", begun.elapsed());
    end
}

/// A node of QEMU's as it stands in the state directory, whose guest agent takes connections and says nothing.
pub fn silent_guest(fixture: &HangingFixture) -> (Running, UnixListener) {
    let (code, _, err) = fixture.run(&["render", "emu.yaml", "--out", "out"]);
    assert_eq!(code, 0, "{err}");
    let node = fixture.path("state/ha-host/emu/machines/node1");
    fs::create_dir_all(&node).unwrap();
    let machine = Running::start(fixture.command_of("sleep", &["1000"]));
    let stat = fs::read_to_string(format!("/proc/{}/stat", machine.id())).unwrap();
    let start = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .nth(19)
        .unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(node.join("pid"), format!("{} {start} {boot}", machine.id())).unwrap();
    let guest = UnixListener::bind(node.join("guest")).unwrap();
    (machine, guest)
}
