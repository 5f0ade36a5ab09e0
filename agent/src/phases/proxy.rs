//! A proxy that is set for the whole machine (systemd's DefaultEnvironment, say) is never asked for what lies in the cluster.
//! It is kept all the same: kubeadm hands its environment to the static pods, and an apiserver may need it for webhooks and
//! identity providers outside. The proxy of the cluster file is for what the agent's programs and hooks fetch.

use std::time::Duration;

use anyhow::Result;
use ha_wire::proxy;
use tracing::info;

use crate::context::Context;
use crate::sys::Cmd;

/// The kubelet is started by systemd, from whom it has the same environment.
const KUBELET_DROP_IN: &str = "/etc/systemd/system/kubelet.service.d/30-ha-agent-no-proxy.conf";
/// What kubeadm hands on unless it is empty, in small letters as in capital ones.
const VARIABLES: [&str; 8] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// The command, which asks no proxy for what lies in the cluster.
pub fn bypass_proxy(cx: &Context, mut cmd: Cmd) -> Cmd {
    if let Some(list) = proxy_exceptions(cx) {
        cmd.env.push(("no_proxy".to_owned(), list.clone()));
        cmd.env.push(("NO_PROXY".to_owned(), list));
    }
    cmd
}

/// kubeadm, which hands what it has to the static pods. The proxy of the cluster file is not theirs: it may hold a password, and
/// the API shows their manifests. kubeadm fetches nothing: versions are exact, images are the runtime's.
pub fn kubeadm_command(cx: &Context, args: &[&str], deadline: Duration) -> Cmd {
    let mut cmd = Cmd::new("kubeadm", args, deadline);
    let proxy = cx.sys.proxy.as_ref();
    if proxy.is_some_and(|proxy| proxy.is_for_fetching) {
        let empty = VARIABLES.map(|name| (name.to_owned(), String::new()));
        cmd.env.extend(empty);
        return cmd;
    }
    bypass_proxy(cx, cmd)
}

/// The same for the kubelet's unit, before it is started.
pub async fn let_kubelet_bypass_proxy(cx: &Context) -> Result<()> {
    let Some(list) = proxy_exceptions(cx) else {
        return Ok(());
    };
    let comment =
        "Written by ha-agent: the machine's proxy is not asked for what lies in the cluster.";
    let text = proxy::drop_in(comment, &[("NO_PROXY", &list)]);
    if cx
        .sys
        .files
        .write(KUBELET_DROP_IN, 0o644, text.as_bytes())?
    {
        info!("a proxy is set: the kubelet asks it for nothing in the cluster");
        cx.sys.systemd.daemon_reload().await?;
    }
    Ok(())
}

fn proxy_exceptions(cx: &Context) -> Option<String> {
    let known = &cx.sys.proxy.as_ref()?.exceptions;
    Some(proxy::exceptions(known.split(','), &cx.node))
}

#[cfg(test)]
mod tests;
