//! What a failed test leaves behind to read: journals, events, consoles, the API's view. Best effort, never an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ha_wire::paths;

use crate::cluster::Cluster;
use crate::operator::Operator;
use crate::process::{last_lines, run_to_end};
use crate::story::print_uncaptured;

/// A node that hangs must not make its post-mortem hang.
const LOOK: Duration = Duration::from_secs(10);
/// How much of each text goes to the terminal; files hold all of it.
const LINES: usize = 25;
/// The provider's logs that are shown: the machine's console, and what was said by the program that runs or prepares it.
const SHOWN: [&str; 4] = ["console.log", "qemu.log", "keeper.log", "ignition.log"];
/// Where libvirt keeps what QEMU said about each domain.
const LIBVIRT_LOGS: &str = "/var/log/libvirt/qemu";

/// What is asked of each node: file name and script.
fn node_questions() -> [(&'static str, String); 5] {
    [
        (
            "agent.log",
            "journalctl --no-pager -o short-precise -t ha-agent -u ha-agent | tail -n 2000".into(),
        ),
        (
            "units.log",
            "systemctl --no-pager --failed; journalctl --no-pager -u kubelet -u keepalived -u haproxy -u containerd -u crio | tail -n 1500".into(),
        ),
        (
            "events.jsonl",
            format!("cat {} {}", paths::EVENTS_FILE, paths::STATUS_FILE),
        ),
        ("pods.log", "tail -n 60 /var/log/pods/*/*/*.log".into()),
        (
            "etcd.log",
            "find /var/log/pods -path '*/etcd/*.log' -exec tail -q -n 10 {} +".into(),
        ),
    ]
}

/// Writes everything into `dir/post-mortem` and the most telling tails to the terminal.
pub fn write_evidence(cluster: &Cluster, dir: &Path) {
    let report = PostMortem::new(dir.join("post-mortem"));
    print_uncaptured(&format!(
        "post-mortem of {}: {}",
        cluster.name(),
        report.dir.display()
    ));
    let operator = cluster.operator();
    report.nodes(cluster);
    report.machines(&operator.state_of(cluster.name()).join("machines"));
    report.libvirt(operator, cluster.name());
    report.api(cluster);
}

/// The directory of a post-mortem.
#[derive(Debug)]
struct PostMortem {
    dir: PathBuf,
}

impl PostMortem {
    fn new(dir: PathBuf) -> Self {
        let _ = fs::create_dir_all(&dir);
        Self { dir }
    }

    fn keep(&self, name: &str, text: &str) {
        let _ = fs::write(self.dir.join(name), text);
    }

    /// What the nodes themselves say, where they can be entered.
    fn nodes(&self, cluster: &Cluster) {
        for (name, _, _) in cluster.plan().nodes() {
            for (file, script) in node_questions() {
                let answer = cluster.node(&name).run(&["sh", "-c", &script], LOOK);
                let text = answer.map_or_else(|e| format!("{e:#}"), |d| d.stdout + &d.stderr);
                self.keep(&format!("{name}-{file}"), &text);
                match file {
                    "agent.log" => show_tail(&format!("{name}: the agent's last words"), &text),
                    "etcd.log" => show_tail(&format!("{name}: etcd's last words"), &text),
                    _ => {}
                }
            }
        }
    }

    /// What the provider kept of each machine: all that is left of one that never came up.
    fn machines(&self, dir: &Path) {
        for path in provider_logs(dir) {
            let text = read_lossy(&path);
            let name = path.strip_prefix(dir).unwrap_or(&path);
            self.keep(&name.display().to_string().replace(['/', '\\'], "-"), &text);
            if is_shown(&path) {
                show_tail(&name.display().to_string(), &text);
            }
        }
    }

    fn libvirt(&self, operator: &Operator, cluster: &str) {
        let mut command = operator.as_root("sh");
        command.args(["-c", &format!("cat {LIBVIRT_LOGS}/*{cluster}*.log")]);
        let text = run_to_end(command, LOOK)
            .map(|done| done.stdout)
            .unwrap_or_default();
        if !text.is_empty() {
            self.keep("libvirt-qemu.log", &text);
            show_tail("QEMU's last words, by libvirt", &text);
        }
    }

    fn api(&self, cluster: &Cluster) {
        for kind in ["nodes", "pods", "events"] {
            let answer = cluster
                .kube()
                .ctl(&["get", kind, "--all-namespaces", "--output=wide"]);
            let text = answer.unwrap_or_else(|e| format!("{e:#}"));
            self.keep(&format!("{kind}.txt"), &text);
            show_tail(kind, &text);
        }
    }
}

fn show_tail(title: &str, text: &str) {
    if !text.trim().is_empty() {
        print_uncaptured(&format!("--- {title}\n{}", last_lines(text, LINES)));
    }
}

fn is_shown(path: &Path) -> bool {
    SHOWN.iter().any(|name| path.ends_with(name))
}

/// A console's text need not be UTF-8.
fn read_lossy(path: &Path) -> String {
    fs::read(path)
        .map(|b| String::from_utf8_lossy(&b).into_owned())
        .unwrap_or_default()
}

/// The provider's own logs of each node: console, hypervisor, Ignition, keeper.
fn provider_logs(dir: &Path) -> Vec<PathBuf> {
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

#[cfg(test)]
mod tests;
