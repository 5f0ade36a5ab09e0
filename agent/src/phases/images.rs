//! Container images, side by side with everything else: what this role needs and does not have yet. A node without a way
//! to a registry but with its images local is well; whatever goes wrong here the kubelet tries again by itself.

use std::time::Duration;

use anyhow::Result;
use ha_spec::cluster::{Cri, KubeProxy};
use ha_spec::phase::Phase;
use tracing::warn;

use super::{Outcome, is_settled, kubeadm};
use crate::context::Context;
use crate::kube::KUBELET_PEM;
use crate::render;
use crate::sys::Cmd;

/// One image over a thin line.
const PULL: Duration = Duration::from_secs(10 * 60);
/// Asking the runtime what it has.
const LIST: Duration = Duration::from_secs(30);

/// Needed once, while the node has no kubelet.
pub async fn needed(cx: &Context) -> Result<bool> {
    Ok(!is_settled(cx) && !cx.sys.files.exists(KUBELET_PEM))
}

/// Pulls what is missing; says what could not be had, and is never a reason to stop.
pub async fn run(cx: &Context) -> Result<Outcome> {
    let config = render::kubeadm::init(&cx.node, kubeadm::machine(cx), None, &[]);
    let pulled = if cx.node.is_control_plane() {
        control_plane(cx, &config).await
    } else {
        worker(cx, &config).await
    };
    if let Err(error) = pulled {
        warn!("images: {error:#}: the kubelet will try by itself");
        cx.tell
            .waiting(Phase::Images, "images", &format!("{error:#}"));
    }
    Ok(Outcome::Done)
}

/// kubeadm's preflight pulls only what is missing, all at once, whatever the runtime; its other checks only warn here.
async fn control_plane(cx: &Context, config: &str) -> Result<()> {
    let missed = std::cell::RefCell::new(Vec::new());
    let note = |line: &str| {
        if let Some(what) = line.trim().strip_prefix("[WARNING ImagePull]: ") {
            missed.borrow_mut().push(what.to_owned());
        }
    };
    kubeadm::run(
        cx,
        Phase::Images,
        &["init", "phase", "preflight"],
        config,
        &note,
    )
    .await?;
    for what in missed.into_inner() {
        warn!("images: {what}");
    }
    Ok(())
}

/// A worker runs none of the control plane: only the sandbox and kube-proxy are sure to be needed.
async fn worker(cx: &Context, config: &str) -> Result<()> {
    if cx.node.kubernetes.cri != Cri::Containerd {
        return Ok(());
    }
    let file = "/run/ha-agent/kubeadm.yaml.list";
    cx.sys.files.write(file, 0o600, config.as_bytes())?;
    let path = cx.sys.files.path(file);
    let list = Cmd::new(
        "kubeadm",
        &[
            "config",
            "images",
            "list",
            "--config",
            &path.to_string_lossy(),
        ],
        LIST,
    );
    let named = cx.sys.commands.run(list).await;
    cx.sys.files.clear(file)?;
    let named = named?.stdout;
    let here = cx
        .sys
        .commands
        .run(Cmd::new(
            "ctr",
            &["--namespace", "k8s.io", "images", "list", "--quiet"],
            LIST,
        ))
        .await?;
    let wanted = of_workers(&named, cx.node.kubernetes.proxy);
    for (done, image) in (0_u32..).zip(&wanted) {
        cx.tell.progress(
            Phase::Images,
            done,
            u32::try_from(wanted.len()).unwrap_or(u32::MAX),
        );
        if !here.stdout.lines().any(|have| have.trim() == image) {
            let pull = Cmd::new(
                "ctr",
                &["--namespace", "k8s.io", "images", "pull", image],
                PULL,
            );
            cx.sys.commands.run(pull).await?;
        }
    }
    Ok(())
}

/// Of all images that kubeadm names, those that a worker needs.
fn of_workers(named: &str, proxy: KubeProxy) -> Vec<String> {
    let is_wanted = |image: &&str| {
        image.contains("/pause:") || (proxy != KubeProxy::None && image.contains("/kube-proxy:"))
    };
    named
        .lines()
        .map(str::trim)
        .filter(is_wanted)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: &str = "registry.k8s.io/kube-apiserver:v1.34.4\nregistry.k8s.io/kube-proxy:v1.34.4\n\
        registry.k8s.io/coredns/coredns:v1.12.1\nregistry.k8s.io/pause:3.10.1\nregistry.k8s.io/etcd:3.6.5-0\n";

    #[test]
    fn workers_pull_nothing_of_the_control_plane() {
        assert_eq!(
            of_workers(NAMED, KubeProxy::None),
            ["registry.k8s.io/pause:3.10.1"]
        );
        assert_eq!(
            of_workers(NAMED, KubeProxy::Nftables),
            [
                "registry.k8s.io/kube-proxy:v1.34.4",
                "registry.k8s.io/pause:3.10.1"
            ]
        );
    }
}
