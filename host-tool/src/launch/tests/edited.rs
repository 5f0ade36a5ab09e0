//! An edited or moved cluster file, before the cluster was founded and after.

use std::path::Path;
use std::sync::LazyLock;

use ha_kube::testing::test_authority;

use super::edits::{accept_as_launched, source_at, source_of, source_of_standing};
use super::fake::no_provider;
use super::*;
use crate::inputs::packed_chart;
use crate::testing::AnsweringCluster;

/// What the file said, and what it says when it was edited.
const TWO_ARGS: &str = "cni: none, clusterConfiguration: {apiServer: {extraArgs: [{name: v, value: '2'}, {name: profiling, value: 'false'}]}}}";
const ONE_ARG: &str =
    "cni: none, clusterConfiguration: {apiServer: {extraArgs: [{name: v, value: '2'}]}}}";

const CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// Disks of clusters that were founded: a member that joined, a worker, a founder that came to its end.
const FOUNDED: [&[(&str, &str)]; 3] = [
    &[("node2", "/var/lib/etcd/member")],
    &[("node4", CERTIFICATE)],
    &[
        ("node1", CERTIFICATE),
        ("node1", "/etc/kubernetes/kubelet.conf"),
    ],
];

/// A launch in vain of a file with a fault, and the same file mended.
fn env_with_fault_fixed() -> TestEnv {
    let mut env = TestEnv::new();
    let text = env.source.text.clone();
    env.source = source_of(&text.replace("cni: none}", TWO_ARGS));
    env.launch_in_vain();
    env.source = source_of(&text.replace("cni: none}", ONE_ARG));
    env
}

#[test]
fn before_any_apiserver_answered_an_edited_file_counts() {
    let env = env_with_fault_fixed();
    let keys = env.state().pki().unwrap().unwrap();
    let old = std::fs::read_to_string(env.state().ignition("node1")).unwrap();
    let provider = Arc::new(env.provider());
    let (exit, end) = env.launch(&provider, 0);
    assert_eq!(exit, Exit::TimedOut, "{end}");
    assert_eq!(
        provider.removals(),
        ["node1", "node2", "node3", "node4", "node5"]
    );
    for words in [
        "warning: demo.yaml was changed: kubernetes.clusterConfiguration.apiServer.extraArgs",
        "no apiserver answered yet",
        "made anew: node1, node2, node3, node4, node5",
    ] {
        assert!(end.contains(words), "{words}: {end}");
    }
    let new = std::fs::read_to_string(env.state().ignition("node1")).unwrap();
    assert!(new != old && env.permits_founding());
    let kept = env.state().pki().unwrap().unwrap();
    assert_eq!(kept.files(), keys.files(), "the same keys");
    let (_, end) = env.launch(&Arc::new(env.provider()), 0);
    assert!(!end.contains("was changed"), "once: {end}");
}

/// The same certificate in each checkout.
static CA: LazyLock<String> = LazyLock::new(|| test_authority("ours").cert().to_owned());

