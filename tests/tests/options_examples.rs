//! The files of `examples/`, each launched once: what a guide's follower writes becomes a whole cluster. What is not to be had here has
//! the lab's in its place (provider, system extensions, the pod network's manifest, CRI-O), and each test says what.

use std::time::Duration;

use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::external_etcd::ExternalEtcd;
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;

/// A look at the whole cluster.
const LOOK: Duration = Duration::from_secs(60);
/// CoreDNS and the pod network come a little after the launch.
const WHOLE: Duration = Duration::from_secs(90);

#[test]
#[ignore = "a launch of its own: make test-options"]
fn from_flatcar_butane() {
    let without_crio = [(", cri: crio", "")];
    is_launched("from-flatcar-butane.yaml", "e2e-from-butane", &without_crio);
}

#[test]
#[ignore = "a launch of its own: make test-options"]
fn from_k0s() {
    is_launched("from-k0s.yaml", "e2e-from-k0s", &[]);
}

#[test]
#[ignore = "a launch of its own: make test-options"]
fn from_kubeadm_stacked() {
    is_launched("from-kubeadm-stacked.yaml", "e2e-from-stacked", &[]);
}

#[test]
#[ignore = "a launch of its own: make test-options"]
fn from_kubeadm_external() {
    let story = Story::new("from-kubeadm-external.yaml");
    let etcd = story.step("files of an etcd with TLS", || {
        ExternalEtcd::make("from-external-etcd")
    });
    let [ca, cert, key] = ["ca.crt", "client.crt", "client.key"].map(|name| etcd.path(name));
    // And by its address: kubectl here could not resolve the name (with one: options_external.rs).
    let changes = [
        ("etcd-ca.crt", ca.as_str()),
        ("apiserver-etcd-client.crt", &cert),
        ("apiserver-etcd-client.key", &key),
        (", name: k8s1api.kloud.lan", ""),
    ];
    let cluster = story.step("the lab is there", || {
        let (file, name) = ("from-kubeadm-external.yaml", "e2e-from-external");
        Cluster::new(ClusterPlan::of_example(file, name, &changes)?)
    });
    let members = story.step("its etcd runs", || etcd.start(&cluster));
    is_whole(&story, &cluster);
    // They are this test's, and `destroy` is looked at for what it leaves.
    drop(members);
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn is_launched(file: &str, name: &str, changes: &[(&str, &str)]) {
    let story = Story::new(file);
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::of_example(file, name, changes)?)
    });
    is_whole(&story, &cluster);
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn is_whole(story: &Story, cluster: &Cluster) {
    let done = story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.note(&format!("launch took {:.1} s", done.took.as_secs_f64()));
    story.step("every node is Ready", || cluster.kube().all_ready());
    story.step("status finds nothing", || {
        wait_until("exit code 0", WHOLE, || {
            cluster.ha_host(&["status", cluster.name()], LOOK)?.ok()
        })
    });
}
