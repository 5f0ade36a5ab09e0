//! What the API and etcd say of the cluster's parts. What does not answer is left out: it is not known.

use std::collections::BTreeMap;

use ha_health::cluster::{
    ApiFacts, ClusterView, DaemonSetView, DnsPodView, DnsView, EtcdFacts, EtcdMemberFacts,
    ServiceName, ServingCertificate,
};
use ha_kube::etcd::{Alarm, MemberStatus};
use ha_kube::objects::{CertificateSigningRequest, DaemonSetOverview, Lease, Pod, Service};
use ha_kube::{ApiError, Client, kubeadm_config};
use ha_wire::status::EtcdAlarm;

use super::{Api, node_view};

/// Those who lead by a Lease in kube-system.
const LEADERS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

impl Api {
    /// Adds what goes beyond what a launch waits for. The API is asked through the VIP, or, if that does not answer, through the
    /// first apiserver that does.
    pub async fn add_facts(&self, view: &mut ClusterView) {
        let (api, etcd) = tokio::join!(self.api_facts(view), self.etcd_facts());
        view.etcd_facts = Some(etcd);
        if view.nodes.is_empty()
            && let Some(apiserver) = self.answering(view)
            && let Ok(nodes) = apiserver.nodes().await
        {
            view.nodes = nodes.iter().map(node_view).collect();
        }
        view.api = api;
    }

    fn answering(&self, view: &ClusterView) -> Option<&Client> {
        if view.vip.is_ok() {
            return Some(&self.vip);
        }
        let mut answering = view.apiservers.iter().filter(|(_, answer)| answer.is_ok());
        self.apiservers.get(answering.next()?.0)
    }

    async fn api_facts(&self, view: &ClusterView) -> Option<ApiFacts> {
        let client = self.answering(view)?;
        let through_vip = view.vip.is_ok();
        let (now, write, services, leases, kubelets, requests, dns, daemons, kubeadm) = tokio::join!(
            client.now_ms(),
            async { through_vip.then_some(self.vip.try_write().await) },
            async { (!through_vip).then_some(client.services().await) },
            leader_leases(client),
            client.node_leases(),
            client.serving_requests(),
            dns_view(client),
            client.daemon_sets(),
            client.config_map(kubeadm_config::NAME),
        );
        let services = services.and_then(Result::ok).unwrap_or_default();
        Some(ApiFacts {
            now_ms: now.ok().flatten(),
            write: write.map(|w| w.map_err(|e| e.kind.to_string())),
            services_on_vip: self.services_on_vip(&services),
            leases,
            kubelet_leases: renewals_by_name(kubelets.unwrap_or_default()),
            serving_certificates: newest_unsigned(requests.unwrap_or_default()),
            dns,
            node_daemons: daemons.ok().map(node_daemons),
            kubernetes_version: kubeadm
                .ok()
                .and_then(|config| kubeadm_config::kubernetes_version(&config)),
        })
    }

    fn services_on_vip(&self, services: &[Service]) -> Vec<ServiceName> {
        let vip = self.cluster.endpoint.vip;
        let claiming = services.iter().filter(|s| s.claims(vip));
        let name = |s: &Service| ServiceName {
            namespace: s.metadata.namespace.clone(),
            name: s.metadata.name.clone(),
        };
        claiming.map(name).collect()
    }

    /// Every member by itself; the alarms of the first that answers, which are those of all.
    async fn etcd_facts(&self) -> EtcdFacts {
        let mut asked = tokio::task::JoinSet::new();
        for (name, member) in self.etcd_members.clone() {
            asked.spawn(async move { (name, member.status().await) });
        }
        let (answers, alarms) = tokio::join!(asked.join_all(), self.etcd.alarms());
        let answers = answers.into_iter();
        let answered: BTreeMap<String, MemberStatus> = answers
            .filter_map(|(name, status)| Some((name, status.ok()?)))
            .collect();
        let name_of = |id: &str| {
            let known = answered.iter().find(|(_, status)| status.id == id);
            known.map_or_else(|| format!("member {id}"), |(name, _)| name.clone())
        };
        let facts = |status: &MemberStatus| EtcdMemberFacts {
            leader: match status.knows_leader() {
                true => name_of(&status.leader),
                false => String::new(),
            },
            database_bytes: status.database_bytes,
            quota_bytes: status.quota_bytes,
        };
        let alarm = |alarm: Alarm| EtcdAlarm::new(&alarm.kind, name_of(&alarm.member));
        let members = answered.iter().map(|(n, s)| (n.clone(), facts(s)));
        EtcdFacts {
            members: members.collect(),
            alarms: alarms.unwrap_or_default().into_iter().map(alarm).collect(),
        }
    }
}

