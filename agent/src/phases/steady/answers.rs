//! How what every pod of this node lives on answers this node: the API's service address, cluster DNS, the container runtime.
//! One small question each, as a pod or the kubelet would ask it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};
use ha_kube::APISERVER_NAME;
use ha_kube::handshake::HandshakeProbe;
use ha_kube::kubeconfig::parse_yaml;
use ha_wire::settings::Cni;
use ha_wire::status::{Answer, PodsAnswer};
use serde_json::Value;

use crate::context::Context;
use crate::kube::{KUBELET_CONFIG, cluster_ca};
use crate::render::kubeadm::EffectiveSettings;
use crate::sys::{cri, dns};

/// What answered over the network is asked again at one look in this many; what did not, at each.
const ASKED_EVERY: u32 = 3;
/// The API's service is reached at this port.
const SERVICE_PORT: u16 = 443;

/// Asks at each steady look, and keeps nothing but whom to ask.
#[derive(Debug)]
pub struct AnswersWatch<'a> {
    cx: &'a Context,
    has_dns: bool,
    probe: Option<HandshakeProbe>,
    looks: u32,
}

impl<'a> AnswersWatch<'a> {
    /// Nothing is asked yet.
    pub fn begin(cx: &'a Context) -> Self {
        Self {
            cx,
            has_dns: EffectiveSettings::new(&cx.node).has_dns,
            probe: None,
            looks: 0,
        }
    }

    /// One look; the answers go into the status.
    pub async fn observe(&mut self) {
        let due = self.looks.is_multiple_of(ASKED_EVERY);
        self.looks = self.looks.wrapping_add(1);
        let known = self.cx.report.read_status(|s| {
            let in_pods = s.dns_in_pods.as_ref().map(|p| p.answer.clone());
            let [service, dns, runtime] = [&s.service, &s.dns, &s.runtime].map(Clone::clone);
            ([service, dns, in_pods, runtime], s.node_ready)
        });
        let ([service, dns, dns_in_pods, runtime], is_ready) = known;
        let is_due =
            |known: &Option<Answer>| due || known.as_ref().is_some_and(|a| !a.error.is_empty());
        // Where nobody was asked for a pod network there may be none yet, and services and DNS live on it.
        let has_network = self.cx.node.cni != Cni::None || is_ready == Some(true);
        // A question over a socket of this machine: at each look.
        let asked = self.ask_runtime().await;
        let answer = next_answer(runtime, &asked, self.cx.sys.clock.now_ms());
        self.cx.report.update_status(|s| s.runtime = Some(answer));
        if has_network && is_due(&service) {
            let asked = self.ask_service().await;
            let answer = next_answer(service, &asked, self.cx.sys.clock.now_ms());
            self.cx.report.update_status(|s| s.service = Some(answer));
        }
        if has_network && self.has_dns && is_due(&dns) {
            let asked = self.ask_dns().await;
            let answer = next_answer(dns, &asked, self.cx.sys.clock.now_ms());
            self.cx.report.update_status(|s| s.dns = Some(answer));
        }
        if has_network && self.has_dns && is_due(&dns_in_pods) {
            let asked = self.ask_dns_in_pods().await;
            let answer = asked.map(|(command, asked)| PodsAnswer {
                answer: next_answer(dns_in_pods, &asked, self.cx.sys.clock.now_ms()),
                command,
            });
            self.cx.report.update_status(|s| s.dns_in_pods = answer);
        }
    }

    async fn ask_runtime(&self) -> Result<()> {
        let path = self.cx.node.kubernetes.cri.socket_path();
        let answer = cri::ask_version(&self.cx.sys.files.path(path)).await;
        answer.into_result()
    }

