//! QEMU's monitor: JSON lines over a socket, one client at a time.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::vm::socket::LineSocket;

/// QEMU answers at once unless it is starved or stuck.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A conversation with one QEMU.
#[derive(Debug)]
pub struct Qmp(LineSocket);

impl Qmp {
    /// Connects and greets.
    pub fn open(path: &Path, patience: Duration) -> Result<Self> {
        let open = || Self::greet(LineSocket::open(path, patience)?, patience);
        open().with_context(|| format!("QEMU does not answer by {}", path.display()))
    }

    /// Greets on a socket that is connected.
    pub(crate) fn greet(socket: LineSocket, patience: Duration) -> Result<Self> {
        let mut qmp = Self(socket);
        let greeting = qmp.next()?;
        if greeting["QMP"].is_null() {
            bail!("unexpected greeting: {greeting}");
        }
        qmp.0.extend_deadline(patience);
        qmp.ask("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// One command and its answer; events in between are passed over.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.0.extend_deadline(PATIENCE);
        self.ask(command, arguments)
    }

    /// A line for the monitor that people use, and what it prints.
    pub fn human(&mut self, line: &str) -> Result<String> {
        let answer = self.execute("human-monitor-command", json!({"command-line": line}))?;
        Ok(answer.as_str().unwrap_or_default().trim().to_owned())
    }

    /// Waits for one of these events and returns its name. What happened before the last command is not seen.
    pub fn event(&mut self, names: &[&str], patience: Duration) -> Result<String> {
        self.0.extend_deadline(patience);
        loop {
            let line = self.next()?;
            match line["event"].as_str() {
                Some(name) if names.contains(&name) => return Ok(name.to_owned()),
                _ => {}
            }
        }
    }

    fn ask(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let line = json!({"execute": command, "arguments": arguments});
        self.0
            .send(format!("{line}\n").as_bytes())
            .with_context(|| format!("cannot send {command} to QEMU"))?;
        loop {
            let mut answer = self
                .next()
                .with_context(|| format!("QEMU does not answer to {command}"))?;
            if let Some(words) = answer["error"]["desc"].as_str() {
                bail!("{command}: {words}");
            }
            if answer.get("return").is_some() {
                return Ok(answer["return"].take());
            }
        }
    }

    fn next(&mut self) -> Result<Value> {
        let line = self.0.receive_until(b'\n')?;
        serde_json::from_slice(&line).context("QEMU sent invalid JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;

    #[test]
    fn events_are_passed_over_and_errors_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            writeln!(stream, r#"{{"QMP": {{"version": {{}}}}}}"#).unwrap();
            let event = r#"{"event": "RESET", "data": {}}"#;
            for answer in [
                r#"{"return": {}}"#,
                r#"{"return": 7}"#,
                r#"{"error": {"desc": "Duplicate ID"}}"#,
            ] {
                lines.next().unwrap().unwrap();
                write!(stream, "{event}\r\n{answer}\r\n").unwrap();
            }
            writeln!(stream, "{{\"event\": \"STOP\"}}\n{event}").unwrap();
        });
        let mut qmp = Qmp::open(&path, PATIENCE).unwrap();
        assert_eq!(qmp.execute("one", json!({})).unwrap(), 7);
        let error = qmp
            .execute("netdev_add", json!({}))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "netdev_add: Duplicate ID");
        assert_eq!(
            qmp.event(&["RESET", "SHUTDOWN"], PATIENCE).unwrap(),
            "RESET"
        );
        peer.join().unwrap();
        assert!(qmp.event(&["RESET"], PATIENCE).is_err());
    }
}
