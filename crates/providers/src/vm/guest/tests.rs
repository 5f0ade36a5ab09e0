//! The agent's client against wires that misbehave; [`prove_agent`] is for providers' tests, which have a real agent.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use super::*;

/// Answers one exchange as an agent that still has words for somebody else in its mouth.
fn answer_muddled(stream: UnixStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).unwrap();
    assert_eq!(line[0], 0xff, "the mark that ends what was half said");
    let sync: Value = serde_json::from_slice(&line[1..]).unwrap();
    let id = &sync["arguments"]["id"];
    writeln!(stream, "{{\"return\": \"old\"}}").unwrap();
    stream.write_all(b"\xff{\"return\": 1}\n\xff").unwrap();
    writeln!(stream, "{{\"return\": {id}}}").unwrap();
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    let request: Value = serde_json::from_str(&request).unwrap();
    match request["execute"].as_str().unwrap() {
        "guest-ping" => writeln!(stream, "{{\"return\": {{}}}}").unwrap(),
        other => writeln!(
            stream,
            "{{\"error\": {{\"desc\": \"Command {other} has been disabled\"}}}}"
        )
        .unwrap(),
    }
}

#[test]
fn old_words_are_skipped_and_refusals_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ga");
    let listener = UnixListener::bind(&path).unwrap();
    let peer = std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            answer_muddled(stream.unwrap());
        }
    });
    let agent = Agent::new("node1", GuestTransport::Socket(path).open());
    agent.ping().unwrap();
    let refused = agent.start(&["true"]).unwrap_err().to_string();
    assert_eq!(
        refused,
        "node1: guest-exec: Command guest-exec has been disabled"
    );
    peer.join().unwrap();
}

#[test]
fn silence_is_one_message() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ga");
    let gone = Agent::new("node1", GuestTransport::Socket(path.clone()).open())
        .ping()
        .unwrap_err();
    let gone = format!("{gone:#}");
    assert!(
        gone.starts_with("the guest agent of node1 does not answer"),
        "{gone}"
    );
    assert!(
        gone.contains("org.qemu.guest_agent.0") && gone.contains("No such file"),
        "{gone}"
    );
    let _listener = UnixListener::bind(&path).unwrap();
    let silent = socket::Socket::new(path).with_patience(Duration::from_millis(20));
    let silent = Agent::new("node1", Box::new(silent)).ping().unwrap_err();
    assert!(format!("{silent:#}").contains("timed out"), "{silent:#}");
}

/// Keeps what is written, for a look from outside.
#[derive(Clone, Default)]
struct SharedBuffer(Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl SharedBuffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Against the real agent of a machine that runs.
pub fn prove_agent(agent: &Agent) {
    let run = |argv: &[&str]| {
        let (mut out, mut err) = (SharedBuffer::default(), SharedBuffer::default());
        let code = agent
            .exec(argv, &mut out, &mut err, &AtomicBool::new(false))
            .unwrap();
        (code, out.text(), err.text())
    };
    let said = run(&["sh", "-c", "echo out; echo err >&2; umask; exit 7"]);
    assert_eq!(said, (7, "out\n0022\n".into(), "err\n".into()));
    let odd = run(&["printf", "%s", "a b\n$HOME"]);
    assert_eq!(odd, (0, "a b\n$HOME".into(), String::new()));
    assert_eq!(run(&["sh", "-c", "kill -9 $$"]).0, 137);
    let missing = run(&["no-such-program"]);
    assert!(
        missing.0 == 127 && missing.2.contains("no-such-program"),
        "{missing:?}"
    );
    let many = run(&["seq", "1", "1000000"]).1;
    assert!(many.starts_with("1\n2\n") && many.ends_with("\n1000000\n"));
    assert_eq!(many.lines().count(), 1_000_000, "none is lost");
    stop_streaming(agent);
    let left = run(&["sh", "-c", "ls -d /run/ha-exec-* | wc -l"]).1;
    assert_eq!(left.trim(), "1", "only its own");
}

/// What streams, streams; and it ends when it is told to.
fn stop_streaming(agent: &Agent) {
    let (mut out, stop) = (SharedBuffer::default(), AtomicBool::new(false));
    let seen = out.clone();
    let code = std::thread::scope(|scope| {
        scope.spawn(|| {
            while seen.text() != "first\n" {
                sleep(Duration::from_millis(5));
            }
            stop.store(true, Ordering::SeqCst);
        });
        let argv = ["sh", "-c", "echo first; sleep 1000 & sleep 1000"];
        agent.exec(&argv, &mut out, &mut Vec::new(), &stop).unwrap()
    });
    assert_eq!((code, out.text().as_str()), (INTERRUPTED, "first\n"));
    let mut left = SharedBuffer::default();
    let count = [
        "sh",
        "-c",
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 100[0]'",
    ];
    let code = agent.exec(&count, &mut left, &mut Vec::new(), &AtomicBool::new(false));
    assert_eq!((code.unwrap(), left.text().as_str()), (1, "0\n"));
}