/// A project in a directory of its own.
fn checkout_project(env: &TestEnv, name: &str) -> Source {
    let text = env.source.text.replace(
        "provider: {nspawn: {image: image}}\nsysexts: none",
        "provider: {nspawn: {image: image}}\nignition: {merge: [mine.ign]}\nsysexts: {ha-agent: {path: ha-agent.raw}}\ntrustedCAs: [ca.pem]",
    );
    let text = text.replace("cni: none", "cni: {manifests: [net.yaml]}");
    let dir = env.dir.path().join(name);
    std::fs::create_dir_all(dir.join("image/root")).unwrap();
    for (name, content) in [
        ("ca.pem", CA.as_str()),
        ("mine.ign", r#"{"ignition":{"version":"3.3.0"}}"#),
        (
            "net.yaml",
            "{apiVersion: v1, kind: Namespace, metadata: {name: x}}\n",
        ),
        ("ha-agent.raw", "image"),
    ] {
        std::fs::write(dir.join(name), content).unwrap();
    }
    source_at(&text, &dir)
}

/// What a launch of this file would have to do, as lines.
fn describe_pending_changes(env: &TestEnv, source: &Source) -> Result<String, String> {
    let files = OperatorFiles::read(&source.cluster, env.state().path()).unwrap();
    let changes =
        judge_changes(&env.state(), source, &files, &no_provider).map_err(|e| e.to_string())?;
    Ok(changes.describe())
}

/// An earlier version kept no hashes.
fn forget_hashes(env: &TestEnv) {
    std::fs::remove_file(env.state().path().join("file-hashes.json")).unwrap();
}

#[test]
fn the_same_project_in_another_checkout_is_no_change() {
    let mut env = TestEnv::new();
    let (one, two) = (checkout_project(&env, "one"), checkout_project(&env, "two"));
    env.source = one.clone();
    env.launch_in_vain();
    accept_as_launched(env.state(), &one);
    for kept in ["hashes", "none"] {
        assert_eq!(
            describe_pending_changes(&env, &two),
            Ok(String::new()),
            "{kept}"
        );
        // A line of a comment is not a change either, wherever the file is.
        let mut commented = two.clone();
        commented.text += "# mine\n";
        assert_eq!(
            describe_pending_changes(&env, &commented),
            Ok(String::new()),
            "{kept}"
        );
        if kept == "hashes" {
            forget_hashes(&env);
        }
    }
    std::fs::remove_dir_all(&one.base).unwrap();
    assert_eq!(
        describe_pending_changes(&env, &two),
        Ok(String::new()),
        "the old one is gone"
    );
}

#[test]
fn ciliums_chart_is_compared_by_what_it_holds() {
    let mut env = TestEnv::new();
    let cilium = "cni: {cilium: {version: 1.20.2, chart: cilium.tgz}}";
    let text = env.source.text.replace("cni: none", cilium);
    let chart = packed_chart("cilium", "1.20.2");
    let checkout = |name: &str, content: &[u8]| {
        let dir = env.dir.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("cilium.tgz"), content).unwrap();
        source_at(&text, &dir)
    };
    let (one, two) = (checkout("one", &chart), checkout("two", &chart));
    let other = checkout("other", &[&chart[..], b"more"].concat());
    env.source = one.clone();
    env.launch_in_vain();
    accept_as_launched(env.state(), &one);
    assert_eq!(describe_pending_changes(&env, &two), Ok(String::new()));
    let words = describe_pending_changes(&env, &other).unwrap();
    assert_eq!(
        words,
        "kubernetes.cni.cilium.chart: what cilium.tgz held -> what it holds now"
    );
}

/// What a launch would have to do with this text behind the URL, or in the file.
fn judged_manifest(env: &TestEnv, text: &str) -> String {
    let mut files = OperatorFiles::default();
    files.manifests = vec![("00-net.yaml".to_owned(), text.to_owned())];
    let changes = judge_changes(&env.state(), &env.source, &files, &no_provider).unwrap();
    changes.describe()
}

#[test]
fn a_manifest_behind_a_url_with_a_hash_is_what_it_holds() {
    let mut env = TestEnv::new();
    let plain = env.source.text.clone();
    let dir = env.dir.path().to_owned();
    let names = |manifests: &str| {
        let cni = format!("cni: {{manifests: [{manifests}]}}");
        source_at(&plain.replace("cni: none", &cni), &dir)
    };
    let hashed = |digit: &str| {
        format!(
            "{{url: \"https://example.com/net.yaml\", sha256: {}}}",
            digit.repeat(64)
        )
    };
    let text = "{apiVersion: v1, kind: Namespace, metadata: {name: x}}\n";
    env.source = names("net.yaml");
    std::fs::write(dir.join("net.yaml"), text).unwrap();
    env.launch_in_vain();
    accept_as_launched(env.state(), &env.source);
    env.source = names(&hashed("a"));
    assert_eq!(judged_manifest(&env, text), "", "the same text");
    let other = judged_manifest(&env, "kind: Other");
    assert_eq!(
        other,
        "kubernetes.cni.manifests: what net.yaml held -> what it holds now"
    );
    // Whose config is gone knows hashes alone.
    accept_as_launched(env.state(), &env.source);
    std::fs::remove_file(env.state().ignition("node1")).unwrap();
    assert_eq!(judged_manifest(&env, text), "");
    env.source = names(&hashed("b"));
    assert_eq!(judged_manifest(&env, text), other);
    // And who leaves it to the founder writes something else.
    env.source = names("https://example.com/net.yaml");
    let words = judged_manifest(&env, text);
    assert!(
        words.starts_with(
            "kubernetes.cni.manifests: {url: https://example.com/net.yaml, sha256: aaa"
        ),
        "{words}"
    );
    assert!(
        words.ends_with(" -> https://example.com/net.yaml"),
        "{words}"
    );
}

