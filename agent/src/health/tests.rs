use std::io::{Read as _, Write as _};
use std::rc::Rc;
use std::sync::mpsc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::{JoinHandle, LocalSet};

use super::*;
use ha_test_support::PATIENCE;
use ha_wire::paths;

use crate::sys::Sys;
use crate::sys::clock::MachineClock;
use crate::sys::files::Files;
use crate::testing::{self, FakeMachine};

/// A machine whose clock runs, as the watch waits for real answers.
fn running_machine() -> FakeMachine {
    let mut machine = testing::fake_machine(testing::control_plane());
    machine.cx.sys = Sys {
        clock: Rc::new(MachineClock),
        ..machine.cx.sys
    };
    for unit in [haproxy::UNIT, keepalived::UNIT] {
        machine.systemd.unit(unit, "active");
    }
    machine.file(paths::HEALTH_FILE, "");
    machine.file("/run/haproxy/here", "");
    machine
}

fn haproxy_lives(machine: &FakeMachine) -> JoinHandle<()> {
    let path = machine.cx.sys.files.path(haproxy::HEALTH_SOCKET);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(path).unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = [0; 100];
            let _ = stream.read(&mut question).await;
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n<html>").await;
        }
    })
}

fn watch_of(machine: &FakeMachine) -> HealthWatch {
    HealthWatch {
        node: machine.cx.node.clone(),
        sys: machine.cx.sys.clone(),
        heartbeat: Heartbeat::default(),
        restart_silent_after: RESTART_SILENT_AFTER,
    }
}

fn run_watch(machine: &FakeMachine) -> impl Future<Output = ()> + use<> {
    let watch = watch_of(machine);
    async move { watch.run().await }
}

async fn wait_for_word(machine: &FakeMachine, word: &str) {
    let said = async {
        while machine
            .cx
            .sys
            .files
            .read(paths::HEALTH_FILE)
            .unwrap()
            .as_deref()
            != Some(word)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, said)
        .await
        .unwrap_or_else(|_| panic!("never said {word:?}"));
}

#[tokio::test]
async fn a_silent_haproxy_is_told_to_keepalived_and_its_return_too() {
    let machine = running_machine();
    let run = async {
        let haproxy = haproxy_lives(&machine);
        let watch = tokio::task::spawn_local(run_watch(&machine));
        wait_for_word(&machine, keepalived::FINE).await;
        haproxy.abort();
        wait_for_word(&machine, keepalived::SICK).await;
        let _haproxy = haproxy_lives(&machine);
        wait_for_word(&machine, keepalived::FINE).await;
        watch.abort();
    };
    LocalSet::new().run_until(run).await;
}

/// What answers on the socket goes on answering: it is systemd's word alone that counts, and it counts at once.
#[tokio::test]
async fn a_dead_unit_is_told_at_once_and_started_again() {
    let machine = running_machine();
    let run = async {
        let _haproxy = haproxy_lives(&machine);
        let watch = tokio::task::spawn_local(run_watch(&machine));
        wait_for_word(&machine, keepalived::FINE).await;
        machine.systemd.unit(haproxy::UNIT, "failed");
        wait_for_word(&machine, keepalived::SICK).await;
        wait_for_word(&machine, keepalived::FINE).await;
        watch.abort();
    };
    LocalSet::new().run_until(run).await;
    assert_eq!(
        machine.orders(),
        ["reset-failed haproxy.service", "start haproxy.service"]
    );
}

/// Its unit is active all the time.
#[tokio::test]
async fn a_haproxy_that_stays_silent_is_restarted_once_a_while() {
    let machine = running_machine();
    let run = async {
        let claim = VipClaim::begin(&machine.cx.sys.files);
        let watch = HealthWatch {
            restart_silent_after: Duration::from_millis(500),
            ..watch_of(&machine)
        };
        let runner = runner::runner_for(&watch.node, &watch.sys).unwrap();
        let mut orders = Vec::new();
        let restarted = async {
            while orders.len() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                orders.extend(machine.orders());
            }
        };
        let begun = std::time::Instant::now();
        tokio::select! {
            () = watch.evaluate_haproxy(&*runner, &claim) => {}
            () = restarted => assert!(begun.elapsed() >= Duration::from_secs(1)),
        }
        orders
    };
    let local = LocalSet::new();
    let run = local.run_until(run);
    let orders = tokio::time::timeout(Duration::from_secs(30), run).await;
    let orders = orders.expect("nobody restarts it");
    assert_eq!(
        orders,
        ["restart haproxy.service", "restart haproxy.service"]
    );
}

