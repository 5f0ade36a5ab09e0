//! The facts of the machine that preflight judges. Gathered without changing anything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ha_wire::paths;
use ha_wire::settings::LbMode;

use super::addresses::{AddressFault, address_faults, lacks_vip_interface};
use super::capacity::{Gauge, file_system_gauges};
use super::ports::wanted_ports;
use super::{fix, mounts, scheduling};
use crate::context::Context;
use crate::kube::{KUBELET_PEM, certs, identity, kubeconfig, pki_file};
use crate::phases::{is_settled, kubeadm_files};
use crate::render::{haproxy, keepalived};
use crate::sys::cri::{self, RuntimeAnswer};
use crate::sys::file_system::file_system_of;
use crate::sys::files::Files;
use crate::sys::listeners::{self, Listening};
use crate::sys::proc;

/// The directory whose file system holds images, etcd and pods.
const DATA: &str = "/var/lib";
use ha_wire::paths::CA_CERT as CA;
/// Which cluster this node belongs to, once it has joined.
use ha_wire::paths::KUBELET_CONF;
/// Where programs of sysexts and of the system lie.
const PATH: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/opt/bin"];
/// Programs that the agent runs.
pub const PROGRAMS: [&str; 3] = ["kubeadm", "kubelet", "kubectl"];

/// What the machine is like.
#[derive(Debug, Clone, Default)]
pub struct MachineFacts {
    /// The clock, milliseconds since 1970.
    pub now_ms: u64,
    /// Each certificate that must be valid now: file, from, until.
    pub certificates: Vec<(String, u64, u64)>,
    /// The cluster's CA certificate lies where kubeadm looks for it.
    pub has_ca: bool,
    /// The kernel's host name.
    pub hostname: String,
    /// /etc/hosts knows this node's name.
    pub in_hosts: bool,
    /// And the endpoint's, if it has one.
    pub endpoint_in_hosts: bool,
    /// Those of the node's addresses that cannot be used, and why.
    pub address_faults: Vec<(IpAddr, AddressFault)>,
    /// There is no interface for the VIP.
    pub lacks_vip_interface: bool,
    /// Kernel settings by file.
    pub kernel: BTreeMap<String, String>,
    /// The kernel can mount overlay file systems.
    pub overlay: bool,
    /// Free KiB below /var/lib; none: not known.
    pub free_kib: Option<u64>,
    pub swaps: Vec<String>,
    /// Ports of ours that somebody listens on, and who; empty: not to be found out.
    pub holders: BTreeMap<u16, String>,
    /// Programs whose ports cannot be seen.
    pub hidden: BTreeSet<String>,
    /// Unit states, or why systemd did not tell.
    pub units: BTreeMap<String, Result<String, String>>,
    /// keepalived is in a real-time class; none: it does not run.
    pub keepalived_in_real_time: Option<bool>,
    /// Programs that are not there.
    pub missing: Vec<String>,
    /// A file that another CA vouches for than Ignition brought.
    pub other_cluster: Option<String>,
    /// Of a settled node: files of kubeadm and of the kubelet that are there and do not parse.
    pub broken_files: Vec<String>,
    /// What the container runtime answers over CRI.
    pub runtime: RuntimeAnswer,
    /// Space and inodes of the file systems.
    pub file_systems: Vec<Gauge>,
    /// Mount points whose mounts do not propagate.
    pub unshared_mounts: Vec<String>,
}

/// Looks at the machine.
pub async fn gather_facts(cx: &Context) -> MachineFacts {
    let files = &cx.sys.files;
    let read = |name: &str| files.read(name).ok().flatten();
    let wanted: Vec<u16> = wanted_ports(&cx.node).into_keys().collect();
    let Listening { holders, hidden } = listeners::find_listeners(files, &wanted);
    let hosts = read("/etc/hosts").unwrap_or_default();
    let endpoint = cx.node.endpoint.name.as_ref();
    let mut facts = MachineFacts {
        now_ms: cx.sys.clock.now_ms(),
        has_ca: files.exists(CA),
        hostname: proc::host_name(),
        in_hosts: fix::is_in_hosts_file(&hosts, &cx.node.name),
        endpoint_in_hosts: endpoint.is_none_or(|name| fix::is_in_hosts_file(&hosts, name)),
        address_faults: address_faults(&cx.node, files),
        lacks_vip_interface: lacks_vip_interface(&cx.node),
        overlay: read("/proc/filesystems").is_none_or(|text| text.contains("overlay")),
        free_kib: file_system_of(files, DATA).map(|data| data.free_kib),
        swaps: parse_swaps(&read("/proc/swaps").unwrap_or_default()),
        holders,
        hidden,
        // The bakery's runs on workers, too, with an empty configuration.
        keepalived_in_real_time: match cx.node.runs_balancer() {
            true => scheduling::keepalived_in_real_time(files),
            false => None,
        },
        missing: missing_programs(cx),
        other_cluster: file_of_other_cluster(files),
        certificates: certificate_dates(cx),
        kernel: kernel_settings(files),
        units: BTreeMap::new(),
        broken_files: broken_kubeadm_files(cx),
        runtime: RuntimeAnswer::NotAsked,
        file_systems: file_system_gauges(files),
        unshared_mounts: mounts::unshared_mounts(&read("/proc/self/mountinfo").unwrap_or_default()),
    };
    for unit in required_units(cx) {
        let state = cx.sys.systemd.active_state(&unit).await;
        let state = state.map_err(|error| format!("unknown: {error:#}"));
        facts.units.insert(unit, state);
    }
    facts.runtime = runtime_answer(cx, &facts.units).await;
    facts
}

