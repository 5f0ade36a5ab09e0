//! What the agent sets right by itself, every time: nothing here is an error, the judgement comes after it.

use std::time::Duration;

use ha_wire::node::NodeFile;
use ha_wire::phase::Phase;
use ha_wire::settings::Cri;

use crate::context::Context;
use crate::phases::{is_settled, kubeadm_run_config};

/// Loading a module takes milliseconds; a hanging one must not stop the launch.
const MODPROBE_DEADLINE: Duration = Duration::from_secs(5);
/// The distribution's 128 are gone with the fourth kubelet's pods on a big node.
pub const INOTIFY_INSTANCES: u64 = 8192;
/// Where the limit stands.
pub const INOTIFY: &str = "/proc/sys/fs/inotify/max_user_instances";

/// Whether a node needs a setting.
pub type IsNeeded = fn(&NodeFile) -> bool;

/// Settings of the kernel: file, value, and which nodes need it. IPv6 is forwarded only where pods have it: a router takes no
/// addresses and routes from other routers' word, which a machine's further interfaces may live on.
pub const SYSCTLS: [(&str, &str, IsNeeded); 6] = [
    (
        "/proc/sys/net/ipv4/ip_forward",
        "1",
        NodeFile::is_kubernetes_node,
    ),
    ("/proc/sys/net/ipv6/conf/all/forwarding", "1", |node| {
        node.has_ipv6() && node.is_kubernetes_node()
    }),
    (
        "/proc/sys/net/ipv4/ip_nonlocal_bind",
        "1",
        NodeFile::runs_balancer,
    ),
    ("/proc/sys/net/ipv6/ip_nonlocal_bind", "1", |node| {
        node.has_ipv6() && node.runs_balancer()
    }),
    (
        "/proc/sys/net/bridge/bridge-nf-call-iptables",
        "1",
        NodeFile::is_kubernetes_node,
    ),
    (
        "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
        "1",
        NodeFile::is_kubernetes_node,
    ),
];

/// Modules and the file by which the kernel shows that it has the feature, built in or loaded.
const MODULES: [(&str, &str); 2] = [
    (
        "br_netfilter",
        "/proc/sys/net/bridge/bridge-nf-call-iptables",
    ),
    ("overlay", "/sys/module/overlay"),
];

/// Modules, then settings (some come with a module).
pub async fn set_kernel_settings(cx: &Context) {
    let filesystems = read_or_empty(cx, "/proc/filesystems");
    for (module, shown_by) in MODULES {
        if !cx.sys.files.exists(shown_by) && !contains_word(&filesystems, module) {
            let cmd = crate::sys::Cmd::new("modprobe", &[module], MODPROBE_DEADLINE);
            if let Err(error) = cx.sys.commands.run(cmd).await {
                tracing::debug!("no module {module}: {error:#}");
            }
        }
    }
    for (name, value, is_needed) in SYSCTLS {
        if is_needed(&cx.node) && cx.sys.files.exists(name) {
            write_setting(cx, name, value);
        }
    }
    let instances = read_or_empty(cx, INOTIFY)
        .trim()
        .parse::<u64>()
        .unwrap_or(INOTIFY_INSTANCES);
    if instances < INOTIFY_INSTANCES {
        write_setting(cx, INOTIFY, &INOTIFY_INSTANCES.to_string());
    }
}

/// The own name in /etc/hosts: without it kubeadm loses ten seconds to a name server. And the endpoint's, which no name server
/// need know.
pub fn add_to_hosts_file(cx: &Context) {
    let (node, mut text) = (&cx.node, read_or_empty(cx, "/etc/hosts"));
    let mut lines = Vec::new();
    if !is_in_hosts_file(&text, &node.name) {
        lines.push(format!("{} {}", node.address, node.name));
    }
    let endpoint = node.endpoint.name.iter();
    for name in endpoint.filter(|name| !is_in_hosts_file(&text, name)) {
        let addresses = node.endpoint.addresses();
        lines.extend(addresses.map(|address| format!("{address} {name}")));
    }
    if lines.is_empty() {
        return;
    }
    text = format!("{}\n{}\n", text.trim_end(), lines.join("\n"));
    if let Err(error) = cx
        .sys
        .files
        .write("/etc/hosts", 0o644, text.trim_start().as_bytes())
    {
        tracing::warn!("{error:#}");
    }
}

/// True if a line of /etc/hosts gives this name an address.
pub fn is_in_hosts_file(hosts: &str, name: &str) -> bool {
    let lines = hosts
        .lines()
        .map(|l| l.split('#').next().unwrap_or_default());
    lines.into_iter().any(|l| {
        contains_word(
            l.split_once(char::is_whitespace)
                .map_or("", |(_, names)| names),
            name,
        )
    })
}

/// CRI-O tells the kubelet which cgroup driver to use, and its default needs cgroup v2. Files that come later in the alphabet win.
const CRIO_CGROUPS: &str = "/etc/crio/crio.conf.d/50-ha-agent.conf";

/// The container runtime, if a kubelet needs it: CRI-O is told the machine's cgroups, then it is started if systemd knows it.
pub async fn start_runtime(cx: &Context) {
    if !cx.node.is_kubernetes_node() {
        return;
    }
    let unit = cx.node.kubernetes.cri.unit();
    let state = cx.sys.systemd.active_state(unit).await.unwrap_or_default();
    let told_anew = cx.node.kubernetes.cri == Cri::Crio && write_crio_cgroups(cx);
    if told_anew
        && state == "active"
        && let Err(error) = cx.sys.systemd.restart(unit).await
    {
        tracing::warn!("{error:#}");
    }
    if matches!(state.as_str(), "inactive" | "failed") {
        // The order returns when it runs, which may take CRI-O a while. A member waits for nothing.
        if !is_settled(cx) {
            cx.report.waiting_as_usual(Phase::Preflight, unit, "", None);
        }
        if let Err(error) = cx.sys.systemd.start(unit).await {
            tracing::warn!("{error:#}");
        }
    }
}

/// True if its file is new.
fn write_crio_cgroups(cx: &Context) -> bool {
    let text = if kubeadm_run_config::machine_traits(cx).cgroup_v2 {
        "[crio.runtime]\ncgroup_manager = \"systemd\"\n"
    } else {
        // A monitor outside of its pod's cgroup would share CRI-O's.
        "[crio.runtime]\ncgroup_manager = \"cgroupfs\"\nconmon_cgroup = \"pod\"\n"
    };
    let written = cx.sys.files.write(CRIO_CGROUPS, 0o644, text.as_bytes());
    written.unwrap_or_else(|error| {
        tracing::warn!("{error:#}");
        false
    })
}

/// Unit files of a sysext that was merged without a reload: systemd reads them now.
pub async fn reload_units(cx: &Context) {
    if let Err(error) = cx.sys.systemd.daemon_reload().await {
        tracing::warn!("{error:#}");
    }
}

fn write_setting(cx: &Context, name: &str, value: &str) {
    if read_or_empty(cx, name).trim() != value
        && let Err(error) = cx.sys.files.put(name, format!("{value}\n").as_bytes())
    {
        tracing::debug!("{error:#}");
    }
}

fn read_or_empty(cx: &Context, name: &str) -> String {
    cx.sys.files.read(name).ok().flatten().unwrap_or_default()
}

fn contains_word(text: &str, word: &str) -> bool {
    text.split_whitespace().any(|w| w == word)
}
