//! kubeadm as a child process: its configuration for the length of one run, its progress in words.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ha_wire::node::NodeFile;
use ha_wire::phase::Phase;
use tracing::warn;

use super::cause::{self, Watch};
use super::kubeadm_run_config::ConfigOnDisk;
use super::proxy::{self, kubeadm_command};
use super::{ConfigFile, FailedBeneath, is_settled, kubeadm_files};
use crate::context::Context;
use crate::kube::KUBELET;
use crate::sys::durable::SyncedFiles;
use crate::sys::random;

/// kubeadm bounds its own waits by four minutes each; images over a thin line may need several of them.
const DEADLINE: Duration = Duration::from_secs(20 * 60);
/// It says its version and ends.
const VERSION_WITHIN: Duration = Duration::from_secs(30);
/// Between kubeadm's writing a file and its being on the disk; etcd's pod takes longer to start.
const SYNC_EVERY: Duration = Duration::from_millis(200);

/// Runs `kubeadm ARGS --config FILE` so that a power cut does no harm: what an earlier cut left broken is removed before, and
/// what kubeadm writes is on the disk when this returns, and a moment after it was written. What fails beneath it ends it, if
/// waiting cannot mend that, and explains its failure.
pub async fn run_kubeadm(
    cx: &Context,
    phase: Phase,
    args: &[&str],
    config: &ConfigFile,
) -> Result<()> {
    if !is_settled(cx) {
        kubeadm_files::remove_broken(cx)?;
    }
    cause::require_valid(cx, config).await?;
    cause::require_runtime(cx, phase).await?;
    proxy::let_kubelet_bypass_proxy(cx).await?;
    let watch = Watch::new(cx, phase);
    let told = |words: &str| watch.stepped(words);
    let ended = tokio::select! {
        biased;
        ended = run_reporting_steps(cx, args, config, &told) => ended,
        found = watch.until_final() => Err(found.into()),
        never = sync_forever(cx) => match never {},
    };
    put_on_disk(cx).await?;
    match ended {
        Err(error) if !error.is::<FailedBeneath>() => Err(watch.explain(error).await),
        ended => ended,
    }
}

/// What kubeadm and the kubelet have written so far is on the disk when this returns.
pub async fn put_on_disk(cx: &Context) -> Result<()> {
    let new = SyncedFiles::new(&cx.sys.files, kubeadm_files::WRITTEN);
    sync_new(new).await.1
}

/// While kubeadm runs: etcd's manifest must not be lost once its member votes, or nobody could start it without a quorum.
async fn sync_forever(cx: &Context) -> std::convert::Infallible {
    let mut synced = SyncedFiles::new(&cx.sys.files, kubeadm_files::WRITTEN);
    loop {
        cx.sys.clock.sleep(SYNC_EVERY).await;
        let result;
        (synced, result) = sync_new(synced).await;
        if let Err(error) = result {
            warn!("{error:#}");
        }
    }
}

/// In a thread of its own: a disk may take seconds.
async fn sync_new(mut synced: SyncedFiles) -> (SyncedFiles, Result<()>) {
    let lost = SyncedFiles::clone(&synced);
    let work = move || {
        let result = synced.sync_new();
        (synced, result)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok((synced, result)) => (synced, result.map(drop)),
        Err(panic) => (lost, Err(panic.into())),
    }
}

/// Runs `kubeadm ARGS --config FILE` and tells each of its steps. What it prints is shown and steers nothing.
pub async fn run_reporting_steps(
    cx: &Context,
    args: &[&str],
    config: &ConfigFile,
    told: &dyn Fn(&str),
) -> Result<()> {
    let config = ConfigOnDisk::write(cx, config)?;
    let file = config.path();
    let mut all = args.to_vec();
    all.extend_from_slice(&["--config", &file]);
    let told = |text: &str| {
        if let Some(words) = describe_line(text) {
            told(&words);
        }
    };
    let run = kubeadm_command(cx, &all, DEADLINE);
    cx.sys.commands.run_watched(run, &told).await.map(drop)
}

/// This node as the kubeadm here takes it. One that was upgraded by two minors refuses the version that the node file has had
/// since the machine was made; this is for what says no version.
pub async fn node_for_own_kubeadm(cx: &Context) -> NodeFile {
    let mut node = NodeFile::clone(&cx.node);
    match own_version(cx).await {
        Ok(version) => node.kubernetes.version = version,
        Err(error) => warn!("kubeadm's version: {error:#}"),
    }
    node
}

async fn own_version(cx: &Context) -> Result<String> {
    let asked = kubeadm_command(cx, &["version", "--output", "short"], VERSION_WITHIN);
    let said = cx.sys.commands.run(asked).await?.stdout;
    let version = said.trim().trim_start_matches('v');
    ensure!(!version.is_empty(), "it tells none");
    Ok(version.to_owned())
}

/// A kubelet that died of its missing configuration too often would refuse kubeadm's start.
pub async fn reset_kubelet_failures(cx: &Context) -> Result<()> {
    cx.sys
        .systemd
        .reset_failed(KUBELET)
        .await
        .context("cannot reset the kubelet's failed state")
}

/// What kubeadm does, from one line of its output; none if the line is no step.
pub fn describe_line(line: &str) -> Option<String> {
    let (step, text) = line.strip_prefix('[')?.split_once("] ")?;
    let is_step = !step.is_empty() && step.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let first = text
        .split(". ")
        .next()
        .unwrap_or(text)
        .trim_end_matches('.')
        .trim();
    (is_step && !first.is_empty() && !is_secret(text)).then(|| format!("kubeadm {step}: {first}"))
}

/// kubeadm is told not to print tokens; should it do so, nobody repeats them.
fn is_secret(text: &str) -> bool {
    text.contains("token:") || text.contains("--token") || text.contains("certificate-key")
}

/// A bootstrap token that nobody knows: `abcdef.0123456789abcdef`.
pub fn random_token() -> Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let text: String = random::secret_bytes::<22>()?
        .iter()
        .map(|b| char::from(ALPHABET[usize::from(b % 32)]))
        .collect();
    let (id, secret) = text.split_at(6);
    Ok(format!("{id}.{secret}"))
}

#[cfg(test)]
mod tests;
