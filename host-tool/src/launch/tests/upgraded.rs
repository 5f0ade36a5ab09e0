//! A cluster that somebody has upgraded: its file may say so, and no other.

use serde_json::json;

use super::edits::{accept_as_launched, source_of};
use super::fake::FakeProvider;
use super::*;
use crate::testing::{AnsweringAt, AnsweringCluster};

const KUBEADM_CONFIG: &str = "GET /api/v1/namespaces/kube-system/configmaps/kubeadm-config";

/// The file's version, and a later one.
const LAUNCHED: &str = "1.36.3";
const LATER: &str = "1.37.2";

fn env_with_version(version: &str) -> (TestEnv, Source) {
    let mut env = TestEnv::new();
    let was = env.source.cluster.kubernetes.version.clone();
    let of_version = |version: &str| source_of(&env.source.text.replace(&was, version));
    let (launched, edited) = (of_version(LAUNCHED), of_version(version));
    env.source = launched;
    accept_as_launched(env.state(), &env.source);
    (env, edited)
}

/// What a launch says of the file where the cluster says this of its own version.
fn judged_where(env: &TestEnv, edited: &Source, network: AnsweringAt) -> Result<Changes, String> {
    let provider = Arc::new(FakeProvider {
        network,
        ..env.provider()
    });
    let make_provider = |_: &Cluster| Ok(provider.clone() as Arc<dyn Provider>);
    let files = OperatorFiles::default();
    judge_changes(&env.state(), edited, &files, &make_provider).map_err(|e| e.to_string())
}

fn cluster_of(env: &TestEnv, version: &str) -> AnsweringCluster {
    let configuration = format!("kind: ClusterConfiguration\nkubernetesVersion: v{version}\n");
    let map = json!({"data": {"ClusterConfiguration": configuration}}).to_string();
    let pki = env.state().pki().unwrap().unwrap();
    AnsweringCluster::start(pki, &[(KUBEADM_CONFIG, 200, map.as_str())])
}

#[test]
fn a_version_that_the_cluster_has_by_now_is_taken_over() {
    let (env, edited) = env_with_version(LATER);
    let upgraded = cluster_of(&env, LATER);
    for network in [upgraded.at, upgraded.at.without_vip()] {
        let changes = judged_where(&env, &edited, network).unwrap();
        assert_eq!(
            changes.unreached,
            ["kubernetes.version: 1.36.3 -> 1.37.2: the cluster has it already, new nodes get it"]
        );
    }
}

#[test]
fn a_launch_upgrades_nothing() {
    let (env, edited) = env_with_version(LATER);
    let before = cluster_of(&env, LAUNCHED);
    let error = judged_where(&env, &edited, before.at).unwrap_err();
    let words = "\n  kubernetes.version: 1.36.3 -> 1.37.2\n    a launch upgrades nothing, and the cluster itself is of 1.36.3; what can \
                 be done: kubeadm's own upgrade";
    assert!(error.contains(words), "{error}");
    let error = judged_where(&env, &edited, AnsweringAt::nobody()).unwrap_err();
    let words = "a launch upgrades nothing, and the cluster could not be asked which it is of (Connection refused";
    assert!(error.contains(words), "{error}");
}

#[test]
fn a_file_that_went_ahead_of_its_cluster_is_told_from_one_that_fell_behind() {
    // Back to what it was made with: the cluster has moved on.
    let (env, edited) = env_with_version("1.35.4");
    let upgraded = cluster_of(&env, LATER);
    let error = judged_where(&env, &edited, upgraded.at).unwrap_err();
    assert!(
        error.contains("and the cluster itself is of 1.37.2;"),
        "{error}"
    );
    let same = source_of(&env.source.text);
    let changes = judged_where(&env, &same, upgraded.at).unwrap();
    assert!(
        changes.is_empty(),
        "nobody is asked for a file that is as it was"
    );
}
