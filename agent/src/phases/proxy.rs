//! A proxy that is set for the whole machine (systemd's DefaultEnvironment, say) is never asked for what lies in the cluster.
//! It is kept all the same: kubeadm hands its environment to the static pods, and an apiserver may need it for webhooks and
//! identity providers outside.

use std::net::IpAddr;

use anyhow::Result;
use ha_wire::node::NodeFile;
use ipnet::IpNet;
use serde_json::Value;
use tracing::info;

use crate::context::Context;
use crate::sys::Cmd;

/// The kubelet is started by systemd, from whom it has the same environment.
const KUBELET_DROP_IN: &str = "/etc/systemd/system/kubelet.service.d/30-ha-agent-no-proxy.conf";
const DEFAULT_DOMAIN: &str = "cluster.local";

/// The command, which asks no proxy for what lies in the cluster.
pub fn past_proxy(cx: &Context, mut cmd: Cmd) -> Cmd {
    if let Some(list) = exceptions(cx) {
        cmd.env.push(("no_proxy".to_owned(), list.clone()));
        cmd.env.push(("NO_PROXY".to_owned(), list));
    }
    cmd
}

/// The same for the kubelet's unit, before it is started.
pub async fn lead_kubelet_past_proxy(cx: &Context) -> Result<()> {
    let Some(list) = exceptions(cx) else {
        return Ok(());
    };
    if cx
        .sys
        .files
        .write(KUBELET_DROP_IN, 0o644, drop_in(&list).as_bytes())?
    {
        info!("a proxy is set for this machine: the kubelet asks it for nothing in the cluster");
        cx.sys.systemd.daemon_reload().await?;
    }
    Ok(())
}

fn drop_in(list: &str) -> String {
    let value = list.replace('\\', "\\\\").replace('"', "\\\"");
    let value = value.replace('%', "%%");
    format!(
        "# Written by ha-agent: the machine's proxy is not asked for what lies in the cluster.\n[Service]\n\
         Environment=\"NO_PROXY={value}\" \"no_proxy={value}\"\n"
    )
}

fn exceptions(cx: &Context) -> Option<String> {
    let known = cx.sys.no_proxy.as_ref()?;
    Some(extended(known, &cx.node))
}

/// What is excepted already, and then the cluster: the nodes' network, the VIP, every control plane, pods, services, and
/// their names.
fn extended(known: &str, node: &NodeFile) -> String {
    let kubernetes = &node.kubernetes;
    let domain = kubernetes.cluster_configuration.get("networking");
    let domain = domain.and_then(|n| n.get("dnsDomain"));
    let domain = domain.and_then(Value::as_str).unwrap_or(DEFAULT_DOMAIN);
    let mut all: Vec<String> = known.split(',').map(|one| one.trim().to_owned()).collect();
    all.extend(["localhost", "127.0.0.0/8", "::1"].map(str::to_owned));
    all.extend(node_network(node.address, node.prefix));
    all.push(node.endpoint.vip.to_string());
    all.extend(node.control_planes.iter().map(|p| p.address.to_string()));
    all.extend([kubernetes.pod_cidr, kubernetes.service_cidr].map(|net| net.to_string()));
    all.extend([".svc".to_owned(), format!(".{domain}")]);
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|one| !one.is_empty() && seen.insert(one.clone()));
    all.join(",")
}

fn node_network(address: IpAddr, prefix: u8) -> Option<String> {
    let network = IpNet::new(address, prefix).ok()?;
    Some(network.trunc().to_string())
}

#[cfg(test)]
mod tests;
