//! `ha-agent try-ports ADDRESS...`: opens a connection to each of these at once and says how that ended, for `ha-host doctor`.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use ha_wire::doctor::{PortTrial, PortTrials, TrialOutcome, VERSION};

use super::{Exit, print_out};
use crate::sys::net::connect_within;
use crate::sys::new_runtime;

/// A machine on the same network answers within milliseconds; the kernel sends a lost SYN again after one second.
const PATIENCE: Duration = Duration::from_millis(2500);

/// Prints the trials; exit code 0 however they ended.
pub fn try_ports(to: &[SocketAddr]) -> Result<Exit> {
    let trials = new_runtime()?.block_on(join_all(to.iter().copied().map(try_port)));
    let version = VERSION;
    let text = serde_json::to_string(&PortTrials { version, trials })?;
    print_out(&format!("{text}\n"))?;
    Ok(Exit::Done)
}

async fn try_port(to: SocketAddr) -> PortTrial {
    let (outcome, error) = match connect_within(to, PATIENCE).await {
        Ok(_) => (TrialOutcome::Open, String::new()),
        Err(error) => {
            let outcome = match error.kind() {
                ErrorKind::ConnectionRefused => TrialOutcome::Refused,
                ErrorKind::TimedOut => TrialOutcome::Silent,
                _ => TrialOutcome::Unreachable,
            };
            (outcome, error.to_string())
        }
    };
    PortTrial { to, outcome, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_port_is_told_from_a_closed_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let open = try_port(at).await;
        assert_eq!((open.outcome, &open.error[..]), (TrialOutcome::Open, ""));
        ha_test_support::stop_listening(listener);
        let refused = try_port(at).await;
        assert_eq!(refused.outcome, TrialOutcome::Refused);
        assert!(!refused.error.is_empty());
    }
}
