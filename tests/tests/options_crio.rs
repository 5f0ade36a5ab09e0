//! `cri: crio`: what is done for CRI-O, on nodes whose `crio` extension has its unit, socket, policy and drop-ins, the real crictl, and
//! the lab's containerd in CRI-O's place, which starts late. That shows order, words, pulls by crictl and the real podman's import by the
//! real policy file. It cannot show CRI-O itself: what it makes of its drop-ins, that it shares podman's store (containerd does not: what
//! podman imported is pulled once more), its monitors, its cgroups.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::health::nothing_is_wrong;
use ha_tests::ignition::IgnitionConfig;
use ha_tests::lab::Lab;
use ha_tests::plan::ClusterPlan;
use ha_tests::process::{RunningProcess, run_to_end};
use ha_tests::registry;
use ha_tests::story::Story;
use ha_wire::event::EventKind;
use ha_wire::phase::Phase;

/// Where crio.raw looks for all images: the operator's machine.
const MIRROR: &str = "10.77.0.1:5000";
/// A runtime that was started again answers.
const SHORT: Duration = Duration::from_secs(30);
/// Machines boot, and their agents come to the container runtime.
const BOOT: Duration = Duration::from_secs(120);
/// A look at the whole cluster.
const LOOK: Duration = Duration::from_secs(60);
/// The runtime may start once this is there.
const LATE: &str =
    "[Service]\nExecStartPre=/bin/sh -c 'until [ -e /run/e2e-late ]; do sleep 0.1; done'\n";
const NODES: [&str; 2] = ["node1", "node2"];
/// What a restart of the runtime must not end.
const PROCESSES: &str = "pgrep -x 'etcd|kube-apiserver|kube-proxy|containerd-shim' | sort | xargs -r ps -o pid=,comm= -p";
const CRICTL: &str = "crictl --runtime-endpoint unix:///var/run/crio/crio.sock";

