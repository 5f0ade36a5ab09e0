//! The container runtime's images, through the program that it brings: `ctr` is containerd's, `crictl` is in CRI-O's sysext, and
//! archives go into CRI-O's store by podman, which shares it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ha_wire::settings::Cri;
use serde_json::Value;

use crate::context::Context;
use crate::sys::cri::RuntimeAnswer;
use crate::sys::own_unit::run_in_own_unit;
use crate::sys::{Cmd, durable};

/// One image over a thin line.
const PULL: Duration = Duration::from_secs(10 * 60);
/// Several GiB from one virtual disk to another, on a busy host.
const IMPORT: Duration = Duration::from_secs(10 * 60);
/// Asking what is there.
const ASK: Duration = Duration::from_secs(30);
/// Between two looks whether the runtime answers: it starts side by side with the agent.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// So many looks, then whatever is asked of it fails with the reason: ten minutes, CRI-O on a slow network.
const MAX_POLLS: u32 = 3000;
/// Where containerd's users name their registries' mirrors.
const MIRRORS: &str = "/etc/containerd/certs.d";
/// What CRI-O's sysext has as its policy of signatures; podman's own file need not be there.
const CRIO_POLICY: &str = "/etc/crio/policy.json";

/// Returns once the runtime answers; it knows no images before.
pub async fn wait_for_runtime(cx: &Context) -> Result<()> {
    let socket = cx.sys.files.path(cx.node.kubernetes.cri.socket_path());
    for _ in 1..MAX_POLLS {
        match crate::sys::cri::ask_version(&socket).await {
            RuntimeAnswer::Version => return Ok(()),
            no_cri @ RuntimeAnswer::NoCri => return no_cri.into_result(),
            RuntimeAnswer::NotAsked | RuntimeAnswer::Nothing(_) => {}
        }
        cx.sys.clock.sleep(POLL_INTERVAL).await;
    }
    crate::sys::cri::ask_version(&socket).await.into_result()
}

/// The names of all images that are there.
pub async fn local_images(cx: &Context) -> Result<Vec<String>> {
    match cx.node.kubernetes.cri {
        Cri::Containerd => {
            let args = ["--namespace", "k8s.io", "images", "list", "--quiet"];
            let list = cx.sys.commands.run(Cmd::new("ctr", &args, ASK)).await?;
            Ok(super::non_empty_lines(&list.stdout))
        }
        Cri::Crio => {
            let list = run_crictl(cx, &["images", "--output", "json"], ASK).await?;
            image_tags(&list).context("crictl images")
        }
    }
}

/// Pulls one image.
pub async fn pull_image(cx: &Context, image: &str) -> Result<()> {
    match cx.node.kubernetes.cri {
        Cri::Containerd => {
            let of_containerd = ["--namespace", "k8s.io", "images", "pull", "--hosts-dir"];
            let args = [&of_containerd[..], &[MIRRORS, image]].concat();
            cx.sys.commands.run(Cmd::new("ctr", &args, PULL)).await?;
        }
        Cri::Crio => {
            run_crictl(cx, &["pull", image], PULL).await?;
        }
    }
    Ok(())
}

/// Imports an archive as `docker save` writes it.
pub async fn import_archive(cx: &Context, path: &str) -> Result<()> {
    let cmd = match cx.node.kubernetes.cri {
        Cri::Containerd => {
            let args = ["--namespace", "k8s.io", "images", "import", path];
            Cmd::new("ctr", &args, IMPORT)
        }
        Cri::Crio => {
            let mut podman = vec!["podman", "load", "--input", path];
            if cx.sys.files.exists(CRIO_POLICY) {
                podman.extend(["--signature-policy", CRIO_POLICY]);
            }
            // It unpacks in a mount namespace.
            run_in_own_unit(&[], &podman, IMPORT)
        }
    };
    cx.sys.commands.run(cmd).await.map(drop)
}

/// Neither runtime syncs what it has unpacked: after a power cut an image's programs would be empty.
pub async fn sync_store(cx: &Context) -> Result<()> {
    let store = match cx.node.kubernetes.cri {
        Cri::Containerd => "/var/lib/containerd",
        Cri::Crio => "/var/lib/containers",
    };
    durable::sync_file_system(&cx.sys.files, store).await
}

async fn run_crictl(cx: &Context, args: &[&str], deadline: Duration) -> Result<String> {
    let endpoint = ["--runtime-endpoint", cx.node.kubernetes.cri.socket()];
    let limit = format!("{}s", deadline.as_secs());
    let args = [&endpoint[..], &["--timeout", &limit], args].concat();
    let out = cx.sys.commands.run(Cmd::new("crictl", &args, deadline));
    Ok(out.await?.stdout)
}

/// CRI's ListImagesResponse as JSON.
fn image_tags(list: &str) -> Result<Vec<String>> {
    let list: Value = serde_json::from_str(list)?;
    let images = list["images"].as_array().into_iter().flatten();
    let tags = images.filter_map(|image| image["repoTags"].as_array());
    Ok(tags
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect())
}
