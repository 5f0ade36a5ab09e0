//! Cilium by its own CLI: `install`, once in a cluster's life. `upgrade` is its owner's.
//!
//! What came of it is asked of the cluster, never read in the CLI's words: those of Helm 3 are not those of Helm 4.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ha_kube::objects::Metadata;
use ha_wire::paths::CILIUM_VALUES;
use ha_wire::phase::Phase;
use serde_json::{Map, Value};
use tracing::warn;

use super::as_admin::with_admin;
use super::install_decision::NetworkPresence;
use super::once_api_answers;
use crate::context::Context;
use crate::kube::client::Client;
use crate::phases::ConfigFile;
use crate::render;
use crate::sys::Cmd;

/// `install` returns in two seconds with an embedded chart; another chart comes over the network.
const DEADLINE: Duration = Duration::from_secs(180);
/// It only lists what is compiled into the CLI.
const LIST_DEADLINE: Duration = Duration::from_secs(30);
const DAEMON_SET: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/cilium";
const HELM_TYPE: &str = "helm.sh/release.v1";
const HELM_PREFIX: &str = "sh.helm.release.v1.cilium.v";

pub mod chart;

/// The Cilium that is to be installed.
#[derive(Debug, Clone, Copy)]
pub struct WantedRelease<'a> {
    /// Of the chart that the CLI holds, or fetches.
    pub version: &'a str,
    /// A chart on this node, which counts instead.
    pub chart: Option<&'a str>,
    /// The user's Helm values.
    pub values: &'a Map<String, Value>,
}

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
pub async fn find_presence(client: &Client) -> Result<NetworkPresence> {
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

fn presence_of(release: Option<Release>, has_pods: bool) -> NetworkPresence {
    let Some(release) = release else {
        let reason = "there is a DaemonSet cilium, and no release of Helm's".to_owned();
        return match has_pods {
            true => NetworkPresence::CutOff {
                reason,
                secret: None,
            },
            false => NetworkPresence::Missing,
        };
    };
    let (revision, status) = (release.revision, release.status.as_str());
    let reason = format!("revision {revision} of Helm's release is {status}");
    match (revision, status) {
        (_, "deployed" | "superseded") => NetworkPresence::Whole,
        (1, "pending-install" | "failed") => NetworkPresence::CutOff {
            reason,
            secret: Some(release.secret),
        },
        _ => NetworkPresence::Changed { reason },
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
    wanted: WantedRelease<'_>,
    leftover: Option<&str>,
) -> Result<()> {
    let values = values_file(cx, wanted.values);
    cx.sys
        .files
        .write(&values.name, 0o600, values.text.as_bytes())?;
    let (option, source) = match wanted.chart {
        Some(archive) => ("--chart-directory", chart::unpack_chart(cx, archive).await?),
        None => ("--version", wanted.version.to_owned()),
    };
    if let Some(secret) = leftover {
        warn!("an agent's installation of Cilium was cut off: deleting its Helm release {secret}");
        client.delete_secret(secret).await?;
    }
    if let Err(error) = run_install(cx, [option, &source]).await {
        excuse_failure(cx, client, wanted, error)
            .await
            .context("cilium install")?;
    }
    let version = wanted.version;
    cx.report
        .update_status(|status| status.network = format!("cilium {version} installed"));
    Ok(())
}

/// Whatever the CLI says of it: what Helm calls deployed is.
async fn excuse_failure(
    cx: &Context,
    client: &Client,
    wanted: WantedRelease<'_>,
    error: anyhow::Error,
) -> Result<()> {
    // What ends an installer may be the very API that would say how far it came.
    let release = once_api_answers(cx, async || newest_release(client).await).await?;
    if release.is_none() {
        return Err(with_missing_chart(cx, wanted, error).await);
    }
    if presence_of(release, true) != NetworkPresence::Whole {
        return Err(error);
    }
    warn!("cilium install: {error:#}; its release is deployed nevertheless");
    Ok(())
}

async fn run_install(cx: &Context, source: [&str; 2]) -> Result<()> {
    let values = cx.sys.files.path(CILIUM_VALUES);
    let args = [
        "install",
        source[0],
        source[1],
        "--values",
        &values.to_string_lossy(),
    ];
    let told = |line: &str| cx.report.waiting(Phase::Network, "cilium install", line);
    cx.sys
        .commands
        .run_watched(with_admin(cx, Cmd::new("cilium", &args, DEADLINE)), &told)
        .await
        .map(drop)
}

/// The error with its cause and remedy, if the CLI has no such chart: it then asks the internet for it, from this node.
async fn with_missing_chart(
    cx: &Context,
    wanted: WantedRelease<'_>,
    error: anyhow::Error,
) -> anyhow::Error {
    if wanted.chart.is_some() {
        return error;
    }
    let list = Cmd::new("cilium", &["install", "--list-versions"], LIST_DEADLINE);
    let listed = cx.sys.commands.run(with_admin(cx, list)).await;
    let listed = listed.map_or_else(|_| String::new(), |output| output.stdout);
    let held = embedded_versions(&listed);
    match held.first() {
        Some(newest) if !held.contains(&wanted.version) => error.context(format!(
            "this cilium program holds no chart {} (its newest: {newest}) and cannot fetch it: bring the chart \
             (kubernetes.cni.cilium.chart), or a program that holds it (sysexts.cilium)",
            wanted.version
        )),
        _ => error,
    }
}

/// One a line, the newest first, e.g. `1.19.5 (default)`; older programs write `v1.14.2`.
fn embedded_versions(listed: &str) -> Vec<&str> {
    let first_words = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    first_words.map(|v| v.trim_start_matches('v')).collect()
}
