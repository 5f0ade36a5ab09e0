//! What a node's own word shows to be wrong with it.
//!
//! No finding holds a time that runs: the agent keeps these very words in its status, and whoever judges that again must find
//! them to be the same.

use std::net::SocketAddr;

use ha_wire::paths;
use ha_wire::phase::{Phase, Role};
use ha_wire::status::{Answer, Backend, EtcdAlarm, EtcdStatus, Status};

use crate::finding::{Finding, Part};

/// The agent writes its status at least every ten seconds, whatever happens: one that is older says nothing of now.
pub const OLD_AFTER_MS: u64 = 30_000;
/// A restart of every apiserver takes haproxy's checks down for less, and one apiserver behind the service address that dies is
/// taken out of it within half of this.
const UNANSWERED_MS: u64 = 30_000;
/// A restart of the runtime takes less, and two looks in a row are further apart.
const SILENT_RUNTIME_MS: u64 = 5000;
/// etcd refuses every write from its quota on, and a compaction takes minutes to be noticed by anybody.
const FULL_PERCENT: u64 = 80;
/// A node that takes the VIP so often within [`MOVES_WITHIN_MS`] does not do so because others die.
const MANY_MOVES: usize = 5;
const MOVES_WITHIN_MS: u64 = 300_000;
/// etcd's own alert (contrib/mixin, etcdHighNumberOfLeaderChanges) is raised at so many changes of the leader within a quarter of
/// an hour. An orderly reboot of three control planes makes three at most.
const MANY_ELECTIONS: usize = 4;
const ELECTIONS_WITHIN_MS: u64 = 15 * 60_000;
/// Why pods are not answered where their node is, and the remedy.
pub(crate) const STOPS_PODS: &str = "a firewall rule in a forward hook stops them (nft list ruleset there), the pod network of that node \
     (restart its pod), or a NetworkPolicy: let UDP port 53 pass";
/// haproxy's word for an apiserver that knows no anonymous requests.
const UNAUTHORIZED: &str = "L7STS/401";

/// What is wrong with a node by its own word, the worst first. `now_ms`: the reader's clock, milliseconds since 1970.
pub fn node_findings(status: &Status, now_ms: u64) -> Vec<Finding> {
    if let Some(old) = old_word(status, now_ms) {
        return vec![old];
    }
    let (worst, rest) = match status.phase {
        Phase::Steady => (worst_facts(status, now_ms), other_facts(status, now_ms)),
        _ => Default::default(),
    };
    let judged = || worst.iter().chain(&rest).map(|f| &f.what);
    let seen: Vec<&String> = match &status.seen {
        Some(seen) => seen.iter().map(|fault| &fault.what).collect(),
        // Of an agent of before: what is judged here is among them.
        None => {
            let faults = status.faults.iter();
            faults.filter(|f| !judged().any(|j| j == *f)).collect()
        }
    };
    let seen: Vec<Finding> = seen
        .into_iter()
        .map(|what| Finding::new(Part::Agent(status.node.clone()), what))
        .collect();
    worst.into_iter().chain(seen).chain(rest).collect()
}

/// What more than one other fault follows from.
fn worst_facts(status: &Status, now_ms: u64) -> Vec<Finding> {
    let etcd = status.etcd.iter();
    let etcd = etcd.flat_map(|e| etcd_findings(e, &status.node, now_ms));
    silent_runtime(status, now_ms)
        .into_iter()
        .chain(etcd)
        .collect()
}

fn other_facts(status: &Status, now_ms: u64) -> Vec<Finding> {
    let mut all = vip_findings(status, now_ms);
    all.extend(checked_servers(status));
    all.extend(unanswered_services(Inner::Service, status, now_ms));
    all.extend(unanswered_services(Inner::Dns, status, now_ms));
    all.extend(unanswered_in_pods(status, now_ms));
    all
}

/// Whether this status was written at another time than about now. A clock that was put back makes it one of the future.
pub fn is_old(status: &Status, now_ms: u64) -> bool {
    now_ms.abs_diff(status.updated_ms) > OLD_AFTER_MS
}

