//! What a failed test leaves behind to read: journals, events, consoles, the API's view. Best effort, never an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::run::tail;
use crate::story::say;

/// A node that hangs must not make its post-mortem hang.
const LOOK: Duration = Duration::from_secs(10);
/// How much of each text goes to the terminal; files hold all of it.
const LINES: usize = 25;
/// What is asked of each node: file name and script.
const QUESTIONS: [(&str, &str); 4] = [
    (
        "agent.log",
        "journalctl --no-pager -o short-precise -t ha-agent -u ha-agent | tail -n 2000",
    ),
    (
        "units.log",
        "systemctl --no-pager --failed; journalctl --no-pager -u kubelet -u keepalived -u haproxy -u containerd | tail -n 1500",
    ),
    (
        "events.jsonl",
        "cat /run/ha-agent/events.jsonl; cat /run/ha-agent/status.json",
    ),
    ("pods.log", "tail -n 60 /var/log/pods/*/*/*.log"),
];

/// Writes everything into `dir/post-mortem` and the most telling tails to the terminal.
pub fn write(cluster: &Cluster, dir: &Path) {
    let dir = dir.join("post-mortem");
    let _ = fs::create_dir_all(&dir);
    say(&format!(
        "post-mortem of {}: {}",
        cluster.name(),
        dir.display()
    ));
    let keep = |name: &str, text: &str| {
        let _ = fs::write(dir.join(name), text);
    };
    for (name, _, _) in cluster.plan().nodes() {
        for (file, script) in QUESTIONS {
            let answer = cluster.node(&name).run(&["sh", "-c", script], LOOK);
            let text = answer.map_or_else(|e| format!("{e:#}"), |d| d.stdout + &d.stderr);
            keep(&format!("{name}-{file}"), &text);
            if file == "agent.log" {
                say(&format!(
                    "--- {name}: the agent's last words\n{}",
                    tail(&text, LINES)
                ));
            }
        }
    }
    for path in logs(&cluster.operator().state_of(cluster.name()).join("machines")) {
        let text = fs::read(&path)
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default();
        keep(
            &format!("{}.log", path.display().to_string().replace('/', "_")),
            &text,
        );
        if path.ends_with("console.log") {
            say(&format!("--- {}\n{}", path.display(), tail(&text, 5)));
        }
    }
    for kind in ["nodes", "pods", "events"] {
        let answer = cluster
            .kube()
            .ctl(&["get", kind, "--all-namespaces", "--output=wide"]);
        let text = answer.unwrap_or_else(|e| format!("{e:#}"));
        keep(&format!("{kind}.txt"), &text);
        say(&format!("--- {kind}\n{}", tail(&text, LINES)));
    }
}

/// The provider's own logs of each node: console, Ignition, keeper.
fn logs(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![(dir.to_path_buf(), 0)];
    while let Some((dir, depth)) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|e| e == "log") && path.is_file() {
                found.push(path);
            } else if depth < 1 && path.is_dir() {
                dirs.push((path, depth + 1));
            }
        }
    }
    found.sort();
    found
}
