//! kubeadm as a child process: its configuration for the length of one run, its progress in words.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ha_wire::phase::Phase;

use super::ConfigFile;
use crate::context::Context;
use crate::kube::KUBELET;
use crate::render::kubeadm::MachineTraits;
use crate::sys::Cmd;
use crate::sys::processor::is_emulated;
use crate::sys::random;

/// kubeadm bounds its own waits by four minutes each; images over a thin line may need several of them.
const DEADLINE: Duration = Duration::from_secs(20 * 60);
/// Where the configuration lies while kubeadm runs (0600: it may hold a token).
const CONFIG: &str = "/run/ha-agent/kubeadm.yaml";
/// Only a unified hierarchy has this file.
const CGROUP_V2: &str = "/sys/fs/cgroup/cgroup.controllers";

/// How many connections the kernel tracks; read-only outside the first network namespace.
const CONNTRACK_MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// systemd writes it where it runs in a container, with the container manager's name.
const CONTAINER: &str = "/run/systemd/container";

/// What the machine decides about kubeadm's configuration.
pub fn machine_traits(cx: &Context) -> MachineTraits {
    MachineTraits {
        cgroup_v2: cx.sys.files.exists(CGROUP_V2),
        owns_conntrack: cx.sys.files.is_writable_or_missing(CONNTRACK_MAX),
        owns_disk: !cx.sys.files.exists(CONTAINER),
        emulated: is_emulated(&cx.sys.files),
    }
}

/// The configuration of one run of kubeadm; it is there for as long as kubeadm runs.
pub fn config_file(run: &str, text: String) -> ConfigFile {
    ConfigFile::new(&format!("{CONFIG}.{run}"), text)
}

/// Runs `kubeadm ARGS --config FILE` and tells its progress. What it prints is shown and steers nothing.
pub async fn run_kubeadm(
    cx: &Context,
    phase: Phase,
    args: &[&str],
    config: &ConfigFile,
) -> Result<()> {
    let file = cx.sys.files.path(&config.name);
    cx.sys
        .files
        .write(&config.name, 0o600, config.text.as_bytes())?;
    let file = file.to_string_lossy();
    let mut all = args.to_vec();
    all.extend_from_slice(&["--config", &file]);
    let told = |text: &str| {
        if let Some(words) = describe_line(text) {
            cx.report.waiting(phase, &words, "");
        }
    };
    let ended = cx
        .sys
        .commands
        .run_watched(Cmd::new("kubeadm", &all, DEADLINE), &told)
        .await;
    cx.sys.files.wipe(&config.name)?;
    ended.map(drop)
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
mod tests {
    use super::*;

    #[test]
    fn lines_of_kubeadm_become_words() {
        let cases = [
            (
                "[certs] Generating \"apiserver\" certificate and key",
                Some("kubeadm certs: Generating \"apiserver\" certificate and key"),
            ),
            (
                "[control-plane-check] Waiting for healthy control plane components. This can take up to 4m0s",
                Some("kubeadm control-plane-check: Waiting for healthy control plane components"),
            ),
            (
                "\t[WARNING FileExisting-tc]: tc not found in system path",
                None,
            ),
            (
                "[WARNING Hostname]: hostname \"node1\" could not be reached",
                None,
            ),
            (
                "[bootstrap-token] Using token: abcdef.0123456789abcdef",
                None,
            ),
            (
                "Your Kubernetes control-plane has initialized successfully!",
                None,
            ),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(describe_line(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn tokens_have_kubeadms_form_and_differ() {
        let (one, other) = (random_token().unwrap(), random_token().unwrap());
        assert_ne!(one, other);
        let (id, secret) = one.split_once('.').unwrap();
        assert_eq!((id.len(), secret.len()), (6, 16));
        assert!(
            one.bytes()
                .all(|b| b == b'.' || b.is_ascii_lowercase() || b.is_ascii_digit())
        );
    }
}
