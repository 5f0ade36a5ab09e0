//! `cni: {manifests: [...]}` by server-side apply with the node's own kubectl.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ha_wire::paths::MANIFESTS_DIR;
use ha_wire::phase::Phase;

use super::as_admin::with_admin;
use crate::backoff::spread_pause;
use crate::context::Context;
use crate::kube;
use crate::sys::Cmd;
use crate::sys::random::random_fraction;

/// A manifest of a few hundred objects over a busy API.
const DEADLINE: Duration = Duration::from_secs(120);
/// Custom resources wait for their definitions: the whole is applied this often before the attempt counts as failed.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// Applies all sources in order, again and again until each object is there.
pub async fn apply_all(cx: &Context, sources: &[String]) -> Result<()> {
    for source in sources {
        let mut tried = 1;
        while let Err(error) = apply_manifest(cx, source).await {
            let answers = kube::as_admin(cx)?.ready().await;
            // kubectl that found no API is no failure of the manifest.
            if !answers.is_err_and(|e| e.is_unanswered()) {
                if tried == TRIES {
                    return Err(error).with_context(|| format!("pod network: {source}"));
                }
                tried += 1;
            }
            cx.report.waiting(
                Phase::Network,
                &format!("{source} to be applied"),
                &format!("{error:#}"),
            );
            let pause = spread_pause(PAUSE, random_fraction());
            cx.sys.clock.sleep(pause).await;
        }
    }
    cx.report
        .update_status(|status| status.network = "manifests applied".into());
    Ok(())
}

/// Whether every object of every source is in the cluster.
pub async fn are_there(cx: &Context, sources: &[String]) -> bool {
    for source in sources {
        let file = manifest_file(cx, source);
        let args = ["get", "--filename", &file, "--output", "name"];
        if cx
            .sys
            .commands
            .run(with_admin(cx, Cmd::new("kubectl", &args, DEADLINE)))
            .await
            .is_err()
        {
            return false;
        }
    }
    true
}

async fn apply_manifest(cx: &Context, source: &str) -> Result<()> {
    let file = manifest_file(cx, source);
    let args = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=ha-agent",
        "--filename",
        &file,
    ];
    cx.sys
        .commands
        .run(with_admin(cx, Cmd::new("kubectl", &args, DEADLINE)))
        .await
        .map(drop)
}

/// A URL stays one, a name is a file that Ignition brought.
fn manifest_file(cx: &Context, source: &str) -> String {
    if ha_wire::settings::is_url(source) {
        return source.to_owned();
    }
    cx.sys
        .files
        .path(format!("{MANIFESTS_DIR}/{source}"))
        .to_string_lossy()
        .into_owned()
}
