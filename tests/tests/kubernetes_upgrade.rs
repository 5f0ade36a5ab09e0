//! What docs/sysexts.md says of an upgrade of Kubernetes, run as it is written: kubeadm's own, node by node, while somebody asks
//! through the VIP. Then the cluster file follows, and a new worker joins.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::documented::{
    bring_file, command_blocks, feed_on_node, run_by_operator, run_on_node,
};
use ha_tests::eventually::wait_until;
use ha_tests::lab::Lab;
use ha_tests::plan::ClusterPlan;
use ha_tests::probe::Probe;
use ha_tests::story::Story;

/// Where the steps are written, and the version that they name.
const DOCUMENT: &str = "docs/sysexts.md";
const SECTION: &str = "## Upgrading Kubernetes";
const WRITTEN_VERSION: &str = "1.37.2";
/// The lab's nodes have cgroup v1, which kubeadm refuses by this check.
const UPGRADE: &str = "kubeadm upgrade ";
const OF_LAB: &str = " --ignore-preflight-errors=SystemVerification";
/// Images that this machine has no registry for.
const OF_CONTROL_PLANES: [&str; 7] = [
    "pause",
    "kube-proxy",
    "coredns",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];
/// Whose a worker needs of these.
const OF_WORKERS: usize = 3;
/// A node and its pods are back, on two cores.
const BACK: Duration = Duration::from_secs(240);
/// Longer than this nobody is without an answer: an apiserver that ends takes its connections along.
const LONGEST_GAP: Duration = Duration::from_secs(3);
/// A worker that the file has later.
const NEW_WORKER: (&str, &str) = ("node5", "10.77.0.15");

#[test]
#[ignore = "an upgrade to a minor that has a lab of its own (ten minutes): make test-upgrade"]
fn a_cluster_is_upgraded_as_the_docs_say() {
    let story = Story::new("kubernetes_upgrade");
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-upgrade", 3, 1))
    });
    let new = story.step("and that of the other minor", lab_of_the_new_minor);
    let steps = story.step("the steps are in the docs", || {
        command_blocks::<3>(DOCUMENT, SECTION).map(|steps| steps.map(|s| for_this_lab(&s, &new)))
    });
    story.step("launch", || cluster.launch(&[])?.ok());
    story.step("every node has what it will need", || {
        names(&cluster)
            .iter()
            .try_for_each(|node| bring_all(&cluster, node, &new))
    });
    let client = story.step("somebody asks through the VIP", || cluster.client());
    let probe = story.step("all the time", || {
        Probe::of_apiserver(&client, cluster.endpoint())
    });
    upgrade(&story, &cluster, &steps);
    let seen = story.step("it is asked no more", || probe.stop());
    story.note(&seen.to_string());
    story.step("it was answered all the time", || {
        ensure!(seen.gap < LONGEST_GAP, "{seen}");
        Ok(())
    });
    has_versions(&story, &cluster, &new);
    the_file_follows(&story, &cluster, &new);
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// `$HA_UPGRADE_TO`: `lab/out/1.37`.
fn lab_of_the_new_minor() -> Result<Lab> {
    let dir = std::env::var_os("HA_UPGRADE_TO").context("HA_UPGRADE_TO is not set")?;
    let lab = Lab::at(dir);
    ensure!(
        lab.kubernetes() != Lab::default().kubernetes(),
        "it is of the same version"
    );
    Ok(lab)
}

fn for_this_lab(steps: &str, new: &Lab) -> String {
    let line = |line: &str| match line.contains(UPGRADE) {
        true => format!("{line}{OF_LAB}\n"),
        false => format!("{line}\n"),
    };
    let steps = steps.replace(WRITTEN_VERSION, &new.kubernetes());
    steps.lines().map(line).collect()
}

fn names(cluster: &Cluster) -> Vec<String> {
    [cluster.control_planes(), cluster.workers()].concat()
}

fn bring_all(cluster: &Cluster, node: &str, new: &Lab) -> Result<()> {
    let sysext = new.sysext("kubernetes");
    bring_file(cluster, node, &sysext, "/var/lib/kubernetes.raw")?;
    let is_control_plane = cluster.control_planes().iter().any(|name| name == node);
    let needed = if is_control_plane {
        OF_CONTROL_PLANES.len()
    } else {
        OF_WORKERS
    };
    import_images(cluster, node, new, &OF_CONTROL_PLANES[..needed])
}

fn import_images(cluster: &Cluster, node: &str, new: &Lab, names: &[&str]) -> Result<()> {
    for name in names {
        let archive = new.part("images").join(format!("{name}.tar"));
        let import = "ctr --namespace k8s.io images import -";
        feed_on_node(cluster, node, &archive, import)?;
    }
    Ok(())
}

