//! Sessions of the VIP that lead nowhere. haproxy gives an apiserver no new ones as soon as two checks have failed, which harms
//! nobody if it was only busy. What stands there is cut by the agent, and only when the apiserver stays away: a cut makes
//! every kubelet on it list and watch anew, and after each one it waits longer, up to a minute, in which it hears of no pod.

use std::time::Duration;

use tracing::{debug, warn};

use super::{Server, ask_servers, cut_sessions};
use crate::sys::Sys;

/// Between two looks, at what haproxy tells in whole seconds.
const EVERY: Duration = Duration::from_millis(500);
/// Nobody answers at all: the machine is off or cut off, and no reset will come.
const GONE: Duration = Duration::from_secs(1);
/// It accepts and does not answer, or says that it is not ready: founders under load were seen to do so for two seconds.
const HUNG: Duration = Duration::from_secs(5);

/// For ever: looks and cuts.
pub async fn watch_sessions(node: &str, sys: &Sys) {
    loop {
        sys.clock.sleep(EVERY).await;
        if let Err(error) = cut_lost_sessions(node, sys).await {
            // That haproxy does not answer is told by who judges its health.
            debug!("sessions: {error:#}");
        }
    }
}

async fn cut_lost_sessions(node: &str, sys: &Sys) -> anyhow::Result<()> {
    let files = &sys.files;
    let servers = ask_servers(files).await?;
    if !servers.iter().any(|s| s.state.is_up()) {
        // Who is cut off now would come back to the same place at once, again and again.
        return Ok(());
    }
    for server in servers.iter().filter(|s| is_lost(s)) {
        let (name, check) = (&server.name, &server.check);
        cut_sessions(files, name).await?;
        warn!(
            node,
            "apiserver of {name} is down for {} s ({check}): {} sessions on it are cut",
            server.since.as_secs(),
            server.sessions
        );
    }
    Ok(())
}

/// The server is down for so long that its sessions are better cut.
fn is_lost(server: &Server) -> bool {
    let patience = if server.check.starts_with("L4") {
        GONE
    } else {
        HUNG
    };
    server.state.is_down() && server.sessions > 0 && server.since >= patience
}

#[cfg(test)]
mod tests;
