//! kubeadm makes one certificate anew. It writes in place and syncs nothing (`os.WriteFile`: the key first), so what it wrote is
//! synced here, and what a cut left half-written is found by its condition and made again.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ha_kube::{Client, kubeadm_config};
use tracing::info;

use super::Urgency;
use super::ends::{Condition, Renewable};
use crate::context::Context;
use crate::phases::kubeadm;
use crate::phases::proxy::kubeadm_command;
use crate::render::kubeadm::renewal_config;

/// Nothing is asked and nothing is downloaded: it signs one certificate. An emulated processor takes half a minute.
const DEADLINE: Duration = Duration::from_secs(120);
/// Where the configuration lies while kubeadm runs.
const CONFIG: &str = "/run/ha-agent/kubeadm.yaml.renewal";
/// kubeadm's own configuration in the cluster: it alone knows what `kubeadm upgrade` and people changed since.
const CONFIG_MAP: (&str, &str) = (kubeadm_config::NAME, "ClusterConfiguration");

/// The configuration that decides about validity and keys. kubeadm would read the cluster's by itself, but fall back to its
/// defaults without an error.
pub async fn current_renewal_config(
    cx: &Context,
    client: &Client,
    urgency: Urgency,
) -> Result<String> {
    let (name, key) = CONFIG_MAP;
    match client.config_map(name).await {
        Ok(map) => {
            let known = map.data.get(key);
            let known = known.with_context(|| format!("ConfigMap {name} has no {key}"))?;
            Ok(renewal_config(&cx.node, Some(known)))
        }
        Err(error) if urgency == Urgency::Ended => {
            info!("ConfigMap {name}: {error}: the node file's configuration is used");
            let node = kubeadm::node_for_own_kubeadm(cx).await;
            Ok(renewal_config(&node, None))
        }
        Err(error) => Err(error).with_context(|| format!("ConfigMap {name}")),
    }
}

/// Makes it anew, with another key; what it is for stays as it is.
pub async fn renew_certificate(cx: &Context, certificate: &Renewable, config: &str) -> Result<()> {
    let (files, name) = (&cx.sys.files, certificate.name);
    let before = certificate.condition(files)?;
    let args = match before {
        Condition::Sound(_) | Condition::OtherKey(_) => vec!["certs", "renew", name],
        Condition::Foreign => return Ok(()),
        Condition::Absent | Condition::Unreadable => {
            // kubeadm renews only what it can read, and makes only what is not there.
            for file in certificate.files() {
                files.wipe(&file)?;
            }
            let [phase, part] = certificate.phase();
            vec!["init", "phase", phase, part]
        }
    };
    run_kubeadm_with_config(cx, &args, config).await?;
    sync_to_disk(cx, certificate)?;
    let after = certificate.condition(files)?;
    match (before, after) {
        (Condition::Sound(b), Condition::Sound(a)) if a == b => {
            bail!("kubeadm ended well and left {name} as it was")
        }
        (_, Condition::Sound(_)) => {
            info!("{name} is renewed");
            Ok(())
        }
        _ => bail!("kubeadm ended well, but {name} cannot be used: {after:?}"),
    }
}

async fn run_kubeadm_with_config(cx: &Context, args: &[&str], config: &str) -> Result<()> {
    let files = &cx.sys.files;
    files.write(CONFIG, 0o600, config.as_bytes())?;
    let path = files.path(CONFIG);
    let path = path.to_string_lossy();
    let all = [args, &["--config", &path]].concat();
    let ended = cx
        .sys
        .commands
        .run(kubeadm_command(cx, &all, DEADLINE))
        .await;
    files.wipe(CONFIG)?;
    ended.map(drop)
}

fn sync_to_disk(cx: &Context, certificate: &Renewable) -> Result<()> {
    for file in certificate.files() {
        let what = || format!("cannot sync {file}");
        cx.sys.files.open(&file)?.sync_all().with_context(what)?;
        let dir = file.rsplit_once('/').map_or("/", |(dir, _)| dir);
        cx.sys.files.open(dir)?.sync_all().with_context(what)?;
    }
    Ok(())
}