fn upgrade(story: &Story, cluster: &Cluster, [first, others, kubelet]: &[String; 3]) {
    for (at, node) in names(cluster).iter().enumerate() {
        story.step(&format!("kubeadm upgrade on {node}"), || {
            run_on_node(cluster, node, if at == 0 { first } else { others })?;
            is_whole(cluster)
        });
    }
    for node in &names(cluster) {
        story.step(&format!("{node}'s kubelet"), || {
            let steps = kubelet.replace("NODE", node);
            let (until_off, uncordon) = steps.trim().rsplit_once('\n').context("one line")?;
            run_by_operator(cluster, until_off)?;
            wait_until("every node is Ready", BACK, || cluster.kube().all_ready())?;
            run_by_operator(cluster, uncordon)?;
            is_whole(cluster)
        });
    }
}

/// Nothing is to be said but that etcd elected its leader anew, which it does each time the leader is restarted.
fn is_whole(cluster: &Cluster) -> Result<()> {
    wait_until("ha-host status finds nothing else", BACK, || {
        let done = cluster.ha_host(&["status", cluster.name(), "--json"], BACK)?;
        let status: serde_json::Value = serde_json::from_str(&done.stdout)?;
        let findings = status["findings"].as_array().context("no findings")?;
        let is_election = |finding: &&serde_json::Value| {
            let what = finding["what"].as_str().unwrap_or_default();
            what.contains("etcd's leader was elected")
        };
        let others: Vec<_> = findings.iter().filter(|f| !is_election(f)).collect();
        ensure!(others.is_empty(), "{others:?}");
        Ok(())
    })
}

fn has_versions(story: &Story, cluster: &Cluster, new: &Lab) {
    story.step("everything is of the new version", || {
        let wanted = format!("v{}", new.kubernetes());
        let nodes = cluster.kube().get(&["nodes"])?;
        let nodes = nodes["items"].as_array().context("no nodes")?;
        let version =
            |node: &serde_json::Value| node["status"]["nodeInfo"]["kubeletVersion"] == *wanted;
        ensure!(nodes.iter().all(version), "{nodes:?}");
        let pods = [
            "get",
            "pods",
            "-n",
            "kube-system",
            "-o",
            "jsonpath={..containers[*].image}",
        ];
        let images = cluster.kube().ctl(&pods)?;
        let kubernetes = images
            .split_whitespace()
            .filter(|image| image.contains("/kube-"));
        let old: Vec<&str> = kubernetes
            .filter(|image| !image.ends_with(&wanted))
            .collect();
        ensure!(old.is_empty(), "{old:?}");
        for node in cluster.control_planes() {
            // Kubeadm's patches were given: the static pods end in an orderly way.
            cluster
                .node(&node)
                .sh("grep -q preStop /etc/kubernetes/manifests/kube-apiserver.yaml")?;
        }
        Ok(())
    });
    story.step("nothing else is wrong", || is_whole(cluster));
}

fn the_file_follows(story: &Story, cluster: &Cluster, new: &Lab) {
    let (name, address) = NEW_WORKER;
    story.step(
        "a version that the cluster does not have is refused",
        || {
            let whole = fs::read_to_string(cluster.file())?;
            let old = Lab::default();
            let far = whole.replace(&old.kubernetes(), "1.35.4");
            fs::write(cluster.file(), far)?;
            let done = cluster.launch(&[])?.expect_exit_code(2)?;
            story.note(&done.stderr);
            ensure!(done.stderr.contains(&new.kubernetes()), "{}", done.stderr);
            let line =
                format!("  - {{name: {name}, role: worker, address: \"{address}\"}}\nsysexts:");
            let followed = whole
                .replace(&old.kubernetes(), &new.kubernetes())
                .replace(
                    &shown(&old.sysext("kubernetes")),
                    &shown(&new.sysext("kubernetes")),
                )
                .replace("\nsysexts:", &format!("\n{line}"));
            ensure!(followed != whole, "{whole}");
            Ok(fs::write(cluster.file(), followed)?)
        },
    );
    story.step(
        "launch takes the cluster's over, and a new worker joins",
        || {
            let launch = cluster.start_launch(&[])?;
            wait_until("the new worker takes images", BACK, || {
                import_images(cluster, name, new, &OF_CONTROL_PLANES[..OF_WORKERS])
            })?;
            let done = cluster.end_launch(launch)?.ok()?;
            ensure!(
                done.stderr.contains("the cluster has it already"),
                "{}",
                done.stderr
            );
            let version = "jsonpath={.status.nodeInfo.kubeletVersion}";
            let said = cluster.kube().ctl(&["get", "node", name, "-o", version])?;
            ensure!(said.trim() == format!("v{}", new.kubernetes()), "{said}");
            is_whole(cluster)
        },
    );
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
