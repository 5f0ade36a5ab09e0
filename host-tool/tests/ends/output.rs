//! What is printed, and that nobody need read it.

use std::fs::{self, File};

use serde_json::Value;

use crate::fixture::{DEMO, HangingFixture, decode_output, silent_guest};

#[test]
fn what_a_machine_that_is_off_said_is_printable_and_bounded() {
    let fixture = HangingFixture::new();
    drop(silent_guest(&fixture));
    let node = fixture.path("state/ha-host/emu/machines/node1");
    let flood = "an early line\n".repeat(1 << 20);
    fs::write(
        node.join("console.log"),
        flood + "\x1b]0;owned\x07\x1b[2J\u{9b}31mlogin:\r\n",
    )
    .unwrap();
    fs::write(node.join("events.jsonl"), "{\"event\":\"\x1b[31m\"}\n").unwrap();
    let (code, out, err) = fixture.run(&["logs", "emu", "node1"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("node1 is off"), "{err}");
    assert!(
        out.contains("login:") && out.contains("{\"event\":"),
        "both files"
    );
    let controls = out.chars().filter(|c| c.is_control() && *c != '\n').count();
    assert_eq!(controls, 0, "no escape sequence reaches the terminal");
    assert!(out.len() < 1 << 20, "{} bytes", out.len());
}

/// A pipe that nobody reads any more.
fn closed_pipe() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

#[test]
fn nobody_need_read_what_is_printed() {
    let fixture = HangingFixture::new();
    assert_eq!(fixture.run(&["render", "demo.yaml", "--out", "out"]).0, 0);
    let verbs: [(&[&str], i32); 16] = [
        (&["--help"], 0),
        (&["check", "demo.yaml"], 0),
        (&["check", "demo.yaml", "--json"], 0),
        (&["new", "another.yaml"], 0),
        (&["render", "demo.yaml", "--force", "--out", "out"], 0),
        (&["status"], 0),
        (&["status", "--json"], 0),
        // It would look for ever.
        (&["status", "demo", "--watch"], 1),
        (&["kubeconfig", "demo"], 0),
        (&["completions", "bash"], 0),
        (&["man"], 0),
        (&["image", "ls"], 0),
        (&["launch", "gone.yaml", "--json"], 2),
        // It goes on: only the time ends it.
        (&["launch", "lib.yaml", "--timeout", "1s"], 3),
        (&["launch", "lib.yaml", "--timeout", "1s", "--json"], 3),
        (&["destroy", "demo", "--yes"], 0),
    ];
    for (args, expected) in verbs {
        let mut child = fixture.command(args);
        let output = child.stdout(closed_pipe()).output().unwrap();
        let (code, _, err) = decode_output(output);
        assert_eq!(code, expected, "{args:?}: {err}");
        assert!(!err.contains("panicked"), "{args:?}: {err}");
        // Again, with nobody for its errors either.
        let mut child = fixture.command(args);
        let status = child
            .stdout(closed_pipe())
            .stderr(closed_pipe())
            .status()
            .unwrap();
        assert!(
            status.code().is_some_and(|code| code < 4),
            "{args:?}: {status}"
        );
    }
    assert!(
        !fixture.path("state/ha-host/demo").exists(),
        "it was destroyed all the same"
    );
}

#[test]
fn a_full_disk_is_no_closed_pipe() {
    let fixture = HangingFixture::new();
    assert_eq!(fixture.run(&["render", "demo.yaml", "--out", "out"]).0, 0);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = fixture
        .command(&["kubeconfig", "demo"])
        .stdout(full)
        .output()
        .unwrap();
    let (code, _, err) = decode_output(output);
    assert_eq!(
        code, 1,
        "a kubeconfig that is not whole is not a success: {err}"
    );
    assert!(
        err.contains("No space left on device") && !err.contains("panicked"),
        "{err}"
    );
}

#[test]
fn a_bad_file_is_json_too() {
    let fixture = HangingFixture::new();
    let bad = DEMO
        .replace("10.77.0.30", "10.77.0.12")
        .replace("name: node5", "nmae: node5");
    fs::write(fixture.path("bad.yaml"), bad).unwrap();
    let (code, out, err) = fixture.run(&["launch", "bad.yaml", "--json"]);
    assert!(code == 2 && err.contains("bad.yaml:4:"), "{code} {err}");
    let said = one_object(&out);
    assert_eq!(
        (&said["version"], &said["type"]),
        (&2.into(), &"error".into())
    );
    assert!(
        said["message"]
            .as_str()
            .unwrap()
            .ends_with("errors; nothing was written"),
        "{out}"
    );
    assert_places(&said["faults"]);

    let (code, out, err) = fixture.run(&["check", "bad.yaml", "--json"]);
    assert_eq!((code, err.as_str()), (2, ""));
    let said = one_object(&out);
    assert_eq!(
        (&said["version"], &said["good"]),
        (&1.into(), &false.into())
    );
    assert_eq!(
        (&said["file"], &said["cluster"]),
        (&"bad.yaml".into(), &Value::Null)
    );
    assert_places(&said["faults"]);

    let (code, out, _) = fixture.run(&["check", "demo.yaml", "--json"]);
    assert_eq!(code, 0);
    let said = one_object(&out);
    assert_eq!(
        (&said["good"], &said["cluster"]),
        (&true.into(), &"demo".into())
    );
    assert_eq!(said["faults"], Value::Array(Vec::new()));
}

fn one_object(out: &str) -> Value {
    assert_eq!(out.lines().count(), 1, "{out}");
    serde_json::from_str(out).unwrap()
}

/// The VIP's fault and the misspelt key's, each with its place.
fn assert_places(faults: &Value) {
    let faults = faults.as_array().unwrap();
    let at = |line: u64| faults.iter().find(|f| f["place"]["line"] == line).unwrap();
    for fault in [at(4), at(11)] {
        assert_eq!(fault["severity"], "error");
        assert!(!fault["message"].as_str().unwrap().is_empty());
        assert!(!fault["help"].as_str().unwrap().is_empty());
        assert!(fault["place"]["column"].as_u64().unwrap() > 1);
    }
}