/// `14:02:11`, of milliseconds since 1970, in UTC.
pub fn utc_time_of_day(ms: u64) -> String {
    let s = ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

fn old_word(status: &Status, now_ms: u64) -> Option<Finding> {
    let since = utc_time_of_day(status.updated_ms);
    let what = format!(
        "not heard of since {since} UTC: what it says is old (its agent is dead or hangs, its /run is full, or its clock is wrong)"
    );
    let finding = Finding::new(Part::Agent(status.node.clone()), what);
    is_old(status, now_ms).then(|| finding.with_next("systemctl status ha-agent; df -h /run; date"))
}

/// What it has been for so long that it counts.
fn lasting_error(answer: Option<&Answer>, lasts_ms: u64, now_ms: u64) -> Option<String> {
    let answer = answer.filter(|a| !a.error.is_empty())?;
    let lasts = now_ms.saturating_sub(answer.since_ms) >= lasts_ms;
    let since = utc_time_of_day(answer.since_ms);
    lasts.then(|| format!("(since {since} UTC): {}", answer.error))
}

fn silent_runtime(status: &Status, now_ms: u64) -> Option<Finding> {
    let error = lasting_error(status.runtime.as_ref(), SILENT_RUNTIME_MS, now_ms)?;
    let node = &status.node;
    let what = format!("the container runtime of {node} answers no CRI call {error}");
    let finding = Finding::new(Part::Node(node.clone()), what);
    Some(
        finding
            .with_next("systemctl status containerd crio; journalctl -u containerd -u crio -n 50"),
    )
}

/// What pods and programs on the node meet of the cluster.
enum Inner {
    Service,
    Dns,
}

fn unanswered_services(which: Inner, status: &Status, now_ms: u64) -> Option<Finding> {
    let (part, answer, who, next) = match which {
        Inner::Service => (
            Part::Service,
            status.service.as_ref(),
            "the API's service address does not answer",
            "kubectl -n kube-system get pods -o wide; kubectl get endpointslices kubernetes",
        ),
        Inner::Dns => (
            Part::Dns,
            status.dns.as_ref(),
            "cluster DNS does not resolve a name of the cluster",
            "kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide",
        ),
    };
    let error = lasting_error(answer, UNANSWERED_MS, now_ms)?;
    let what = format!("{who} on {} {error}", status.node);
    Some(Finding::new(part, what).with_next(next))
}

/// Cluster DNS is silent to the pods of a node, and not to the node: what both meet is told of the node.
fn unanswered_in_pods(status: &Status, now_ms: u64) -> Option<Finding> {
    let pods = status.dns_in_pods.as_ref()?;
    if status.dns.as_ref().is_some_and(|a| !a.error.is_empty()) {
        return None;
    }
    let error = lasting_error(Some(&pods.answer), UNANSWERED_MS, now_ms)?;
    let node = &status.node;
    let what =
        format!("cluster DNS answers {node} itself and none of its pods {error}; {STOPS_PODS}");
    Some(Finding::new(Part::Dns, what).with_next(&pods.command))
}

/// What is wrong if etcd elects a leader again and again, as a node saw it; none: it does not.
pub(crate) fn often_elected(etcd: &EtcdStatus, node: &str, now_ms: u64) -> Option<Finding> {
    let lately = |at: &&u64| now_ms.saturating_sub(**at) < ELECTIONS_WITHIN_MS;
    if etcd.elections_ms.iter().filter(lately).count() < MANY_ELECTIONS {
        return None;
    }
    let what = format!(
        "etcd's leader was elected {MANY_ELECTIONS} times or more within 15 minutes, as {node} saw it, and nothing is written \
         until there is one: etcd's members were restarted one after the other (an upgrade), their disks are too slow, the network \
         between them loses packets, or the machines are too busy"
    );
    let next = format!("kubectl -n kube-system logs etcd-{node} --tail 50");
    Some(Finding::new(Part::Etcd, what).with_next(next))
}

/// What asks an endpoint of an external etcd, for a person on a control plane.
pub(crate) fn ask_external_etcd(url: &str) -> String {
    let [ca, cert, key] = [
        paths::EXTERNAL_ETCD_CA,
        paths::EXTERNAL_ETCD_CERT,
        paths::EXTERNAL_ETCD_KEY,
    ];
    format!("curl --cacert {ca} --cert {cert} --key {key} {url}/health")
}

fn etcd_findings(etcd: &EtcdStatus, node: &str, now_ms: u64) -> Vec<Finding> {
    let finding = |what: String, next: &str| Finding::new(Part::Etcd, what).with_next(next);
    let mut all = Vec::new();
    if !etcd.alarms.is_empty() {
        let alarms: Vec<String> = etcd.alarms.iter().map(EtcdAlarm::to_string).collect();
        let what = format!(
            "etcd has raised an alarm: {} (NOSPACE: nothing can be written; CORRUPT: that member's data differ)",
            alarms.join(", ")
        );
        all.push(finding(
            what,
            "https://etcd.io/docs/v3.6/op-guide/maintenance/#space-quota (compact, defragment, disarm)",
        ));
    }
    if let (Some(is), Some(may)) = (etcd.database_bytes, etcd.quota_bytes)
        && is.saturating_mul(100) > may.saturating_mul(FULL_PERCENT)
    {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let what = format!(
            "etcd's database on {node} takes {:.1} of the {:.1} GiB that it may: at its quota nothing can be written",
            gib(is),
            gib(may)
        );
        all.push(finding(
            what,
            "https://etcd.io/docs/v3.6/op-guide/maintenance/#defragmentation, or a larger quota-backend-bytes",
        ));
    }
    all.extend(often_elected(etcd, node, now_ms));
    let sick = etcd.endpoints.iter().filter(|e| !e.error.is_empty());
    all.extend(sick.map(|e| {
        let what = format!("the external etcd at {}: {}", e.url, e.error);
        finding(what, &ask_external_etcd(&e.url))
    }));
    all
}

/// What keepalived says of a VIP that this node takes for its own, and how often it took it.
fn vip_findings(status: &Status, now_ms: u64) -> Vec<Finding> {
    let (vip, node) = (&status.vip, &status.node);
    let mut all = Vec::new();
    if vip.here && !vip.complaint.is_empty() {
        let what = format!(
            "{node} holds {} and its keepalived goes on saying: {}; where its adverts do not arrive, a peer takes the VIP too",
            vip.address, vip.complaint
        );
        let next = "nft list ruleset; journalctl -u keepalived -n 20";
        all.push(Finding::new(Part::Vip, what).with_next(next));
    }
    let lately = |at: &&u64| now_ms.saturating_sub(**at) < MOVES_WITHIN_MS;
    if vip.taken_ms.iter().filter(lately).count() >= MANY_MOVES {
        let what = format!(
            "{node} took {} {MANY_MOVES} times or more within five minutes: the network loses VRRP adverts, or the machine is too \
             busy for loadBalancer.advertInterval",
            vip.address
        );
        let next = "journalctl -u keepalived -n 50; ha-agent doctor";
        all.push(Finding::new(Part::Vip, what).with_next(next));
    }
    all
}

/// With no server that passes its checks haproxy sends requests to servers that it does not check.
fn checked_servers(status: &Status) -> Option<Finding> {
    let down = |b: &Backend| {
        let lasts = b.seconds.is_some_and(|s| s * 1000 >= UNANSWERED_MS);
        !b.state.is_up() && lasts
    };
    let backends = &status.backends;
    if backends.is_empty() || !backends.iter().all(down) {
        return None;
    }
    let each: Vec<String> = backends
        .iter()
        .map(|b| format!("{} {}", b.name, b.check).trim_end().to_owned())
        .collect();
    let meaning = match backends.iter().any(|b| b.check == UNAUTHORIZED) {
        true => {
            "; 401: anonymous requests are refused, so that neither haproxy nor the kubelet can ask /readyz and /livez, and the \
             kubelet restarts the apiserver: take `anonymous-auth: false` back, or open these paths by an AuthenticationConfiguration"
        }
        false => "",
    };
    let what = format!(
        "no apiserver passes the checks of haproxy on {}: {}; requests go to unchecked servers of last resort{meaning}",
        status.node,
        each.join(", ")
    );
    let next = match status.role {
        Role::LoadBalancer => "journalctl -u haproxy -n 20".to_owned(),
        _ => format!(
            "curl -sk https://{}/readyz?verbose; crictl ps -a --name kube-apiserver",
            SocketAddr::new(status.address, status.apiserver_port)
        ),
    };
    Some(Finding::new(Part::LoadBalancer, what).with_next(next))
}

#[cfg(test)]
mod tests;
