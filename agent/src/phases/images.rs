//! Container images, side by side with everything else: what this role needs and does not have yet. A node without a way
//! to a registry but with its images local is well; whatever goes wrong here the kubelet tries again by itself.

use std::time::Duration;

use anyhow::{Result, ensure};
use ha_wire::phase::Phase;
use ha_wire::settings::KubeProxy;
use tracing::warn;

mod archives;
mod store;

use super::proxy::kubeadm_command;
use super::{ConfigFile, Outcome, is_settled, kubeadm, kubeadm_run_config};
use crate::context::Context;
use crate::kube::KUBELET_PEM;
use crate::render;

/// Asking what is needed.
const ASK: Duration = Duration::from_secs(30);
/// Needed once, while the node has no kubelet.
pub async fn needed(cx: &Context) -> Result<bool> {
    Ok(!is_settled(cx) && !cx.sys.files.exists(KUBELET_PEM))
}

/// Imports what came along, then pulls what is missing; says what could not be had, and is never a reason to stop.
pub async fn run(cx: &Context) -> Result<Outcome> {
    let config = image_list_config(cx);
    let pulled = async {
        store::wait_for_runtime(cx).await?;
        archives::import_archives(cx).await?;
        let missing = missing_images(cx, &config).await?;
        match cx.node.is_control_plane() {
            _ if missing.is_empty() => return Ok(()),
            true => pull_by_kubeadm(cx, &config).await?,
            false => pull_one_by_one(cx, &missing).await?,
        }
        store::sync_store(cx).await
    };
    if let Err(error) = pulled.await {
        warn!("images: {error:#}: the kubelet pulls them itself");
        cx.report
            .waiting(Phase::Images, "images", &format!("{error:#}"));
    }
    Ok(Outcome::Done)
}

fn image_list_config(cx: &Context) -> ConfigFile {
    let text =
        render::kubeadm::init_config(&cx.node, kubeadm_run_config::machine_traits(cx), None, &[]);
    kubeadm_run_config::config_file("images", text)
}

/// What kubeadm is asked with.
pub fn config_files(cx: &Context) -> Vec<ConfigFile> {
    vec![image_list_config(cx)]
}

/// What this role needs and the runtime does not have.
async fn missing_images(cx: &Context, config: &ConfigFile) -> Result<Vec<String>> {
    let config = kubeadm_run_config::ConfigOnDisk::write(cx, config)?;
    let args = ["config", "images", "list", "--config", &config.path()];
    let named = cx.sys.commands.run(kubeadm_command(cx, &args, ASK)).await;
    drop(config);
    let (named, here) = (named?.stdout, store::local_images(cx).await?);
    let mut needed = if cx.node.is_control_plane() {
        non_empty_lines(&named)
    } else {
        worker_images(&named, cx.node.kubernetes.proxy)
    };
    needed.retain(|image| !here.contains(image));
    Ok(needed)
}

/// kubeadm's preflight pulls what is missing through the runtime, all at once; its other checks only warn here, and so does a
/// pull that failed: what is there afterwards is looked at.
async fn pull_by_kubeadm(cx: &Context, config: &ConfigFile) -> Result<()> {
    let args = ["init", "phase", "preflight"];
    let told = |words: &str| cx.report.waiting(Phase::Images, words, "");
    kubeadm::run_reporting_steps(cx, &args, config, &told).await?;
    let missing = missing_images(cx, config).await?;
    ensure!(missing.is_empty(), "not pulled: {}", missing.join(", "));
    Ok(())
}

/// Workers have no preflight that pulls.
async fn pull_one_by_one(cx: &Context, images: &[String]) -> Result<()> {
    let total = u32::try_from(images.len()).unwrap_or(u32::MAX);
    for (done, image) in (0_u32..).zip(images) {
        cx.report.progress(Phase::Images, done, total);
        store::pull_image(cx, image).await?;
    }
    cx.report.progress(Phase::Images, total, total);
    Ok(())
}

/// etcd is joined under a lease that others wait for: its image is to be here before. A join's own preflight pulls it; what
/// that could not pull, or what was lost since, is asked for once more. As above, that is never a reason to stop.
pub async fn ensure_etcd_image(cx: &Context) {
    let pulled = async {
        if store::local_images(cx)
            .await?
            .iter()
            .any(|i| i.contains("/etcd:"))
        {
            return Ok(());
        }
        cx.report.waiting(Phase::Join, "etcd's image", "");
        let config = ConfigFile {
            name: kubeadm_run_config::config_file("join-images", String::new()).name,
            ..image_list_config(cx)
        };
        pull_by_kubeadm(cx, &config).await
    };
    if let Err(error) = pulled.await {
        warn!("etcd's image: {error:#}: the kubelet pulls it itself");
    }
}

fn non_empty_lines(named: &str) -> Vec<String> {
    named
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Of all images that kubeadm names, those that a worker needs.
fn worker_images(named: &str, proxy: KubeProxy) -> Vec<String> {
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
mod tests;
