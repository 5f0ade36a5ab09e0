//! The running haproxy, asked through its own socket: how it sees the apiservers, and the end of sessions that lead nowhere.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::render::haproxy::{BACKEND, LAST_RESORT, STATS_SOCKET};
use crate::sys::files::Files;

pub mod sessions;

/// haproxy's answers come within milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// A checked apiserver as haproxy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The control plane's name.
    pub name: String,
    /// haproxy's word: `UP`, `DOWN`, `UP 1/2` on its way down, `no check`.
    pub state: String,
    /// Since the last change between up and down; haproxy counts whole seconds.
    pub since: Duration,
    /// How the last check ended: `L7OK`, `L4TOUT` (nobody there), `L6TOUT` and `L7TOUT` (connects, does not answer), ...
    pub check: String,
    /// Clients' connections that go there now.
    pub sessions: u64,
}

/// Every checked apiserver.
pub async fn servers(files: &Files) -> Result<Vec<Server>> {
    ask(files, "show stat").await.map(|csv| parse(&csv))
}

/// Closes every session on one server; the clients find another one.
async fn cut(files: &Files, server: &str) -> Result<()> {
    let answer = ask(
        files,
        &format!("shutdown sessions server {BACKEND}/{server}"),
    )
    .await?;
    // Silence is consent.
    ensure!(
        answer.trim().is_empty(),
        "haproxy answers {:?}",
        answer.trim()
    );
    Ok(())
}

async fn ask(files: &Files, command: &str) -> Result<String> {
    let socket = files.path(STATS_SOCKET);
    let asked = async {
        let mut stream = UnixStream::connect(&socket).await?;
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    tokio::time::timeout(ANSWER_WITHIN, asked)
        .await
        .context("haproxy does not answer on its socket")?
        .context("haproxy's socket")
}

/// The apiservers in `show stat`: CSV with a header line, whose columns differ between versions.
fn parse(csv: &str) -> Vec<Server> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .trim_start_matches("# ")
        .split(',')
        .collect();
    let server = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let field = |name: &str| {
            let column = header.iter().position(|h| *h == name)?;
            fields.get(column).copied()
        };
        let name = field("svname")?;
        let other = matches!(name, "FRONTEND" | "BACKEND") || name.starts_with(LAST_RESORT);
        (field("pxname")? == BACKEND && !other).then(|| {
            Some(Server {
                name: name.into(),
                state: field("status")?.into(),
                since: Duration::from_secs(field("lastchg")?.parse().unwrap_or(0)),
                // A star: the next check is under way.
                check: field("check_status")?.trim_start_matches("* ").into(),
                sessions: field("scur")?.parse().unwrap_or(0),
            })
        })?
    };
    lines.filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn haproxys_own_words_become_servers() {
        let csv = "# pxname,svname,scur,status,lastchg,check_status\n\
                   api,FRONTEND,3,OPEN,,\n\
                   apiservers,node1,2,UP,40,L7OK\n\
                   apiservers,node2,1,DOWN,7,* L6TOUT\n\
                   apiservers,last-resort-node1,0,no check,,\n\
                   apiservers,BACKEND,3,UP,40,\n\
                   extra-web,node1,0,UP,40,L4OK\n";
        let node = |name: &str, state: &str, since, check: &str, sessions| Server {
            name: name.into(),
            state: state.into(),
            since: Duration::from_secs(since),
            check: check.into(),
            sessions,
        };
        let wanted = [
            node("node1", "UP", 40, "L7OK", 2),
            node("node2", "DOWN", 7, "L6TOUT", 1),
        ];
        assert_eq!(parse(csv), wanted);
        assert!(parse("").is_empty());
    }
}