/// A runtime that does not run is not asked.
async fn runtime_answer(
    cx: &Context,
    units: &BTreeMap<String, Result<String, String>>,
) -> RuntimeAnswer {
    let cri = cx.node.kubernetes.cri;
    match units.get(cri.unit()) {
        Some(Ok(state)) if state == "active" => {
            cri::ask_version(&cx.sys.files.path(cri.socket_path())).await
        }
        _ => RuntimeAnswer::NotAsked,
    }
}

/// On a node that is not settled they are made anew without a word.
fn broken_kubeadm_files(cx: &Context) -> Vec<String> {
    let read = kubeadm_files::read_all(&cx.sys.files);
    let texts = read.ok().filter(|_| is_settled(cx));
    texts.map_or_else(Vec::new, |texts| kubeadm_files::broken_files(&texts))
}

/// The settings that preflight sees to, as they are.
fn kernel_settings(files: &Files) -> BTreeMap<String, String> {
    let names = fix::SYSCTLS.map(|(name, ..)| name).into_iter();
    let setting = |name: &'static str| {
        let value = files.read(name).ok()??;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    names.chain([fix::INOTIFY]).filter_map(setting).collect()
}

/// The CA's dates, and the first identity's while there is one; its end counts while nothing can take its place.
fn certificate_dates(cx: &Context) -> Vec<(String, u64, u64)> {
    let may_end = !identity::depends_on_first_identity(cx);
    let dated = |name: &str| {
        let (from, until) = certs::validity_of_ms(&cx.sys.files.read(name).ok()??)?;
        let counts = name == CA || !may_end;
        Some((name.to_owned(), from, if counts { until } else { u64::MAX }))
    };
    [CA, paths::IDENTITY_CERT]
        .into_iter()
        .filter_map(dated)
        .collect()
}

/// Units that must be known to systemd.
fn required_units(cx: &Context) -> Vec<String> {
    let mut all = Vec::new();
    if cx.node.is_kubernetes_node() {
        let runtime = cx.node.kubernetes.cri.unit();
        all.extend(["kubelet.service".to_owned(), runtime.to_owned()]);
    }
    // Containers' units are made by the balancer, and the kubelet's pods are none.
    if cx.node.runs_balancer() && cx.node.load_balancer.mode.is_by_sysexts() {
        all.extend([haproxy::UNIT.to_owned(), keepalived::UNIT.to_owned()]);
    }
    all
}

fn missing_programs(cx: &Context) -> Vec<String> {
    let wanted = PROGRAMS.iter().filter(|_| cx.node.is_kubernetes_node());
    let by_podman = cx.node.runs_balancer() && cx.node.load_balancer.mode == LbMode::Quadlet;
    let wanted = wanted.copied().chain(by_podman.then_some("podman"));
    let missing = wanted.filter(|program| !in_path(cx, program));
    missing.map(str::to_owned).collect()
}

fn in_path(cx: &Context, program: &str) -> bool {
    PATH.iter()
        .any(|dir| cx.sys.files.exists(&format!("{dir}/{program}")))
}

