//! Listens to systemd-nspawn's notifications: the number of the node's PID 1 and the end of its boot.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};

use super::answer::{Answer, log_line, send_answer};
use super::layout::NodeDir;
use crate::process::ProcessIdentity;

/// The socket, in the node's directory: 0700, so only root can tell us whom to kill.
const SOCKET: &str = "notify";
/// A thread that reads a line now and then needs no more.
const STACK: usize = 256 * 1024;

/// What has been heard.
#[derive(Debug)]
pub struct Watch {
    /// The node had a PID 1 at least once.
    pub seen: AtomicBool,
    address: String,
}

impl Watch {
    /// Starts to listen in the working directory.
    pub fn start() -> Result<Arc<Self>> {
        let _ = std::fs::remove_file(SOCKET);
        let socket = UnixDatagram::bind(SOCKET).context("cannot listen for systemd-nspawn")?;
        // Socket names are limited to 107 bytes, state directories are not: name it through this process's directory.
        let address = format!("/proc/{}/cwd/{SOCKET}", std::process::id());
        let watch = Arc::new(Self {
            seen: AtomicBool::new(false),
            address,
        });
        let of_thread = Arc::clone(&watch);
        std::thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || of_thread.listen(&socket))
            .context("cannot start the listening thread")?;
        Ok(watch)
    }

    /// For `NOTIFY_SOCKET`.
    pub fn address(&self) -> &str {
        &self.address
    }

    fn listen(&self, socket: &UnixDatagram) {
        let mut buffer = [0_u8; 4096];
        let mut since = Instant::now();
        while let Ok(length) = socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            if let Some(pid) = leader_pid(&text) {
                since = Instant::now();
                self.leader(pid);
            }
            if text.lines().any(|line| line == "READY=1") {
                log_line(&format!(
                    "the node is up after {:.1} s",
                    since.elapsed().as_secs_f32()
                ));
            }
        }
    }

    fn leader(&self, pid: i32) {
        let Some(ident) = ProcessIdentity::of(pid) else {
            return;
        };
        match ident.write(Path::new(NodeDir::LEADER_PID)) {
            Ok(()) => log_line(&format!("the node runs, PID 1 is {pid} here")),
            Err(error) => log_line(&format!("error: {error:#}")),
        }
        if !self.seen.swap(true, Ordering::SeqCst) {
            send_answer(&Answer::Running);
        }
    }
}

/// The leader in a notification.
fn leader_pid(text: &str) -> Option<i32> {
    text.lines()
        .find_map(|line| line.strip_prefix("X_NSPAWN_LEADER_PID="))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_found_among_other_lines() {
        assert_eq!(
            leader_pid("READY=1\nX_NSPAWN_LEADER_PID=4711\nSTATUS=x"),
            Some(4711)
        );
        assert_eq!(leader_pid("READY=1"), None);
    }
}