#[test]
fn a_file_that_holds_something_else_is_a_change_wherever_it_is() {
    let mut env = TestEnv::new();
    let (one, two) = (checkout_project(&env, "one"), checkout_project(&env, "two"));
    env.source = one.clone();
    env.launch_in_vain();
    accept_as_launched(env.state(), &one);
    let other_ca = test_authority("theirs");
    for (file, content, key) in [
        ("ca.pem", other_ca.cert(), "trustedCAs[0]"),
        (
            "mine.ign",
            r#"{"ignition":{"version":"3.2.0"}}"#,
            "ignition.merge",
        ),
        (
            "net.yaml",
            "{apiVersion: v1, kind: Secret, metadata: {name: x}}\n",
            "kubernetes.cni.manifests",
        ),
        ("ha-agent.raw", "other", "sysexts.ha-agent.path"),
    ] {
        for source in [&two, &one] {
            let path = source.base.join(file);
            let old = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, content).unwrap();
            let words = describe_pending_changes(&env, source).unwrap();
            assert!(words.contains(key), "{key}: {words}");
            assert!(!words.contains("Secret"), "{words}");
            std::fs::write(&path, old).unwrap();
        }
    }
}

#[test]
fn a_cluster_that_was_founded_after_all_is_never_thrown_away() {
    let met = concat!(
        r#"{"version":1,"seq":1,"timeMs":5,"node":"node3","event":"started","phase":"join","attempt":1}"#,
        "\n"
    );
    for (disks, said, answers) in [
        (FOUNDED[0], "", false),
        (FOUNDED[1], "", false),
        (FOUNDED[2], "", false),
        (&[], met, false),
        (&[], "", true),
    ] {
        let env = env_with_fault_fixed();
        let pki = env.state().pki().unwrap().unwrap();
        let sick = AnsweringCluster::start(pki, &[("GET /readyz", 500, "etcd failed")]);
        let nobody = env.provider();
        let network = if answers { sick.at } else { nobody.network };
        let provider = Arc::new(FakeProvider {
            disks,
            network,
            ..nobody
        });
        std::fs::write(provider.events(&env.source.cluster.nodes[2]), said).unwrap();
        // A standing cluster takes this change; it is told how far it reaches.
        env.try_launch(&provider, 0).0.unwrap();
        assert_eq!(provider.removals(), [""; 0], "{disks:?} {said}");
        assert!(env.state().record().unwrap().unwrap().founded);
        // And this one it does not.
        let env = TestEnv {
            source: source_of(&env.source.text.replace("port: 6444", "port: 7444")),
            ..env
        };
        let error = env.try_launch(&provider, 0).0.unwrap_err().to_string();
        assert!(error.contains("endpoint.port: 6444 -> 7444"), "{error}");
        assert_eq!(provider.removals(), [""; 0], "{disks:?} {said}");
    }
}

#[test]
fn what_a_kubeadm_init_left_that_did_not_end_is_worth_nothing() {
    let env = env_with_fault_fixed();
    let provider = Arc::new(FakeProvider {
        disks: &[
            ("node1", "/var/lib/etcd/member"),
            ("node1", "/etc/kubernetes/manifests/etcd.yaml"),
            // kubeadm's own certificate, filed by the founder's kubelet.
            ("node1", CERTIFICATE),
        ],
        ..env.provider()
    });
    let (_, end) = env.launch(&provider, 0);
    assert_eq!(provider.removals().len(), 5, "{end}");
    assert!(env.permits_founding());
}