    /// Whoever serves it here: kube-proxy's tables or what replaces them. A handshake alone, for an apiserver has more to do.
    async fn ask_service(&mut self) -> Result<()> {
        let first = first_host(self.cx.node.kubernetes.service_cidr.network());
        let probe = match &self.probe {
            Some(probe) => probe,
            None => {
                let made = HandshakeProbe::new(&cluster_ca(self.cx)?, APISERVER_NAME)?;
                self.probe.insert(made)
            }
        };
        let address = SocketAddr::new(first, SERVICE_PORT);
        let shaken = probe.shake_hands(address).await;
        shaken
            .map(drop)
            .map_err(|kind| anyhow::anyhow!("{address}: {kind}"))
    }

    async fn ask_dns(&self) -> Result<()> {
        let (server, name) = self.pods_question()?;
        dns::resolve_at(server, &name).await
    }

    /// With the command that asks it again. None: nobody could be asked for.
    async fn ask_dns_in_pods(&self) -> Option<(String, Result<()>)> {
        let (server, name) = self.pods_question().ok()?;
        let files = &self.cx.sys.files;
        let (network, asked) = dns::resolve_for_pods(files, server, &name).await?;
        let network = network.display();
        Some((
            format!("nsenter --net={network} nslookup {name} {server}"),
            asked,
        ))
    }

    /// A name of the cluster, and who resolves it for pods.
    fn pods_question(&self) -> Result<(IpAddr, String)> {
        let text = self.cx.sys.files.read(KUBELET_CONFIG)?.unwrap_or_default();
        let (server, domain) = pods_resolver(&text)
            .with_context(|| format!("{KUBELET_CONFIG} tells pods of no name server"))?;
        Ok((server, format!("kubernetes.default.svc.{domain}")))
    }
}

/// The address after the network's own.
fn first_host(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) + 1).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) + 1).into()),
    }
}

/// What the kubelet writes into pods: the first name server, and the cluster's domain.
pub fn pods_resolver(kubelet_config: &str) -> Option<(IpAddr, String)> {
    let config = parse_yaml(kubelet_config).ok()?;
    let server = config.pointer("/clusterDNS/0").and_then(Value::as_str)?;
    let domain = config.get("clusterDomain").and_then(Value::as_str);
    Some((
        server.parse().ok()?,
        domain.unwrap_or("cluster.local").to_owned(),
    ))
}

/// Since when: as long as it answers, or does not.
fn next_answer(before: Option<Answer>, asked: &Result<()>, now_ms: u64) -> Answer {
    let error = asked
        .as_ref()
        .err()
        .map_or_else(String::new, |e| format!("{e:#}"));
    let same = before.filter(|b| b.error.is_empty() == error.is_empty());
    Answer {
        at_ms: now_ms,
        since_ms: same.map_or(now_ms, |b| b.since_ms),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_ask_whom_the_kubelet_tells_them() {
        let told = |text: &str| pods_resolver(text).map(|(ip, domain)| format!("{ip} {domain}"));
        let config =
            "kind: KubeletConfiguration\nclusterDNS:\n- 10.96.0.10\nclusterDomain: demo.local\n";
        assert_eq!(told(config).as_deref(), Some("10.96.0.10 demo.local"));
        let cached = "clusterDNS: [169.254.20.10, 10.96.0.10]\n";
        assert_eq!(told(cached).as_deref(), Some("169.254.20.10 cluster.local"));
        for none in ["", "clusterDNS: []", "clusterDNS: [nobody]", "["] {
            assert_eq!(told(none), None, "{none:?}");
        }
    }

    #[test]
    fn an_answer_is_as_old_as_its_kind() {
        let silent = |why: &str| Err(anyhow::anyhow!("{why}"));
        let first = next_answer(None, &silent("refused"), 1);
        assert_eq!((first.since_ms, first.error.as_str()), (1, "refused"));
        let second = next_answer(Some(first), &silent("timed out"), 2);
        assert_eq!(
            (second.at_ms, second.since_ms, second.error.as_str()),
            (2, 1, "timed out")
        );
        let third = next_answer(Some(second), &Ok(()), 3);
        assert_eq!((third.since_ms, third.error.as_str()), (3, ""));
        assert_eq!(next_answer(Some(third), &Ok(()), 4).since_ms, 3);
    }
}
