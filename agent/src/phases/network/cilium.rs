//! Cilium by its own CLI: `install`, once in a cluster's life. `upgrade` is its owner's.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ha_kube::objects::Metadata;
use ha_wire::paths::CILIUM_VALUES;
use ha_wire::phase::Phase;
use serde_json::{Map, Value};
use tracing::warn;

use super::verdict::Presence;
use crate::context::Context;
use crate::kube::ADMIN_CONF;
use crate::kube::client::Client;
use crate::phases::ConfigFile;
use crate::phases::proxy::past_proxy;
use crate::render;
use crate::sys::Cmd;

/// `install` returns in two seconds with an embedded chart; another chart comes over the network.
const DEADLINE: Duration = Duration::from_secs(180);
/// As `--wait-duration` below, and some more.
const WATCH_DEADLINE: Duration = Duration::from_secs(330);
const DAEMON_SET: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/cilium";
const HELM_TYPE: &str = "helm.sh/release.v1";
const HELM_PREFIX: &str = "sh.helm.release.v1.cilium.v";

/// Helm's newest word on Cilium.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Release {
    /// The Secret that holds it.
    secret: String,
    /// Counted from 1 by each install and upgrade.
    revision: u32,
    /// E.g. `deployed`.
    status: String,
}

/// What there is of Cilium in the cluster.
pub async fn presence(client: &Client) -> Result<Presence> {
    let release = newest_release(client).await?;
    let has_pods = client.exists(DAEMON_SET).await?;
    Ok(presence_of(release, has_pods))
}

async fn newest_release(client: &Client) -> Result<Option<Release>> {
    let secrets = client.secrets_of_type(HELM_TYPE).await?;
    let release = |secret: Metadata| {
        let revision = secret.name.strip_prefix(HELM_PREFIX)?.parse().ok()?;
        let status = secret.labels.get("status").cloned().unwrap_or_default();
        Some(Release {
            secret: secret.name,
            revision,
            status,
        })
    };
    let releases = secrets.into_iter().filter_map(release);
    Ok(releases.max_by_key(|r| r.revision))
}

fn presence_of(release: Option<Release>, has_pods: bool) -> Presence {
    let Some(release) = release else {
        let words = "there is a DaemonSet cilium, and no release of Helm's".to_owned();
        return match has_pods {
            true => Presence::CutOff {
                words,
                secret: None,
            },
            false => Presence::Missing,
        };
    };
    let (revision, status) = (release.revision, release.status.as_str());
    let words = format!("revision {revision} of Helm's release is {status}");
    match (revision, status) {
        (_, "deployed" | "superseded") => Presence::Whole,
        (1, "pending-install" | "failed") => Presence::CutOff {
            words,
            secret: Some(release.secret),
        },
        _ => Presence::Changed { words },
    }
}

/// The values that Cilium is installed with.
pub fn values_file(cx: &Context, users: &Map<String, Value>) -> ConfigFile {
    ConfigFile::new(
        CILIUM_VALUES,
        render::cilium::render_values(&cx.node, users),
    )
}

/// Installs Cilium in a cluster that has none. `leftover`: the release of an agent's attempt that was cut off. Helm takes
/// over the objects that it had made by then: they carry its name.
pub async fn install(
    cx: &Context,
    client: &Client,
    version: &str,
    users: &Map<String, Value>,
    leftover: Option<&str>,
) -> Result<()> {
    let values = values_file(cx, users);
    cx.sys
        .files
        .write(&values.name, 0o600, values.text.as_bytes())?;
    if let Some(secret) = leftover {
        warn!("an agent's installation of Cilium was cut off: deleting its Helm release {secret}");
        client.delete_secret(secret).await?;
    }
    if let Err(error) = run_install(cx, version).await {
        // Whatever the CLI says of it: what Helm calls deployed is.
        let release = newest_release(client).await.ok().flatten();
        if presence_of(release, true) != Presence::Whole {
            return Err(error).context("cilium install");
        }
        warn!("cilium install: {error:#}; its release is deployed nevertheless");
    }
    cx.report
        .update_status(|status| status.network = format!("cilium {version} installed"));
    Ok(())
}

async fn run_install(cx: &Context, version: &str) -> Result<()> {
    let values = cx.sys.files.path(CILIUM_VALUES);
    let values = values.to_string_lossy();
    let args = ["install", "--version", version, "--values", &values];
    let told = |line: &str| cx.report.waiting(Phase::Network, "cilium install", line);
    cx.sys
        .commands
        .run_watched(with_admin(cx, Cmd::new("cilium", &args, DEADLINE)), &told)
        .await
        .map(drop)
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
    past_proxy(cx, cmd)
}