#[test]
#[ignore = "a launch of its own: make test-options"]
fn what_is_done_for_crio() {
    let story = Story::new("options_crio");
    let dir = tempfile::tempdir().expect("a directory for what the plan names");
    let cluster = story.step("the lab is there", || Cluster::new(crio_plan(dir.path())?));
    let registry = story.step("a registry of the lab's images", || serve_images(&cluster));
    let launch = story.step("launch begins", || cluster.start_launch(&[]));
    the_runtime_is_waited_for(&story, &cluster, &registry);
    story.step("launch ends with exit code 0", || {
        cluster.end_launch(launch)?.ok()
    });
    images_came_by_crictl(&story, &cluster, &registry);
    archives_came_by_podman(&story, &cluster);
    it_has_its_files(&story, &cluster);
    nothing_is_wrong(&story, &cluster, LOOK);
    containers_outlive_a_restart(&story, &cluster);
    a_refused_container_is_named(&story, &cluster);
    a_bad_configuration_is_named(&story, &cluster);
    drop(registry);
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn crio_plan(dir: &Path) -> Result<ClusterPlan> {
    let lab = Lab::default();
    let crio = lab.part("crio").join("crio.raw");
    ensure!(
        crio.exists(),
        "no crio in the lab: make test-options makes it"
    );
    // Nodes with CRI-O have no prepared store.
    let network = dir.join("lab-net.yaml");
    let text = fs::read_to_string(lab.network())?;
    fs::write(
        &network,
        text.replace("PullPolicy: Never", "PullPolicy: IfNotPresent"),
    )?;
    // podman's own policy comes with the lab's other images: without it there is CRI-O's alone.
    let config = IgnitionConfig::default()
        .file(
            "/etc/systemd/system/crio.service.d/90-late.conf",
            0o644,
            LATE,
        )
        .masked("lab-images.service");
    let plan = ClusterPlan {
        network: Some(format!(
            "proxy: nftables, cni: {{manifests: [{}]}}",
            network.display()
        )),
        kubernetes: "cri: crio".into(),
        more: format!("registries: [{{host: registry.k8s.io, mirrors: ['http://{MIRROR}']}}]\n"),
        merge: vec![config.write(dir, "late")?],
        ..ClusterPlan::new("e2e-crio", 1, 1)
    };
    let podman = lab.part("runners").join("podman.raw");
    Ok(plan
        .with_extension("crio", crio)
        .with_extension("podman", podman))
}

/// On the operator's machine.
fn serve_images(cluster: &Cluster) -> Result<RunningProcess> {
    let port = MIRROR.split_once(':').context("a port")?.1.parse()?;
    registry::serve_images(cluster, port, [Lab::default().part("images")])
}

/// A review's finding 2 of CRI-O: asked too early it has nothing, and nothing was pulled.
fn the_runtime_is_waited_for(story: &Story, cluster: &Cluster, registry: &RunningProcess) {
    story.step("the agents wait for crio, and say so", || {
        wait_until("their words", BOOT, || {
            for node in NODES {
                let said = image_progress(cluster, node)?;
                let has = |word: &str| said.iter().any(|said| said.starts_with(word));
                ensure!(has("preflight: crio.service"), "{node}: {said:?}");
                ensure!(has("images begin"), "{node}: {said:?}");
            }
            Ok(())
        })
    });
    story.step("nothing was asked for before it runs", || {
        let said = registry.so_far();
        ensure!(!said.contains("/v2/"), "{said}");
        for node in NODES {
            let said = image_progress(cluster, node)?;
            let is_over = said.iter().any(|said| said == "images end");
            ensure!(!is_over, "{node}: {said:?}");
            // crictl would wait for half a minute by itself, which kubeadm does not.
            cluster
                .node(node)
                .sh("! pgrep -ax crictl && touch /run/e2e-late")?;
        }
        Ok(())
    });
}

/// What the agent said: what it waits for, with the last error, and how far the images are.
fn image_progress(cluster: &Cluster, node: &str) -> Result<Vec<String>> {
    let events = cluster.node(node).events()?.into_iter();
    let words = events.filter_map(|event| match event.what {
        EventKind::Started {
            phase: Phase::Images,
            ..
        } => Some("images begin".to_owned()),
        EventKind::Done {
            phase: Phase::Images,
            ..
        } => Some("images end".to_owned()),
        EventKind::Waiting {
            phase,
            what,
            last_error,
            ..
        } => Some(format!("{phase}: {what}: {last_error}")),
        EventKind::Progress { done, total, .. } => Some(format!("{done} of {total}")),
        _ => None,
    });
    Ok(words.collect())
}

fn images_came_by_crictl(story: &Story, cluster: &Cluster, registry: &RunningProcess) {
    story.step("the agents pulled, and found nothing missing", || {
        for node in NODES {
            let said = image_progress(cluster, node)?;
            let failed = said.iter().find(|w| w.starts_with("images: images: "));
            ensure!(failed.is_none(), "{node}: {said:?}");
        }
        // One archive, then pause and kube-proxy, which podman has imported into another store than containerd's.
        let worker = image_progress(cluster, NODES[1])?;
        ensure!(
            worker.iter().any(|w| w == "2 of 2"),
            "by crictl: {worker:?}"
        );
        let asked = registry.so_far();
        for image in ["pause", "kube-proxy", "kube-apiserver", "etcd"] {
            let path = format!("200 /v2/{image}/manifests/");
            ensure!(asked.contains(&path), "{image}: {asked}");
        }
        Ok(())
    });
}

/// A review's finding 5.
fn archives_came_by_podman(story: &Story, cluster: &Cluster) {
    story.step(
        "podman has what came as an archive, by CRI-O's policy",
        || {
            for node in NODES {
                let look = "! test -e /etc/containers/policy.json; podman images --format '{{.Repository}}'";
                let has = cluster.node(node).sh(look)?;
                ensure!(has.trim() == "registry.k8s.io/kube-proxy", "{node}: {has}");
            }
            Ok(())
        },
    );
    story.step("CRI-O's library finds the mirror of `registries`", || {
        let pull = format!(
            "image=$({CRICTL} images | awk '/pause/ {{print $1 \":\" $2}}'); \
             podman pull --quiet --signature-policy /etc/crio/policy.json $image"
        );
        cluster.node(NODES[1]).sh(&pull)
    });
}

fn it_has_its_files(story: &Story, cluster: &Cluster) {
    story.step("CRI-O is told the cgroups; other runtimes are masked", || {
        for node in NODES {
            let node = cluster.node(node);
            let told = node.read("/etc/crio/crio.conf.d/50-ha-agent.conf")?;
            let v2 = node.sh("stat -fc %T /sys/fs/cgroup")?.trim() == "cgroup2fs";
            let manager = if v2 { "systemd" } else { "cgroupfs" };
            ensure!(told.contains(&format!("cgroup_manager = \"{manager}\"")), "{told}");
            node.sh("for name in docker containerd; do test $(readlink /etc/extensions/$name-flatcar.raw) = /dev/null; done")?;
        }
        Ok(())
    });
}

/// A review's finding 3.
fn containers_outlive_a_restart(story: &Story, cluster: &Cluster) {
    story.step("a restart of crio ends no container", || {
        for node in NODES.map(|node| cluster.node(node)) {
            let mode = node.sh("systemctl show -P KillMode crio")?;
            ensure!(mode.trim() == "process", "{mode}");
            let before = node.sh(PROCESSES)?;
            ensure!(before.contains("containerd-shim"), "{before}");
            node.sh("systemctl restart crio")?;
            wait_until("it answers", SHORT, || {
                node.sh(&format!("{CRICTL} ps --quiet"))
            })?;
            let after = node.sh(PROCESSES)?;
            ensure!(before == after, "before:\n{before}after:\n{after}");
        }
        Ok(())
    });
}

/// A review's finding 7: the runtime's own words.
fn a_refused_container_is_named(story: &Story, cluster: &Cluster) {
    story.step("doctor says what the runtime says of a container", || {
        let image = "--image=registry.k8s.io/nowhere:1";
        let place = "--overrides={\"spec\":{\"nodeName\":\"node2\"}}";
        let run = ["-n", "kube-system", "run", "refused", image, place];
        cluster.kube().ctl(&run)?;
        doctor_says(
            cluster,
            &["refused, container refused: ", "ImagePull", "not found"],
        )?;
        let delete = ["-n", "kube-system", "delete", "pod", "refused", "--now"];
        cluster.kube().ctl(&delete).map(drop)
    });
}

/// A review's finding 7: a runtime that dies of its configuration is not cured by starting it.
fn a_bad_configuration_is_named(story: &Story, cluster: &Cluster) {
    story.step("doctor sends who broke crio to its journal", || {
        cluster.node(NODES[1]).sh(
            "echo broken > /etc/crio/crio.conf.d/99-bad.conf; systemctl restart --no-block crio",
        )?;
        let words = [
            "crio.service",
            "because it exits",
            "journalctl -u crio.service",
        ];
        let said = doctor_says(cluster, &words)?;
        ensure!(!said.contains("systemctl start crio"), "{said}");
        Ok(())
    });
    story.step("and so does status", || {
        wait_until("its words", LOOK, || {
            let said = run_to_end(cluster.operator().ha_host(["status", cluster.name()]), LOOK)?;
            let said = said.expect_exit_code(1)?.stdout;
            let words = ["container runtime", "journalctl -u containerd -u crio"];
            ensure!(words.iter().all(|word| said.contains(word)), "{said}");
            Ok(())
        })
    });
}

fn doctor_says(cluster: &Cluster, words: &[&str]) -> Result<String> {
    wait_until("doctor's words", LOOK, || {
        let done = cluster.ha_host(&["doctor", cluster.name()], LOOK)?;
        let said = done.expect_exit_code(1)?.stdout;
        ensure!(words.iter().all(|word| said.contains(word)), "{said}");
        Ok(said)
    })
}
