//! What the fuzz targets `qmp` and `guest_agent` and the replay of their corpora feed to those who talk to QEMU and to a guest:
//! the other side may send anything. Not for programs.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::qemu::qmp::Qmp;
use crate::vm::guest::socket::exchange_over;
use crate::vm::guest::{Agent, Transport, decode_piece, exit_code};
use crate::vm::socket::LineSocket;

/// Nothing waits: the other side has said everything before it is asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// What fits into a socket's buffer.
const MOST: usize = 32 << 10;
/// The number by which the guest's words to us are parted from others'.
const ID: u32 = 1;

/// A conversation with a QEMU that says these bytes.
pub fn qmp_monitor(bytes: &[u8]) {
    let Some((_peer, socket)) = connect_to_bytes(bytes) else {
        return;
    };
    let Ok(mut qmp) = Qmp::greet(socket, PATIENCE) else {
        return;
    };
    // Every error is right; a panic is not.
    let _ = qmp.human("info status");
    let _ = qmp.event(&["SHUTDOWN", "RESET"], PATIENCE);
}

/// Exchanges with a guest agent that says these bytes, over its socket and line by line.
pub fn guest_agent(bytes: &[u8]) {
    if let Some((_peer, socket)) = connect_to_bytes(bytes) {
        let _ = exchange_over(socket, ID, &json!({"execute": "guest-ping"}));
    }
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(answer) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        let agent = Agent::new("node1", Box::new(SameAnswer(answer.clone())));
        let _ = (agent.ping(), agent.start(&["true"]));
        let _ = (
            exit_code(&answer["return"]),
            decode_piece(&answer["return"]),
        );
    }
}

/// Our end of a connection whose other end has said this and says no more.
fn connect_to_bytes(bytes: &[u8]) -> Option<(UnixStream, LineSocket)> {
    let (ours, mut peer) = UnixStream::pair().ok()?;
    peer.write_all(&bytes[..bytes.len().min(MOST)]).ok()?;
    peer.shutdown(Shutdown::Write).ok()?;
    Some((peer, LineSocket::over(ours, Instant::now() + PATIENCE)))
}

#[derive(Debug)]
struct SameAnswer(Value);

impl Transport for SameAnswer {
    fn call(&self, _request: &Value) -> Result<Value> {
        Ok(self.0.clone())
    }
}
