use ha_wire::settings::Cri;

use super::*;
use crate::testing::{self, FakeMachine};

/// A worker on this very machine's loopback interface, with its CA and programs.
fn healthy_machine() -> FakeMachine {
    let mut node = testing::worker();
    node.name = crate::sys::proc::host_name();
    (node.interface, node.address) = ("lo".into(), "127.0.0.1".parse().unwrap());
    let machine = testing::fake_machine(node);
    machine.file("/etc/kubernetes/pki/ca.crt", &testing::ca_pem());
    for program in facts::PROGRAMS {
        machine.file(&format!("/usr/bin/{program}"), "");
    }
    machine.file("/var/lib/here", "");
    machine.file("/proc/sys/net/ipv4/ip_forward", "0\n");
    machine.file("/proc/sys/fs/inotify/max_user_instances", "128\n");
    machine
        .systemd
        .unit("kubelet.service", "inactive")
        .unit("containerd.service", "inactive");
    machine
        .commands
        .succeed("modprobe br_netfilter")
        .succeed("modprobe overlay");
    testing::serve_runtime(&machine, testing::RUNTIME_ANSWERS);
    machine
}

#[tokio::test]
async fn what_can_be_mended_is_mended() {
    let machine = healthy_machine();
    assert_eq!(run(&machine.cx).await.unwrap(), Outcome::Done);
    let read = |name: &str| machine.cx.sys.files.read(name).unwrap().unwrap();
    assert_eq!(read("/proc/sys/net/ipv4/ip_forward"), "1\n");
    assert_eq!(read("/proc/sys/fs/inotify/max_user_instances"), "8192\n");
    assert_eq!(
        read("/etc/hosts"),
        format!("127.0.0.1 {}\n", machine.cx.node.name)
    );
    let orders = machine.orders();
    assert!(
        orders.contains(&"run modprobe br_netfilter".to_owned()),
        "{orders:?}"
    );
    assert!(
        orders.contains(&"start containerd.service".to_owned()),
        "{orders:?}"
    );
    run(&machine.cx).await.unwrap();
    assert_eq!(
        read("/etc/hosts").lines().count(),
        1,
        "a second run adds nothing"
    );
}