/// A Lease that could not be asked for is left out; one that is not there is none.
async fn leader_leases(client: &Client) -> BTreeMap<String, Option<u64>> {
    let [manager, scheduler] = LEADERS.map(|name| client.lease(name));
    let (manager, scheduler) = tokio::join!(manager, scheduler);
    let known = LEADERS.into_iter().zip([manager, scheduler]);
    let renewed = |lease: Option<Lease>| lease.map(|l| l.renewed_ms());
    known
        .filter_map(|(name, lease)| match renewed(lease.ok()?) {
            // Renewed at a time that cannot be read: not known.
            Some(None) => None,
            Some(renewed) => Some((name.to_owned(), renewed)),
            None => Some((name.to_owned(), None)),
        })
        .collect()
}

fn renewals_by_name(leases: Vec<Lease>) -> BTreeMap<String, u64> {
    let renewal = |lease: Lease| Some((lease.metadata.name.clone(), lease.renewed_ms()?));
    leases.into_iter().filter_map(renewal).collect()
}

/// A kubelet that starts again asks again: its last request counts.
fn newest_unsigned(requests: Vec<CertificateSigningRequest>) -> Vec<ServingCertificate> {
    let mut newest: BTreeMap<String, (u64, CertificateSigningRequest)> = BTreeMap::new();
    for request in requests {
        if let (Some(node), Some(made)) = (request.node(), request.metadata.made_ms()) {
            let known = newest.get(node).map_or(0, |(made, _)| *made);
            if made >= known {
                newest.insert(node.to_owned(), (made, request));
            }
        }
    }
    let unsigned = newest.into_iter().filter(|(_, (_, r))| !r.is_signed());
    let waiting = |(node, (made_ms, request)): (String, (u64, CertificateSigningRequest))| {
        ServingCertificate {
            node,
            state: request.state(),
            request: request.metadata.name,
            made_ms,
        }
    };
    unsigned.map(waiting).collect()
}

async fn dns_view(client: &Client) -> Option<DnsView> {
    let deployment = client.deployment("coredns").await.ok()??;
    let pods = client.dns_pods().await.ok()?;
    let mut view = DnsView {
        wanted: deployment.spec.replicas,
        made_ms: deployment.metadata.made_ms(),
        pods: pods.iter().map(dns_pod).collect(),
    };
    if !view.pods.iter().any(|pod| pod.ready) {
        add_last_words(client, &mut view).await;
    }
    Some(view)
}

fn dns_pod(pod: &Pod) -> DnsPodView {
    DnsPodView {
        name: pod.metadata.name.clone(),
        node: pod.spec.node_name.clone(),
        ready: pod.is_ready(),
        scheduled_ms: pod.scheduled_at_ms(),
        trouble: pod.trouble(),
    }
}

/// CoreDNS says why it ends in its log alone.
async fn add_last_words(client: &Client, view: &mut DnsView) {
    let Some(pod) = view.pods.first_mut() else {
        return;
    };
    let words: Result<String, ApiError> = client.last_words(&pod.name).await;
    let words = words.unwrap_or_default();
    if !words.is_empty() {
        let known = std::mem::take(&mut pod.trouble);
        pod.trouble = match known.is_empty() {
            true => words,
            false => format!("{known}: {words}"),
        };
    }
}

fn node_daemons(all: Vec<DaemonSetOverview>) -> Vec<DaemonSetView> {
    let critical = all.into_iter().filter(DaemonSetOverview::is_node_critical);
    let view = |d: DaemonSetOverview| DaemonSetView {
        namespace: d.metadata.namespace,
        name: d.metadata.name,
        wanted: d.status.desired_number_scheduled,
        ready: d.status.number_ready,
    };
    critical.map(view).collect()
}

#[cfg(test)]
mod tests;
