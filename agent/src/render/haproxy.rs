//! haproxy.cfg: the apiservers behind the VIP's port, judged by `/readyz` under the cluster's CA.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use ha_wire::node::{NodeFile, Peer};
use ha_wire::paths::STATS_PASSWORD;
use ha_wire::settings::{Balance, ExtraPort, PortCheck, Stats};

/// Its unit in the bakery's sysext.
pub const UNIT: &str = "haproxy.service";
/// Where the configuration lies in the bakery's sysext.
pub const CONFIG: &str = "/etc/haproxy/haproxy.cfg";
/// The cluster's CA where the user haproxy can read it (kubeadm's directory may be closed).
pub const CA: &str = "/etc/haproxy/cluster-ca.crt";
/// Answers `GET /healthz` while haproxy lives; a socket, so that it takes no port.
pub const HEALTH_SOCKET: &str = "/run/haproxy/health.sock";
/// haproxy's statistics and commands, for root.
pub const STATS_SOCKET: &str = "/run/haproxy/stats.sock";
/// The backend whose servers are the cluster's apiservers.
pub const BACKEND: &str = "apiservers";

/// haproxy.cfg for this node with these apiservers.
pub fn render_config(node: &NodeFile, backends: &[Peer]) -> String {
    let mut out = render_globals(node);
    render_apiservers(&mut out, node, backends);
    for extra in &node.load_balancer.extra_ports {
        render_extra_port(&mut out, node, extra, backends);
    }
    if let Some(stats) = &node.load_balancer.stats {
        render_stats(&mut out, node, stats);
    }
    out
}

fn render_extra_port(out: &mut String, node: &NodeFile, extra: &ExtraPort, backends: &[Peer]) {
    let (name, bind) = (&extra.name, extra_bind_address(node, extra));
    let balance = match extra.balance {
        Balance::Leastconn => "leastconn",
        Balance::Roundrobin => "roundrobin",
    };
    let _ = write!(
        out,
        "\nlisten extra-{name}\n    bind {bind}\n    balance {balance}\n"
    );
    if let PortCheck::Http { path } = &extra.check {
        let _ = write!(
            out,
            "    option httpchk\n    http-check send meth GET uri {path} ver HTTP/1.1 hdr Host {name}\n"
        );
    }
    let tls = match extra.check {
        PortCheck::Tls => " check-ssl verify none",
        PortCheck::Tcp | PortCheck::Http { .. } => "",
    };
    let _ = writeln!(
        out,
        "    default-server {DEFAULTS} on-marked-down shutdown-sessions{tls}"
    );
    for peer in backends {
        let address = SocketAddr::new(peer.address, extra.target);
        let _ = writeln!(out, "    server {} {address} check", peer.name);
    }
}

/// A service on the same port has the node's own address; the VIP is haproxy's alone, on every control plane before it arrives:
/// `transparent` is IP_FREEBIND to a haproxy without rights.
fn extra_bind_address(node: &NodeFile, extra: &ExtraPort) -> String {
    match extra.port == extra.target {
        true => format!(
            "{} transparent",
            SocketAddr::new(node.endpoint.vip, extra.port)
        ),
        false => bind_address(node, extra.port),
    }
}

fn render_stats(out: &mut String, node: &NodeFile, stats: &Stats) {
    let address = SocketAddr::new(stats.address, stats.port);
    let transparent = if stats.address == node.endpoint.vip {
        " transparent"
    } else {
        ""
    };
    let _ = write!(
        out,
        "\nfrontend stats\n    bind {address}{transparent}\n    mode http\n    stats enable\n    stats uri /\n    stats refresh 5s\n"
    );
    if let Some(user) = &stats.user {
        let _ = writeln!(out, "    stats auth {user}:\"${{{STATS_PASSWORD}}}\"");
    }
}