/// A review's finding 3: the kubelet takes its cgroup driver from CRI-O, whose default needs cgroup v2.
#[tokio::test]
async fn crio_is_told_the_machine_s_cgroups_before_it_is_used() {
    for (v2, driver) in [(true, "\"systemd\""), (false, "\"cgroupfs\"")] {
        let mut node = testing::worker();
        node.kubernetes.cri = Cri::Crio;
        let machine = testing::fake_machine(node);
        machine.systemd.unit("crio.service", "active");
        if v2 {
            machine.file("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        }
        fix::start_runtime(&machine.cx).await;
        let told = "/etc/crio/crio.conf.d/50-ha-agent.conf";
        let text = machine.cx.sys.files.read(told).unwrap().unwrap();
        assert!(
            text.contains(&format!("cgroup_manager = {driver}\n")),
            "{text}"
        );
        assert_eq!(machine.orders(), ["restart crio.service"]);
        fix::start_runtime(&machine.cx).await;
        assert_eq!(machine.orders(), [""; 0], "it knows");
    }
}

fn reported_waits(machine: &FakeMachine) -> Vec<String> {
    let events = machine.events().into_iter();
    let waits = events.filter(|event| event["event"] == "waiting");
    waits
        .map(|event| event["what"].as_str().unwrap().to_owned())
        .collect()
}

/// The order to start it returns when it runs: a hundred seconds of silence, if it is slow.
#[tokio::test]
async fn a_runtime_that_is_started_is_named_before() {
    let mut node = testing::worker();
    node.kubernetes.cri = Cri::Crio;
    let machine = testing::fake_machine(node);
    machine.systemd.unit("crio.service", "inactive");
    fix::start_runtime(&machine.cx).await;
    assert_eq!(reported_waits(&machine), ["crio.service"]);
    assert_eq!(machine.orders(), ["start crio.service"]);
}

#[tokio::test]
async fn what_comes_by_itself_is_waited_for_in_words() {
    let machine = healthy_machine();
    std::fs::remove_file(machine.cx.sys.files.path("/usr/bin/kubeadm")).unwrap();
    let error = run(&machine.cx).await.unwrap_err();
    assert!(!error.is::<NeedsAPerson>());
    assert!(
        error.to_string().contains("kubeadm not there (yet)"),
        "{error}"
    );
    let told = reported_waits(&machine);
    let words = ["containerd.service", "programs"];
    assert_eq!(told, words, "the same words are told once");
}

#[tokio::test]
async fn another_clusters_disk_needs_a_person() {
    use crate::kube::testing::{node_identity, test_authority};
    let machine = healthy_machine();
    let other = test_authority("kubernetes");
    let me = node_identity(&other, "node2");
    let conf =
        crate::kube::kubeconfig::render_embedded("https://10.77.0.30:6444", other.cert(), &me);
    machine.file("/etc/kubernetes/kubelet.conf", conf.expose());
    let error = run(&machine.cx).await.unwrap_err();
    assert!(error.is::<NeedsAPerson>());
    assert!(error.to_string().contains("another CA"), "{error}");
}

/// containerd runs with docker's config.toml, which disables its CRI plugin (containerd/containerd#4581): no kubelet can use it.
#[tokio::test]
async fn a_runtime_that_serves_no_cri_needs_a_person_although_it_is_active() {
    let machine = healthy_machine();
    testing::serve_runtime(&machine, testing::RUNTIME_WITHOUT_CRI);
    let error = run(&machine.cx).await.unwrap_err();
    assert!(error.is::<NeedsAPerson>(), "{error}");
    let words = error.to_string();
    for word in ["containerd", "CRI", "config.toml"] {
        assert!(words.contains(word), "{words}");
    }
}

/// The machine has been a node of its cluster, and then lost its CA, a program and its container runtime.
fn broken_member() -> FakeMachine {
    let machine = healthy_machine();
    machine.file("/etc/kubernetes/kubelet.conf", "{}");
    machine.file(crate::kube::KUBELET_PEM, "");
    for name in ["/usr/bin/kubeadm", "/etc/kubernetes/pki/ca.crt"] {
        std::fs::remove_file(machine.cx.sys.files.path(name)).unwrap();
    }
    let broken = &machine.systemd.broken;
    broken.borrow_mut().push("containerd.service".into());
    machine
}

#[tokio::test]
async fn a_member_is_stopped_by_nothing() {
    let machine = broken_member();
    assert_eq!(run(&machine.cx).await.unwrap(), Outcome::Done);
    let waited = machine.events().iter().any(|e| e["event"] == "waiting");
    assert!(!waited, "nor does it wait: {:?}", machine.events());
}

#[tokio::test]
async fn what_is_wrong_with_a_member_is_named_until_it_is_mended() {
    let machine = broken_member();
    let mut checks = MemberChecks::default();
    let error = checks.observe(&machine.cx).await.unwrap_err();
    assert!(error.to_string().starts_with("cluster CA: "), "{error}");
    machine.file("/etc/kubernetes/pki/ca.crt", &testing::ca_pem());
    machine.file("/usr/bin/kubeadm", "");
    machine.systemd.unit("containerd.service", "active");
    let mut looks = 0;
    while let Err(error) = checks.observe(&machine.cx).await {
        looks += 1;
        assert!(looks < 10, "{error}");
        std::fs::create_dir_all(machine.cx.sys.files.path("/proc/sys/net/ipv4")).unwrap();
        machine.file("/proc/sys/net/ipv4/ip_forward", "1\n");
    }
}

#[test]
fn names_in_the_hosts_file() {
    let hosts = "127.0.0.1 localhost # node9\n10.77.0.12\tnode2 node2.local\n";
    for (name, there) in [
        ("node2", true),
        ("node2.local", true),
        ("localhost", true),
        ("node9", false),
        ("node", false),
    ] {
        assert_eq!(fix::is_in_hosts_file(hosts, name), there, "{name}");
    }
    assert!(
        !fix::is_in_hosts_file("node2\n", "node2"),
        "a line without an address names nobody"
    );
}

#[test]
fn the_endpoint_s_name_means_all_of_its_addresses() {
    let machine = testing::fake_machine(testing::behind_external(testing::worker()));
    let hosts = "127.0.0.1 localhost\n10.77.0.14 node4\n";
    machine.file("/etc/hosts", hosts);
    let written = || {
        fix::add_to_hosts_file(&machine.cx);
        machine.cx.sys.files.read("/etc/hosts").unwrap().unwrap()
    };
    let name = "k8s-api.example.org";
    let expected = format!("{hosts}192.0.2.10 {name}\n192.0.2.11 {name}\n");
    assert_eq!(written(), expected);
    assert_eq!(written(), expected);
}

#[test]
fn an_endpoint_s_name_that_the_hosts_file_lacks_is_told() {
    let node = testing::behind_external(testing::worker());
    for (there, verdict) in [(true, Verdict::Pass), (false, Verdict::Warn)] {
        let facts = facts::MachineFacts {
            endpoint_in_hosts: there,
            ..facts::MachineFacts::default()
        };
        let checks = evaluate::evaluate_machine(&node, &facts);
        let check = checks.iter().find(|c| c.name == "endpoint's name");
        assert_eq!(check.map(|c| c.verdict), Some(verdict));
    }
}
