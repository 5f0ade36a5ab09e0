//! The agent behind libvirt, which keeps order among those who ask.

use std::process::Command;

use anyhow::{Context, Result};
use ha_host_base::command::output;
use serde_json::{Value, json};

use super::Transport;

/// Seconds; see the socket's.
const PATIENCE: &str = "10";
/// How libvirt begins what the agent itself refuses; then come the command and the words.
const REFUSED: &str = "unable to execute QEMU agent command";

/// A way to the agent.
#[derive(Debug)]
pub struct Virsh {
    /// libvirt's URI.
    pub uri: String,
    /// The domain's name.
    pub domain: String,
}

impl Transport for Virsh {
    fn call(&self, request: &Value) -> Result<Value> {
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
        match output(&mut command) {
            Ok(text) => serde_json::from_str(&text).context("libvirt answers what is no JSON"),
            Err(error) => {
                let words = format!("{error:#}");
                let Some((_, refused)) = words.rsplit_once(REFUSED) else {
                    return Err(error);
                };
                Ok(json!({"error": {"desc": refused.trim_matches([' ', ':'])}}))
            }
        }
    }
}
