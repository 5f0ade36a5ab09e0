//! Cilium by its own CLI: `install` the first time, `upgrade` when a release exists.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ha_wire::paths::CILIUM_VALUES;
use ha_wire::phase::Phase;
use serde_json::{Map, Value};
use tracing::warn;

use crate::context::Context;
use crate::kube::client::Client;
use crate::kube::{self, ADMIN_CONF};
use crate::phases::ConfigFile;
use crate::render;
use crate::sys::Cmd;

/// `install` returns in two seconds with an embedded chart; another chart comes over the network.
const DEADLINE: Duration = Duration::from_secs(180);
/// As `--wait-duration` below, and some more.
const WATCH_DEADLINE: Duration = Duration::from_secs(330);
const HELM_TYPE: &str = "helm.sh/release.v1";
const HELM_PREFIX: &str = "sh.helm.release.v1.cilium.v";

/// What Helm knows of Cilium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// Its objects are in the cluster.
    Deployed,
    /// An installer died at work; Helm then refuses everything until this Secret is gone.
    Stuck { secret: String },
    /// It failed; an upgrade mends it.
    Failed,
}

/// Helm's newest word on Cilium; none: never installed.
pub async fn installed_release(client: &Client) -> Result<Option<Release>> {
    let secrets = client.secrets_of_type(HELM_TYPE).await?;
    let newest = secrets
        .into_iter()
        .filter_map(|s| Some((s.name.strip_prefix(HELM_PREFIX)?.parse::<u32>().ok()?, s)))
        .max_by_key(|(version, _)| *version);
    Ok(newest.map(|(_, secret)| {
        classify_release(
            secret.name,
            secret.labels.get("status").map_or("", String::as_str),
        )
    }))
}

fn classify_release(secret: String, status: &str) -> Release {
    match status {
        "deployed" | "superseded" => Release::Deployed,
        "pending-install" | "pending-upgrade" | "pending-rollback" | "uninstalling" => {
            Release::Stuck { secret }
        }
        _ => Release::Failed,
    }
}

/// The values that Cilium is installed with.
pub fn values_file(cx: &Context, users: &Map<String, Value>) -> ConfigFile {
    ConfigFile::new(
        CILIUM_VALUES,
        render::cilium::render_values(&cx.node, users),
    )
}

/// Brings Cilium to this version with these values; changes nothing if it is there.
pub async fn ensure_installed(
    cx: &Context,
    version: &str,
    users: &Map<String, Value>,
) -> Result<()> {
    let values = values_file(cx, users);
    cx.sys
        .files
        .write(&values.name, 0o600, values.text.as_bytes())?;
    let client = kube::as_admin(cx)?;
    let mut release = installed_release(&client).await?;
    if let Some(Release::Stuck { secret }) = &release {
        warn!(
            "an installation of Cilium was interrupted: deleting its stuck Helm release {secret}"
        );
        client.delete_secret(secret).await?;
        release = installed_release(&client).await?;
    }
    if release.is_some() {
        return upgrade_release(cx, version).await;
    }
    let Err(error) = run_cilium(cx, "install", version).await else {
        return Ok(());
    };
    // Whatever the CLI says of it: a release that is there now is mended or confirmed by an upgrade.
    match installed_release(&client).await {
        Ok(Some(Release::Deployed | Release::Failed)) => upgrade_release(cx, version).await,
        _ => Err(error).context("cilium install"),
    }
}

async fn upgrade_release(cx: &Context, version: &str) -> Result<()> {
    run_cilium(cx, "upgrade", version)
        .await
        .context("cilium upgrade")
}

async fn run_cilium(cx: &Context, verb: &str, version: &str) -> Result<()> {
    let values = cx.sys.files.path(CILIUM_VALUES);
    let args = [
        verb,
        "--version",
        version,
        "--values",
        &values.to_string_lossy(),
    ];
    let told = |line: &str| {
        cx.report
            .waiting(Phase::Network, &format!("cilium {verb}"), line)
    };
    cx.sys
        .commands
        .run_watched(with_admin(cx, Cmd::new("cilium", &args, DEADLINE)), &told)
        .await?;
    cx.report
        .update_status(|status| status.network = format!("cilium {version} installed"));
    Ok(())
}

/// Shows what Cilium says about itself until somebody stops listening.
pub async fn show_progress(cx: &Context) {
    let args = [
        "status",
        "--wait",
        "--wait-duration",
        "5m",
        "--interactive=false",
    ];
    let told = |line: &str| {
        let line = line.trim();
        if line.contains(':') {
            cx.report
                .update_status(|status| status.network = format!("cilium: {line}"));
        }
    };
    if let Err(error) = cx
        .sys
        .commands
        .run_watched(
            with_admin(cx, Cmd::new("cilium", &args, WATCH_DEADLINE)),
            &told,
        )
        .await
    {
        warn!("cilium status: {error:#}");
    }
}

fn with_admin(cx: &Context, mut cmd: Cmd) -> Cmd {
    cmd.env.push((
        "KUBECONFIG".into(),
        cx.sys.files.path(ADMIN_CONF).to_string_lossy().into_owned(),
    ));
    cmd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helms_words_are_sorted() {
        let stuck = Release::Stuck { secret: "s".into() };
        for (status, expected) in [
            ("deployed", Release::Deployed),
            ("pending-install", stuck.clone()),
            ("pending-upgrade", stuck),
            ("failed", Release::Failed),
            ("", Release::Failed),
        ] {
            assert_eq!(classify_release("s".into(), status), expected, "{status}");
        }
    }
}