/// As haproxy's own documentation writes times.
fn haproxy_time(ms: u32) -> String {
    match ms {
        ms if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        ms if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

/// How every server is judged. A hung apiserver accepts connections: only an answer counts. Three refused connections
/// in a row are proof too, before the next check.
const DEFAULTS: &str = "inter 500ms fastinter 200ms downinter 500ms fall 2 rise 1 \
                        observe layer4 error-limit 3 on-error mark-down";

/// No `log`: in the foreground haproxy tells each change of a server on its standard error, which is the journal.
fn render_globals(node: &NodeFile) -> String {
    let timeouts = node.load_balancer.timeouts;
    format!(
        "# Written by ha-agent for cluster {cluster}; changes are lost.
global
    fd-hard-limit 65536
    hard-stop-after 10m
    stats socket {STATS_SOCKET} mode 600 level admin

defaults
    mode tcp
    balance leastconn
    option clitcpka
    option srvtcpka
    srvtcpka-idle 5s
    srvtcpka-intvl 2s
    srvtcpka-cnt 3
    option redispatch 1
    retries 3
    timeout connect 300ms
    timeout check 700ms
    timeout queue 5s
    timeout client {client}
    timeout server {server}
    timeout tunnel {tunnel}

# True while haproxy lives; the agent and keepalived's safety net ask here.
frontend health
    bind unix@{HEALTH_SOCKET} mode 600
    mode http
    monitor-uri /healthz
    timeout client 2s
    timeout http-request 2s
",
        cluster = node.cluster,
        client = haproxy_time(timeouts.client_ms),
        server = haproxy_time(timeouts.server_ms),
        tunnel = haproxy_time(timeouts.tunnel_ms),
    )
}

/// Being marked down ends no session here: that is [`crate::haproxy::sessions`]'s, and of keep-alive if the agent is gone.
fn render_apiservers(out: &mut String, node: &NodeFile, backends: &[Peer]) {
    let bind = bind_address(node, node.endpoint.port);
    let _ = write!(
        out,
        "\nfrontend api\n    bind {bind}\n    default_backend {BACKEND}\n"
    );
    let _ = write!(
        out,
        "
backend {BACKEND}
    option allbackups
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host kubernetes
    http-check expect status 200
    default-server {DEFAULTS} check-ssl verify required ca-file {CA} check-sni kubernetes verifyhost kubernetes
"
    );
    for peer in backends {
        let address = node.endpoint.apiserver(peer.address);
        let _ = writeln!(out, "    server {} {address} check", peer.name);
    }
    for peer in backends {
        let address = node.endpoint.apiserver(peer.address);
        let _ = writeln!(
            out,
            "    server {} {address} backup",
            unchecked_name(&peer.name)
        );
    }
}

/// How the names of unchecked servers begin. When every check fails an answer may still be better than none: a founder's
/// apiserver is the only one for a while, and busy.
pub const LAST_RESORT: &str = "last-resort";

/// This control plane's apiserver, unchecked.
pub fn unchecked_name(name: &str) -> String {
    format!("{LAST_RESORT}-{name}")
}

/// The checked apiservers that a configuration written by [`render_config`] names; none for any other text.
pub fn parse_servers(config: &str) -> Vec<Peer> {
    let backend = config
        .lines()
        .skip_while(|l| *l != format!("backend {BACKEND}"))
        .skip(1);
    let lines = backend
        .take_while(|l| l.starts_with(' '))
        .map(|l| l.split_whitespace().collect::<Vec<_>>());
    let peer = |words: Vec<&str>| match words[..] {
        ["server", name, address, "check"] => {
            let address: SocketAddr = address.parse().ok()?;
            Some(Peer {
                name: name.into(),
                address: address.ip(),
            })
        }
        _ => None,
    };
    lines.filter_map(peer).collect()
}

/// All addresses, not the VIP: haproxy stands ready before the VIP arrives.
fn bind_address(node: &NodeFile, port: u16) -> String {
    match node.endpoint.vip {
        IpAddr::V4(_) => format!(":{port}"),
        IpAddr::V6(_) => format!("[::]:{port} v4v6"),
    }
}

#[cfg(test)]
mod tests;