#[tokio::test]
async fn a_silent_haproxy_that_is_dead_is_not_restarted() {
    let machine = running_machine();
    let watch = watch_of(&machine);
    let runner = runner::runner_for(&watch.node, &watch.sys).unwrap();
    for state in ["failed", "activating"] {
        machine.systemd.unit(haproxy::UNIT, state);
        watch.restart_silent_haproxy(&*runner).await;
    }
    assert!(machine.orders().is_empty());
    machine.systemd.unit(haproxy::UNIT, "active");
    watch.restart_silent_haproxy(&*runner).await;
    assert_eq!(machine.orders(), ["restart haproxy.service"]);
}

#[tokio::test]
async fn a_healthy_haproxy_costs_systemd_one_watch_not_one_a_question() {
    let machine = running_machine();
    let run = async {
        let _haproxy = haproxy_lives(&machine);
        let claim = VipClaim::begin(&machine.cx.sys.files);
        let watch = watch_of(&machine);
        let runner = runner::runner_for(&watch.node, &watch.sys).unwrap();
        let asking = watch.evaluate_haproxy(&*runner, &claim);
        let some_questions = tokio::time::timeout(EVERY * 4, asking).await;
        assert!(some_questions.is_err(), "it goes on for ever");
    };
    LocalSet::new().run_until(run).await;
    assert_eq!(machine.systemd.watches.get(), 1);
}

#[tokio::test]
async fn an_answer_other_than_200_is_bad() {
    let machine = running_machine();
    let path = machine.cx.sys.files.path(haproxy::HEALTH_SOCKET);
    let listener = UnixListener::bind(path).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 100]).await;
        stream
            .write_all(b"HTTP/1.0 503 Service Unavailable\r\n\r\n")
            .await
            .unwrap();
    };
    let (error, ()) = tokio::join!(probe_haproxy(&machine.cx.sys.files), serve);
    assert!(format!("{:#}", error.unwrap_err()).contains("503"));
}

/// A haproxy that answers "not well" from a thread of its own, and counts the questions.
fn sick_haproxy(files: &Files) -> mpsc::Receiver<()> {
    let path = files.path(haproxy::HEALTH_SOCKET);
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    let (asked, questions) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 100]);
            let _ = stream.write_all(b"HTTP/1.0 503 Service Unavailable\r\n\r\n");
            if asked.send(()).is_err() {
                return;
            }
        }
    });
    questions
}

/// As an fsync on a hanging disk or the removal of a large directory blocks it.
#[tokio::test]
async fn what_blocks_the_agent_does_not_keep_a_sick_haproxy_from_being_told() {
    let machine = running_machine();
    let files = machine.cx.sys.files.clone();
    let questions = sick_haproxy(&files);
    let balancer_stands = watch::Sender::new(true);
    let run = async {
        let node = machine.cx.node.clone();
        let sys = || testing::fake_sys(files, Rc::new(MachineClock));
        start_thread(node, balancer_stands.subscribe(), sys).unwrap();
        // This thread does nothing else now. The fourth question follows on the word that three bad answers make.
        for _ in 0..4 {
            let asked = questions.recv_timeout(PATIENCE);
            asked.expect("the health source stands still with the agent");
        }
    };
    LocalSet::new().run_until(run).await;
    let told = machine.cx.sys.files.read(paths::HEALTH_FILE).unwrap();
    assert_eq!(told.as_deref(), Some(keepalived::SICK));
}

#[tokio::test]
async fn nothing_is_watched_before_the_balancer_stands() {
    let machine = running_machine();
    let files = machine.cx.sys.files.clone();
    let (made, seen) = mpsc::channel();
    let balancer_stands = watch::Sender::new(false);
    let sys = move || {
        made.send(()).unwrap();
        testing::fake_sys(files, Rc::new(MachineClock))
    };
    start_thread(machine.cx.node.clone(), balancer_stands.subscribe(), sys).unwrap();
    assert_eq!(seen.try_recv(), Err(mpsc::TryRecvError::Empty));
    // The agent ends before its balancer stood: so does the thread.
    drop(balancer_stands);
    let ended = seen.recv_timeout(PATIENCE);
    assert_eq!(ended, Err(mpsc::RecvTimeoutError::Disconnected));
}
