//! How the program ends when it is told to while it waits for others, and when nobody reads what it prints.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::Value;

mod fixture;
mod output;

use fixture::{
    HA_HOST, HangingFixture, Running, SOON, decode_output, end_by, process_lives, silent_guest,
    wait_until_gone,
};

#[test]
fn a_signal_ends_every_verb_that_waits_for_virsh_and_virsh_with_it() {
    let verbs: [(&[&str], &str); 6] = [
        (
            &["launch", "lib.yaml"],
            "interrupted: everything is left as it is\n  go on    run  ha-host launch lib.yaml  again",
        ),
        (&["status", "lib"], "interrupted\n"),
        (&["status", "lib", "--watch"], "interrupted\n"),
        (&["logs", "lib", "node1", "-f"], "interrupted\n"),
        (&["exec", "lib", "node1", "--", "true"], "interrupted\n"),
        (&["destroy", "lib", "--yes"], "interrupted\n"),
    ];
    for (args, words) in verbs {
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            let fixture = HangingFixture::new();
            let (code, _, err) = fixture.run(&["render", "lib.yaml", "--out", "out"]);
            assert_eq!(code, 0, "{err}");
            fixture.make_known();
            let child = Running::start(fixture.command(args));
            let pids = fixture.hanging_pids();
            let (code, _, err) = end_by(signal, child);
            assert_eq!(code, 130, "{args:?} {signal}: {err}");
            assert!(
                err.starts_with("error: ") && err.contains(words),
                "{args:?}: {err}"
            );
            assert_eq!(err.matches("interrupted").count(), 1, "{args:?}: {err}");
            wait_until_gone(&pids);
            let state = fixture.path("state/ha-host/lib/state.json");
            assert!(state.is_file(), "{args:?}: the state is there");
        }
    }
}

/// As on a machine so busy that the thread at virsh's side gets no processor for a second.
#[test]
fn a_child_that_nobody_had_the_time_to_kill_does_not_outlive_the_program() {
    let fixture = HangingFixture::new();
    let mut command = fixture.command(&["launch", "lib.yaml"]);
    command.env("HA_HOST_FAILPOINT", "child-not-killed-yet:hold");
    let child = Running::start(command);
    let pids = fixture.hanging_pids();
    let (code, _, err) = end_by(Signal::SIGTERM, child);
    assert_eq!(code, 130, "{err}");
    wait_until_gone(&pids);
}

#[test]
fn a_launch_ends_in_time_though_its_preflight_hangs() {
    let fixture = HangingFixture::new();
    let begun = Instant::now();
    let child =
        Running::start(fixture.command(&["launch", "lib.yaml", "--timeout", "1s", "--json"]));
    let pids = fixture.hanging_pids();
    let (code, out, err) = child.end();
    assert!(begun.elapsed() < SOON);
    assert_eq!((code, err.as_str()), (3, ""), "{out}");
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["type"], &last["stoppedAt"]),
        (&"timed-out".into(), &"preflight".into()),
        "{out}"
    );
    wait_until_gone(&pids);
    let (code, _, err) = fixture.run(&["launch", "lib.yaml", "--timeout", "1s"]);
    assert_eq!(code, 3);
    assert!(
        err.contains("not ready after ")
            && err.contains("the time was up in: preflight")
            && err.contains("run  ha-host launch lib.yaml  again"),
        "{err}"
    );
}

#[test]
fn an_interrupted_launch_says_so_to_programs_once() {
    let fixture = HangingFixture::new();
    let child = Running::start(fixture.command(&["launch", "lib.yaml", "--json"]));
    fixture.hanging_pids();
    let (code, out, err) = end_by(Signal::SIGTERM, child);
    assert_eq!((code, err.as_str()), (130, ""), "{out}");
    let types: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone())
        .collect();
    assert_eq!(types, ["begin", "interrupted"]);
}

/// A server that takes a connection and says nothing more.
fn silent_server() -> (String, Receiver<()>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let (tell, asked) = channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in server.incoming() {
            kept.push(stream);
            if tell.send(()).is_err() {
                return;
            }
        }
    });
    (address, asked)
}

#[test]
fn a_signal_ends_a_download_that_stands_still() {
    let (address, asked) = silent_server();
    let mirror = format!("http://{address}");
    for args in [
        &["launch", "web.yaml"][..],
        &["image", "pull", "--version", "1.2.3", "--mirror", &mirror],
    ] {
        let fixture = HangingFixture::new();
        let mut command = fixture.command(args);
        command.env("https_proxy", &mirror);
        let child = Running::start(command);
        asked.recv_timeout(SOON).unwrap();
        let (code, out, err) = end_by(Signal::SIGTERM, child);
        assert_eq!(code, 130, "{args:?}: {err}");
        assert!(
            out.contains("interrupted: nothing was stored"),
            "{args:?}: {out}"
        );
    }
    let fixture = HangingFixture::new();
    let launch = &["launch", "web.yaml", "--timeout", "1s"];
    let mut launch = fixture.command(launch);
    let (code, _, err) = decode_output(launch.env("https_proxy", &mirror).output().unwrap());
    assert!(
        code == 3 && err.contains("the time was up in: image"),
        "{code} {err}"
    );
}

fn children_of(parent: u32) -> Vec<i32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            rest.split_whitespace().nth(1) == Some(&parent.to_string())
        })
        .collect()
}

#[test]
fn a_signal_ends_what_follows_a_machine_that_hangs() {
    for args in [
        &["logs", "emu", "node1", "-f"][..],
        &["exec", "emu", "node1", "--", "true"],
    ] {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let fixture = HangingFixture::new();
            let (machine, guest) = silent_guest(&fixture);
            let child = Running::start(fixture.command(args));
            // It asks the guest, in a child of its own.
            let _asked = guest.accept().unwrap();
            let asking = children_of(child.id());
            assert_eq!(asking.len(), 1, "{asking:?}");
            let (code, _, err) = end_by(signal, child);
            assert_eq!(code, 130, "{args:?}: {err}");
            wait_until_gone(&asking[..1]);
            assert!(
                process_lives(machine.id().cast_signed()),
                "the machine is another's"
            );
        }
    }
}

#[test]
fn a_signal_ends_a_verb_that_waits_without_listening() {
    let fixture = HangingFixture::new();
    drop(silent_guest(&fixture));
    let node = fixture.path("state/ha-host/emu/machines/node1");
    fs::write(node.join("console.log"), "a line\n".repeat(100_000)).unwrap();
    let mut running = Running::start(fixture.command(&["logs", "emu", "node1"]));
    // It prints more than a pipe holds, and nobody takes it: from the first byte on it cannot end by itself.
    let mut stdout = running.0.as_mut().unwrap().stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    let (code, _, err) = end_by(Signal::SIGTERM, running);
    assert_eq!(code, 130);
    assert!(err.ends_with("error: interrupted\n"), "{err}");
}

#[test]
fn who_ignores_a_signal_goes_on_ignoring_it() {
    let fixture = HangingFixture::new();
    let script = "trap '' HUP; exec \"$0\" launch lib.yaml --timeout 2s";
    let shell = fixture.command_of("sh", &["-c", script, HA_HOST]);
    let child = Running::start(shell);
    fixture.hanging_pids();
    let (code, _, err) = end_by(Signal::SIGHUP, child);
    assert_eq!(code, 3, "only the time ended it: {err}");
}
