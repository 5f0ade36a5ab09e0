//! The running haproxy, asked through its own socket: how it sees the apiservers, and the end of sessions that lead nowhere.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ha_wire::status::ServerState;

use crate::render::haproxy::{BACKEND, LAST_RESORT, STATS_SOCKET, unchecked_name};
use crate::sys::files::Files;
use crate::sys::net::ask_socket;

pub mod sessions;

/// haproxy's answers come within milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// A checked apiserver as haproxy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The control plane's name.
    pub name: String,
    /// Whether it gets connections.
    pub state: ServerState,
    /// Since the last change between up and down; haproxy counts whole seconds.
    pub since: Duration,
    /// How the last check ended: `L7OK`, `L4TOUT` (nobody there), `L6TOUT` and `L7TOUT` (connects, does not answer), ...
    pub check: String,
    /// The status of the answer that the last check got, e.g. `401`; empty: it got none.
    pub code: String,
    /// Clients' connections that go there now, also those from a time when no apiserver passed its checks.
    pub sessions: u64,
}

pub async fn ask_servers(files: &Files) -> Result<Vec<Server>> {
    ask_stats_socket(files, "show stat")
        .await
        .map(|csv| parse_stats(&csv))
}

/// Closes every session on one server; the clients find another one.
async fn cut_sessions(files: &Files, server: &str) -> Result<()> {
    let order = |name: &str| format!("shutdown sessions server {BACKEND}/{name}");
    let last_resort = unchecked_name(server);
    let answer =
        ask_stats_socket(files, &format!("{};{}", order(server), order(&last_resort))).await?;
    // Silence is consent.
    ensure!(
        answer.trim().is_empty(),
        "haproxy answers {:?}",
        answer.trim()
    );
    Ok(())
}

async fn ask_stats_socket(files: &Files, command: &str) -> Result<String> {
    let socket = files.path(STATS_SOCKET);
    let question = format!("{command}\n");
    let asked = ask_socket(&socket, question.as_bytes());
    let answer = tokio::time::timeout(ANSWER_WITHIN, asked)
        .await
        .context("haproxy does not answer on its socket")?
        .context("haproxy's socket")?;
    String::from_utf8(answer).context("haproxy's answer is not UTF-8")
}

/// The apiservers in `show stat`: CSV with a header line, whose columns differ between versions.
fn parse_stats(csv: &str) -> Vec<Server> {
    let mut lines = csv.lines();
    let header = lines.next().unwrap_or_default().trim_start_matches("# ");
    let header: Vec<&str> = header.split(',').collect();
    let table = lines.map(|line| header.iter().copied().zip(line.split(',')).collect());
    let rows: Vec<HashMap<&str, &str>> = table
        .filter(|row: &HashMap<_, _>| row.get("pxname") == Some(&BACKEND))
        .collect();
    let sessions = |name: &str| -> u64 {
        let row = rows.iter().find(|r| r.get("svname") == Some(&name));
        row.and_then(|r| r.get("scur")?.parse().ok()).unwrap_or(0)
    };
    let server = |row: &HashMap<&str, &str>| {
        let name = *row.get("svname")?;
        let other = matches!(name, "FRONTEND" | "BACKEND") || name.starts_with(LAST_RESORT);
        let since = row.get("lastchg")?.parse().unwrap_or(0);
        (!other).then_some(Server {
            name: name.into(),
            state: (*row.get("status")?).into(),
            since: Duration::from_secs(since),
            // A star: the next check is under way.
            check: row.get("check_status")?.trim_start_matches("* ").into(),
            code: row.get("check_code").copied().unwrap_or_default().into(),
            sessions: sessions(name) + sessions(&unchecked_name(name)),
        })
    };
    rows.iter().filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn haproxys_own_words_become_servers() {
        let csv = "# pxname,svname,scur,status,lastchg,check_status,check_code\n\
                   api,FRONTEND,3,OPEN,,,\n\
                   apiservers,node1,2,UP,40,L7OK,200\n\
                   apiservers,node2,1,DOWN,7,* L6TOUT,\n\
                   apiservers,last-resort-node1,3,no check,,,\n\
                   apiservers,BACKEND,3,UP,40,,\n\
                   extra-web,node1,0,UP,40,L4OK,\n";
        let node = |name: &str, state: &str, since, check: &str, sessions| Server {
            name: name.into(),
            state: state.into(),
            since: Duration::from_secs(since),
            check: check.into(),
            code: String::new(),
            sessions,
        };
        let answers = Server {
            code: "200".into(),
            ..node("node1", "UP", 40, "L7OK", 5)
        };
        let wanted = [answers, node("node2", "DOWN", 7, "L6TOUT", 1)];
        assert_eq!(parse_stats(csv), wanted);
        assert!(parse_stats("").is_empty());
    }
}
