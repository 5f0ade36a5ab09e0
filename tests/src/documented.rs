//! Steps that a person is to type, run as the docs have them.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::lab::{Lab, workspace_root};
use crate::process::{FinishedProcess, RunningProcess, run_to_end};

/// The cluster's name, as the docs write it.
const NAME: &str = "NAME";
/// Whoever types knows when to give up.
const STEPS: Duration = Duration::from_secs(600);

/// The blocks of commands below a heading of the docs, to the next of the same kind, in their order. An error: there are others
/// than `N`.
pub fn command_blocks<const N: usize>(document: &str, heading: &str) -> Result<[String; N]> {
    let text = fs::read_to_string(workspace_root().join(document))?;
    let (_, section) = text
        .split_once(&format!("\n{heading}\n"))
        .with_context(|| format!("{document} has no {heading:?}"))?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks: Vec<String> = section.trim().split("\n\n").filter_map(commands).collect();
    let found = blocks.len();
    let blocks = blocks.try_into().ok();
    blocks.with_context(|| format!("{found} blocks of commands in {document}, {heading}, not {N}"))
}

/// A paragraph of which every line is indented; none: of words.
fn commands(paragraph: &str) -> Option<String> {
    let lines = paragraph.lines().map(|line| line.strip_prefix("    "));
    Some(lines.collect::<Option<Vec<_>>>()?.join("\n"))
}

/// As typed on the operator's machine, with the cluster's own kubectl and `ha-host`. Files come into the test's directory.
pub fn run_by_operator(cluster: &Cluster, steps: &str) -> Result<FinishedProcess> {
    let programs = format!(
        "cd '{}'; kubectl() {{ '{}' \"$@\"; }}; ha-host() {{ '{}' \"$@\"; }}\n",
        cluster.dir().display(),
        Lab::default().kubectl().display(),
        cluster.operator().program().display()
    );
    let script = programs + &steps.replace(NAME, cluster.name());
    let mut command = cluster.operator().command("bash");
    command
        .arg("-ec")
        .arg(script)
        .env("KUBECONFIG", cluster.kubeconfig());
    run_to_end(command, STEPS)?.ok()
}

/// As typed into a shell on a node.
pub fn run_on_node(cluster: &Cluster, node: &str, steps: &str) -> Result<FinishedProcess> {
    let script = cluster.dir().join("steps.sh");
    fs::write(&script, steps)?;
    feed_on_node(cluster, node, &script, "sh")
}

/// Brings a file of the operator's onto a node.
pub fn bring_file(cluster: &Cluster, node: &str, file: &Path, to: &str) -> Result<()> {
    feed_on_node(cluster, node, file, &format!("cat > {to}"))?;
    let size = cluster.node(node).sh(&format!("stat -c %s {to}"))?;
    ensure!(
        size.trim() == fs::metadata(file)?.len().to_string(),
        "{to} of {node} has {size} bytes"
    );
    Ok(())
}

/// A shell's command on a node, with a file as its standard input.
pub fn feed_on_node(
    cluster: &Cluster,
    node: &str,
    file: &Path,
    command: &str,
) -> Result<FinishedProcess> {
    let args = ["exec", cluster.name(), node, "--", "sh", "-c", command];
    let mut process = cluster.operator().ha_host(args);
    process.stdin(File::open(file).with_context(|| format!("open {}", file.display()))?);
    RunningProcess::start(process)?.wait(STEPS)?.ok()
}
