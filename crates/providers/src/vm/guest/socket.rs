//! The agent behind a socket of QEMU's (`-chardev socket`).

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::Transport;
use crate::vm::socket::LineSocket;

/// A healthy agent answers in milliseconds, an emulated one under load in a second or two.
const PATIENCE: Duration = Duration::from_secs(10);
/// Parts what was said to somebody before us from what is said to us.
const MARK: u8 = 0xff;

/// A way to the agent. Connects anew for each exchange: QEMU serves one at a time.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    patience: Duration,
}

impl Socket {
    /// The socket may be missing as long as the machine is off.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            patience: PATIENCE,
        }
    }

    /// With another deadline for each exchange.
    #[cfg(test)]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

/// One exchange. Until the agent has repeated the number, what it says is the end of somebody else's conversation.
pub(crate) fn exchange_over(mut talk: LineSocket, id: u32, request: &Value) -> Result<Value> {
    let sync = json!({"execute": "guest-sync-delimited", "arguments": {"id": id}});
    let mut bytes = vec![MARK];
    bytes.extend(format!("{sync}\n").bytes());
    talk.send(&bytes)?;
    loop {
        talk.receive_until(MARK)?;
        let line = talk.receive_until(b'\n')?;
        let answer = serde_json::from_slice::<Value>(&line).unwrap_or_default();
        if answer["return"] == id {
            break;
        }
    }
    talk.send(format!("{request}\n").as_bytes())?;
    let answer: Value = serde_json::from_slice(&talk.receive_until(b'\n')?)?;
    if !answer.is_object() {
        bail!("unexpected answer: {answer}");
    }
    Ok(answer)
}

impl Transport for Socket {
    fn call(&self, request: &Value) -> Result<Value> {
        // The agent's numbers are signed.
        let id = fastrand::u32(..);
        let exchange = || exchange_over(LineSocket::open(&self.path, self.patience)?, id, request);
        exchange().with_context(|| format!("no answer by {}", self.path.display()))
    }
}
