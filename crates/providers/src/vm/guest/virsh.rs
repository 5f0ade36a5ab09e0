//! The agent behind libvirt, which keeps order among those who ask.

use std::process::Command;

use anyhow::{Context, Result};
use ha_host_base::command::{CommandFailed, run_for_stdout};
use serde_json::{Value, json};

use super::{PING, Transport};

/// Seconds; see the socket's.
const PATIENCE: &str = "10";
/// A way to the agent.
#[derive(Debug)]
pub struct VirshTransport {
    pub uri: String,
    pub domain: String,
}

impl VirshTransport {
    fn send(&self, request: &Value) -> Result<String> {
        let mut command = Command::new("virsh");
        command
            .args([
                "--quiet",
                "-c",
                &self.uri,
                "qemu-agent-command",
                "--timeout",
                PATIENCE,
            ])
            .args([&self.domain, &request.to_string()]);
        run_for_stdout(&mut command)
    }
}

impl Transport for VirshTransport {
    fn call(&self, request: &Value) -> Result<Value> {
        let ping = json!({"execute": PING});
        match self.send(request) {
            Ok(text) => serde_json::from_str(&text).context("libvirt sent invalid JSON"),
            // virsh has one exit code for an agent that is silent and for one that refuses: the latter still answers.
            Err(error) if request["execute"] != PING && self.send(&ping).is_ok() => {
                let words = error
                    .downcast_ref::<CommandFailed>()
                    .map(|f| f.tail.join("; "));
                Ok(json!({"error": {"desc": words.unwrap_or_else(|| error.to_string())}}))
            }
            Err(error) => Err(error),
        }
    }
}
