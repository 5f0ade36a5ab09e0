//! keepalived.conf: one virtual router, every node alike but for its priority, which only says who is first when nobody holds
//! the VIP. Who is sick says so by priority 0, never by a lower one: `nopreempt` together with a negative weight never
//! displaces a sick holder.

use std::fmt::Write as _;
use std::net::IpAddr;

use ha_wire::node::NodeFile;
use ha_wire::paths;
use ha_wire::settings::Vrrp;

/// Its unit in the bakery's sysext.
pub const UNIT: &str = "keepalived.service";
/// Where the configuration lies in the bakery's sysext.
pub const CONFIG: &str = "/etc/keepalived/keepalived.conf";
/// The agent's own program as the sysext brings it; `probe` is its one-shot health question.
pub const AGENT: &str = "/usr/bin/ha-agent";
/// Written to the health file: this node may hold the VIP.
pub const FINE: &str = "0\n";
/// Written to the health file: this node must not hold the VIP (below -253: fault).
pub const SICK: &str = "-255\n";

/// Seconds between two gratuitous ARPs of the holder. After a healed partition the one of two holders who wins may never hear the
/// other one, and then sends none of its own accord: until the next one everybody would ask the one who gave way (at 60: seen
/// for 11 s, until the clients' own entries ran out). `vrrp_higher_prio_send_advert` has the one who gives way say so, which the
/// winner answers with gratuitous ARPs at once; this is for a network that loses that one packet.
const GARP_EVERY: u32 = 1;

/// keepalived.conf for this node.
pub fn render_config(node: &NodeFile) -> String {
    let mut out = render_globals(node);
    let seconds = f64::from(node.load_balancer.advert_interval_ms) / 1000.0;
    let _ = write!(
        out,
        "
vrrp_instance api {{
    state BACKUP
    nopreempt
    interface {interface}
    virtual_router_id {vrid}
    priority {priority}
    advert_int {seconds}
    garp_master_delay 1
    garp_master_repeat 3
    garp_master_refresh {GARP_EVERY}
",
        interface = node.interface,
        vrid = node.vrid,
        priority = vrrp_priority(node),
    );
    render_peers(&mut out, node);
    let length = if node.endpoint.vip.is_ipv4() { 32 } else { 128 };
    let _ = write!(
        out,
        "    virtual_ipaddress {{
        {vip}/{length} dev {vip_interface}
    }}
    track_file {{
        agent
    }}
    track_script {{
        balancer
    }}
",
        vip = node.endpoint.vip,
        vip_interface = node.endpoint.interface.as_ref().unwrap_or(&node.interface),
    );
    render_tracked(&mut out, node);
    out.push_str("}\n");
    out
}

/// Backups of one priority take a VIP that was given away at the same moment, and the one that yields resets its clients' new
/// connections. A backup waits (256 - priority) / 256 of an interval (RFC 5798, skew time): twenty apart is 8 ms of 100.
fn vrrp_priority(node: &NodeFile) -> usize {
    let mut all = node.vip_candidates().iter();
    let place = all.position(|p| p.name == node.name);
    200usize
        .saturating_sub(20 * place.unwrap_or_default())
        .max(1)
}

/// Adverts ten times a second are only kept up by a process that is scheduled before others: in real time from the start, since
/// every automatic raise follows a missed deadline. Where the kernel refuses, the unit's `Nice=` is left: keepalived sets
/// `vrrp_priority` only without `vrrp_rt_priority`. Its own limit of 10 ms without a blocking call would end it on emulated machines.
/// The agent's word counts at once; the slow script is the safety net for when the agent itself is dead, and keeps a
/// node that boots without its haproxy from taking the VIP. Without an agent at all (its file or its program is not there)
/// keepalived takes the word of neither for bad.
/// A script that fails says so in a quarter of a second; one that takes seconds got no processor, which says nothing about haproxy.
fn render_globals(node: &NodeFile) -> String {
    format!(
        "# Written by ha-agent for cluster {cluster}; changes are lost.
global_defs {{
    router_id {name}
    vrrp_version 3
    enable_script_security
    script_user root
    vrrp_rt_priority 10
    vrrp_rlimit_rttime 1000000
    vrrp_no_swap
    max_auto_priority 20
{unicast}    vrrp_higher_prio_send_advert true
{dynamic}}}

track_file agent {{
    file \"{health}\"
    weight 0
    init_file 0
}}

vrrp_script balancer {{
    script \"{AGENT} probe\"
    interval 1
    timeout 3
    fall 3
    rise 1
    weight 0
    init_fail
}}
",
        cluster = node.cluster,
        name = node.name,
        health = paths::HEALTH_FILE,
        unicast = match node.load_balancer.vrrp {
            Vrrp::Unicast => "    vrrp_check_unicast_src\n",
            Vrrp::Multicast => "",
        },
        // A tracked interface that comes late is one that is down: otherwise keepalived does not start without it.
        dynamic = match tracked_interfaces(node).next() {
            None => "",
            Some(_) => "    dynamic_interfaces\n",
        },
    )
}

/// All but the one with the node's own address, which keepalived tracks by itself.
fn tracked_interfaces(node: &NodeFile) -> impl Iterator<Item = &String> {
    node.endpoint
        .interface
        .iter()
        .chain(&node.load_balancer.track)
}

/// A node on which one of them is down does not hold the VIP, as with its own interface.
fn render_tracked(out: &mut String, node: &NodeFile) {
    let mut interfaces = tracked_interfaces(node).peekable();
    if interfaces.peek().is_none() {
        return;
    }
    out.push_str("    track_interface {\n");
    for interface in interfaces {
        let _ = writeln!(out, "        {interface}");
    }
    out.push_str("    }\n");
}

/// A lone one has nobody to talk to.
fn render_peers(out: &mut String, node: &NodeFile) {
    if node.load_balancer.vrrp == Vrrp::Multicast {
        let _ = writeln!(out, "    mcast_src_ip {}", node.address);
        return;
    }
    let peers: Vec<IpAddr> = node.balancer_peers().map(|p| p.address).collect();
    if peers.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "    unicast_src_ip {}\n    unicast_peer {{\n",
        node.address
    );
    for peer in peers {
        let _ = writeln!(out, "        {peer}");
    }
    out.push_str("    }\n");
}

#[cfg(test)]
mod tests;