#[test]
fn what_cannot_be_asked_is_never_removed_unasked() {
    for (deaf, machine, why) in [
        (true, Machine::Running, "node1: nobody there answers"),
        (false, Machine::Off, "node1's machine is off"),
    ] {
        let env = env_with_fault_fixed();
        let before = std::fs::read_to_string(env.state().path().join("cluster.yaml")).unwrap();
        let provider = Arc::new(FakeProvider {
            deaf,
            machine,
            ..env.provider()
        });
        let error = env.try_launch(&provider, 0).0.unwrap_err().to_string();
        for words in [
            why,
            "apiServer.extraArgs[profiling]: false -> none",
            "Nothing was changed",
            "ha-host power demo NODE on",
        ] {
            assert!(error.contains(words), "{words}: {error}");
        }
        assert_eq!(provider.removals(), [""; 0]);
        let kept = std::fs::read_to_string(env.state().path().join("cluster.yaml")).unwrap();
        assert_eq!(kept, before);
        // Nothing ever ran where Ignition failed: there is nothing to ask for.
        for node in &env.source.cluster.nodes {
            std::fs::write(
                provider.console(node),
                "ignition[6]: CRITICAL : Ignition failed: hash\r\n",
            )
            .unwrap();
        }
        env.try_launch(&provider, 0).0.unwrap();
        assert_eq!(provider.removals().len(), 5);
    }
}

#[test]
fn a_new_worker_makes_nobody_anew_and_a_node_that_is_taken_out_leaves_nothing() {
    let mut env = TestEnv::new();
    env.launch_in_vain();
    let text = env.source.text.clone();
    env.source = source_of(&text.replace(
        "nodes:\n",
        "nodes:\n  - {name: node6, role: worker, address: 192.0.2.16}\n",
    ));
    let provider = Arc::new(env.provider());
    env.launch(&provider, 0);
    assert_eq!(provider.removals(), [""; 0]);
    assert!(env.state().ignition("node6").exists());
    env.source = source_of(&text);
    env.launch(&provider, 0);
    assert_eq!(provider.removals().len(), 6);
    assert!(!env.state().ignition("node6").exists());
    assert!(
        provider
            .calls
            .lock()
            .unwrap()
            .contains(&"destroy".to_owned())
    );
}

#[test]
fn on_a_standing_cluster_each_key_says_what_can_be_done() {
    let mut env = TestEnv::new();
    env.launch_in_vain();
    note_founded(&env.state(), &env.source.cluster).unwrap();
    let text = env.source.text.clone();
    env.source = source_of(&text.replace("1.36.3", "1.36.2"));
    let error = env.try_launch(&Arc::new(env.provider()), 0).0.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Stop::BadInput(_))));
    let error = error.to_string();
    assert!(
        error.contains("kubernetes.version: 1.36.3 -> 1.36.2")
            && error.contains("kubeadm's own upgrade"),
        "{error}"
    );
    assert!(
        !error.contains("destroy"),
        "it can be done in place: {error}"
    );
    env.source = source_of(&text.replace("port: 6444", "port: 7444"));
    let error = env.try_launch(&Arc::new(env.provider()), 0).0.unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("only another cluster can have it")
            && error.contains("loses its nodes with their disks"),
        "{error}"
    );
    env.source =
        source_of(&text.replace("cni: none}", "cni: none, kubeletConfig: {maxPods: 120}}"));
    let (_, end) = env.launch(&Arc::new(env.provider()), 0);
    let line = "warning: kubernetes.kubeletConfig.maxPods: none -> 120: nodes that stand keep theirs; there: `kubectl";
    assert!(end.contains(line), "{end}");
}

#[test]
fn a_directory_of_an_earlier_version_is_compared_by_what_is_there() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (format, name) in [
        ("state-0.1.0", "ns"),
        ("state-0.1.0", "q"),
        ("state-0.1.0", "virt"),
        ("state-accepted-v1", "ns"),
        ("state-accepted-v1", "q"),
        ("state-accepted-v1", "virt"),
    ] {
        let root = StateRoot::new(Some(&fixtures.join(format))).unwrap();
        let dir = root.dir(name);
        let text = std::fs::read_to_string(dir.path().join("cluster.yaml")).unwrap();
        let words = |text: &str| {
            let version = dir.accepted().unwrap().unwrap().kubernetes.version;
            let source = source_of_standing(text, Path::new("/another/checkout"), &version);
            let changes =
                judge_changes(&dir, &source, &OperatorFiles::default(), &no_provider).unwrap();
            changes.describe()
        };
        assert_eq!(words(&text), "", "{format} {name}");
        assert_eq!(words(&format!("{text}# mine\n")), "", "{format} {name}");
        let more = text.replace("cni: none}", "cni: none, kubeletConfig: {maxPods: 120}}");
        assert_eq!(
            words(&more),
            "kubernetes.kubeletConfig.maxPods: none -> 120"
        );
    }
}