fn parse_swaps(text: &str) -> Vec<String> {
    text.lines()
        .skip(1)
        .filter_map(|l| l.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// The first file that this product or kubeadm writes and that belongs to another cluster.
fn file_of_other_cluster(files: &Files) -> Option<String> {
    type IsForeign = fn(&str, &str) -> bool;
    let compared: [(&str, String, IsForeign); 3] = [
        (KUBELET_CONF, CA.to_owned(), names_other_ca),
        (KUBELET_PEM, CA.to_owned(), certs::has_other_issuer),
        (
            &pki_file("etcd/peer.crt"),
            pki_file("etcd/ca.crt"),
            certs::has_other_issuer,
        ),
    ];
    let read = |name: &str| files.read(name).ok().flatten();
    let foreign = |(file, ca, is_foreign): &&(&str, String, IsForeign)| {
        let both = read(file).zip(read(ca));
        both.is_some_and(|(text, ca)| is_foreign(&text, &ca))
    };
    compared
        .iter()
        .find(foreign)
        .map(|(file, ..)| (*file).to_owned())
}

/// True if a kubeconfig carries a CA, and it is not this one.
fn names_other_ca(kubeconfig: &str, ca: &str) -> bool {
    let carried = kubeconfig::carried_ca(kubeconfig);
    carried.is_some_and(|pem| certs::certificates_in(&pem) != certs::certificates_in(ca))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_devices_are_read_past_the_header() {
        assert_eq!(
            parse_swaps("Filename Type Size Used Priority\n/dev/vda3 partition 1 0 -2\n"),
            ["/dev/vda3"]
        );
        assert!(parse_swaps("Filename\t\t\t\tType\n").is_empty());
    }

    /// kubelet.conf says nothing: the agent writes it before kubeadm runs.
    #[test]
    fn the_first_identitys_end_counts_until_the_kubelet_has_its_own() {
        use crate::kube::KUBELET_PEM;
        use crate::kube::testing::{node_identity, test_authority};
        use crate::testing;
        let ca = test_authority("kubernetes");
        for (node, lost) in [(testing::worker(), true), (testing::control_plane(), false)] {
            let machine = testing::fake_machine(node);
            let first = node_identity(&ca, "x");
            machine.file(CA, ca.cert());
            machine.file(paths::IDENTITY_CERT, &first.cert);
            machine.file(KUBELET_CONF, "");
            let in_a_year = machine.cx.sys.clock.now_ms() + 365 * 86_400_000;
            let ended = || {
                let dates = certificate_dates(&machine.cx);
                assert_eq!(dates.len(), 2, "the clock is checked against both begins");
                dates.iter().any(|(.., until)| *until < in_a_year)
            };
            assert_eq!(ended(), lost, "a control plane makes itself another");
            machine.file(KUBELET_PEM, node_identity(&ca, "x").joint_pem().expose());
            assert!(!ended());
        }
    }

    #[test]
    fn another_clusters_ca_is_told_from_ours() {
        use crate::kube::testing::{node_identity, test_authority};
        let (ours, other) = (test_authority("kubernetes"), test_authority("kubernetes"));
        let me = node_identity(&ours, "node4");
        let written = kubeconfig::render_embedded("https://10.77.0.30:6444", ours.cert(), &me);
        assert!(!names_other_ca(written.expose(), ours.cert()));
        assert!(names_other_ca(written.expose(), other.cert()));
        assert!(
            !names_other_ca("apiVersion: v1\nkind: Config\nclusters: []\n", ours.cert()),
            "no CA inside says nothing"
        );
    }

    #[tokio::test]
    async fn keepalived_is_judged_where_it_holds_the_vip_alone() {
        use crate::render::keepalived::CONFIG;
        use crate::testing;
        for (node, expected) in [
            (testing::control_plane(), Some(false)),
            (testing::worker(), None),
        ] {
            let machine = testing::fake_machine(node);
            machine.file(CONFIG, "");
            let stat = format!("7 (keepalived) S {}5 0 0\n", "0 ".repeat(36));
            machine.file("/proc/7/stat", &stat);
            let facts = gather_facts(&machine.cx).await;
            assert_eq!(facts.keepalived_in_real_time, expected);
        }
    }

    /// A disk whose kubelet.conf is gone or was written anew still holds what the old cluster's CAs signed.
    #[tokio::test]
    async fn another_clusters_certificates_are_told_from_ours() {
        use crate::kube::testing::{node_identity, test_authority};
        use crate::testing;
        let peer = pki_file("etcd/peer.crt");
        for (file, ca_file) in [
            (KUBELET_PEM, CA.to_owned()),
            (&peer, pki_file("etcd/ca.crt")),
        ] {
            let (ours, other) = (test_authority("one-ca"), test_authority("one-ca"));
            for (signer, is_other) in [(&ours, false), (&other, true)] {
                let machine = testing::fake_machine(testing::control_plane());
                machine.file(&ca_file, ours.cert());
                let me = node_identity(signer, "node2");
                machine.file(file, me.joint_pem().expose());
                let facts = gather_facts(&machine.cx).await;
                let expected = is_other.then(|| file.to_owned());
                assert_eq!(facts.other_cluster, expected);
            }
        }
    }
}
