//! The real haproxy: stopped, and starved by busy loops.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use ha_test_support::real;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

/// For each processor of this machine.
const BUSY_LOOPS: usize = 2;
/// So many questions must meet a haproxy that gets no processor.
const STARVED: usize = 5;

/// Ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let group = Pid::from_raw(-self.0.id().cast_signed());
        let _ = kill(group, Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// haproxy as its unit runs it, master and worker, on the health socket alone; it answers.
struct RealHaproxy {
    master: Ended,
    root: tempfile::TempDir,
}

impl RealHaproxy {
    fn start() -> Option<Self> {
        let program = real::require_program("haproxy", "haproxy")?;
        let root = tempfile::tempdir().unwrap();
        let run = root.path().join("run/haproxy");
        std::fs::create_dir_all(&run).unwrap();
        std::os::unix::fs::symlink("/proc", root.path().join("proc")).unwrap();
        let config = format!(
            "defaults\n    mode http\n    timeout client 2s\n    timeout connect 1s\n    timeout server 1s\n\
             frontend health\n    bind unix@{}/health.sock mode 600\n    monitor-uri /healthz\n",
            run.display()
        );
        let file = run.join("haproxy.cfg");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(program);
        command.arg("-Ws").arg("-f").arg(file);
        command.arg("-S").arg(run.join("master.sock"));
        command.process_group(0);
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        let master = Ended(quiet.spawn().unwrap());
        Some(Self { master, root })
    }

    /// Its sockets, beside the kernel's own files.
    fn files(&self) -> Files {
        Files::new(self.root.path())
    }

    async fn answers(&self) {
        let begun = Instant::now();
        while let Err(error) = probe_haproxy(&self.files()).await {
            assert!(begun.elapsed() < Duration::from_secs(20), "{error:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn worker(&self) -> i32 {
        find_worker(&self.files(), self.master.0.id().cast_signed())
    }

    /// A signal to all of it.
    fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(-self.master.0.id().cast_signed());
        kill(group, signal).unwrap();
    }

    /// Until no thread of the worker answers any more: each stops when it next gets a processor.
    async fn stops(&self) {
        self.signal(Signal::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.worker());
        let files = self.files();
        let is_stopped = |id: &String| {
            let status = files.read(&format!("{tasks}/{id}/status")).unwrap();
            status.is_some_and(|text| text.contains("State:\tT"))
        };
        while !files.names(&tasks).unwrap().iter().all(is_stopped) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// From now on everybody else has the processor before the worker.
    fn runs_when_nobody_else_does(&self) {
        let mut chrt = Command::new("chrt");
        chrt.args(["--all-tasks", "--idle", "--pid", "0"]);
        let done = chrt.arg(self.worker().to_string()).status();
        assert!(done.unwrap().success());
    }
}

#[tokio::test]
async fn a_stopped_haproxy_is_hung_by_the_first_question_and_well_again_when_it_goes_on() {
    let Some(haproxy) = RealHaproxy::start() else {
        return;
    };
    haproxy.answers().await;
    let files = haproxy.files();
    haproxy.stops().await;
    let (told, error) = ask_and_watch(&files, ANSWER_WITHIN).await;
    haproxy.signal(Signal::SIGCONT);
    assert_eq!(told, Told::Hung, "{error:?}");
    haproxy.answers().await;
    let (told, error) = ask_and_watch(&files, Duration::from_secs(10)).await;
    assert_eq!(told, Told::Good, "{error:?}");
}

#[tokio::test]
async fn a_starved_haproxy_is_never_taken_for_hung() {
    let Some(haproxy) = RealHaproxy::start() else {
        return;
    };
    haproxy.answers().await;
    let files = haproxy.files();
    let busy = |_| {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]).process_group(0);
        Ended(command.spawn().unwrap())
    };
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    let loops: Vec<Ended> = (0..BUSY_LOOPS * processors).map(busy).collect();
    haproxy.runs_when_nobody_else_does();
    let mut told = Vec::new();
    let begun = Instant::now();
    while told.iter().filter(|t| **t == Told::Starved).count() < STARVED {
        // A short deadline: what is slow shows.
        let (one, _) = ask_and_watch(&files, Duration::from_millis(50)).await;
        told.push(one);
        let in_time = begun.elapsed() < Duration::from_secs(60);
        assert!(in_time, "nothing was slow: {told:?}");
    }
    drop(loops);
    assert!(!told.contains(&Told::Hung), "{told:?}");
}

#[test]
fn what_cannot_be_seen_is_no_proof() {
    assert_eq!(judge_silence(None, None), Told::Bad);
}
