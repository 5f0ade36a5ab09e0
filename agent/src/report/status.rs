//! The first status of a life, and a status in one line.

use ha_wire::node::NodeFile;
use ha_wire::phase::Phase;
use ha_wire::status::{self, AgentProcess, PhaseState, Renewal, Status, Vip};

/// Before anything is known.
pub(super) fn initial_status(node: &NodeFile, now: u64) -> Status {
    Status {
        version: status::VERSION,
        cluster: node.cluster.clone(),
        node: node.name.clone(),
        role: node.role,
        address: node.address,
        phase: Phase::Preflight,
        state: PhaseState::Working,
        since_ms: now,
        updated_ms: 0,
        attempt: 1,
        waiting_for: String::new(),
        last_try_ms: None,
        last_error: String::new(),
        tail: Vec::new(),
        phases: Vec::new(),
        vip: Vip {
            address: node.endpoint.vip,
            port: node.endpoint.port,
            external: match node.has_external_balancer() {
                true => node.endpoint.authority(),
                false => String::new(),
            },
            here: false,
            holder: String::new(),
            taken_ms: Vec::new(),
            complaint: String::new(),
            held_since_ms: None,
        },
        backends: Vec::new(),
        apiserver_port: node.endpoint.apiserver_port,
        etcd: None,
        kubelet: String::new(),
        node_ready: None,
        network: String::new(),
        first_expiry: None,
        agent: AgentProcess {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            rss_kib: 0,
        },
        strangers: Vec::new(),
        certificates: Vec::new(),
        renewal: Renewal::default(),
        reboot_needed: None,
        faults: Vec::new(),
        service: None,
        dns: None,
        dns_in_pods: None,
        runtime: None,
        seen: None,
    }
}

/// What `systemctl status ha-agent` shows.
pub(super) fn status_line(status: &Status) -> String {
    let phase = status.phase;
    match status.state {
        PhaseState::Working if status.waiting_for.is_empty() => format!("{phase}"),
        PhaseState::Working => format!(
            "{phase}: waiting for {}{}",
            status.waiting_for,
            error_suffix(status)
        ),
        PhaseState::Retrying => format!(
            "{phase}: attempt {} failed{}",
            status.attempt,
            error_suffix(status)
        ),
        PhaseState::Failed => format!("{phase}: a person must act{}", error_suffix(status)),
        PhaseState::Steady if status.vip.here => format!("steady, holds {}", status.vip.address),
        PhaseState::Steady => "steady".to_owned(),
        PhaseState::Degraded => format!("steady, but{}", error_suffix(status)),
    }
}

fn error_suffix(status: &Status) -> String {
    if status.last_error.is_empty() {
        String::new()
    } else {
        format!(": {}", status.last_error)
    }
}
