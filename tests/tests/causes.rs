//! What fails beneath kubeadm ends a launch within a minute, with the failing program's own word, the key that it comes from
//! and the command that shows more; and a proxy that is set for the whole machine does not reach into the cluster.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::ignition::IgnitionConfig;
use ha_tests::lab::workspace_root;
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;
use ha_wire::event::{Event, EventKind};

/// From the phase's begin to its final word: three starts with the kubelet's pauses between them, on a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// A command that only prints.
const SHORT: Duration = Duration::from_secs(20);
/// Whoever asks it gets no answer: nobody listens there.
const PROXY: &str = "[Manager]
DefaultEnvironment=\"HTTP_PROXY=http://127.0.0.1:9\" \"HTTPS_PROXY=http://127.0.0.1:9\" \"NO_PROXY=intra.example.com\"
";

/// A cluster of one node to which this file was added.
fn with_file(name: &str, path: &str, text: &str) -> Result<Cluster> {
    let mut plan = ClusterPlan::new(name, 1, 0);
    let config = IgnitionConfig::default().file(path, 0o644, text);
    let dir = workspace_root().join("target/e2e");
    plan.merge.push(config.write(&dir, name)?);
    Cluster::new(plan)
}

#[test]
fn an_argument_that_a_static_pod_refuses_ends_the_launch() {
    let story = Story::new("a refused argument");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("e2e-argument", 1, 0);
        plan.kubeadm = r#"apiServer: {extraArgs: [{name: no-such-flag, value: "1"}]}"#.to_owned();
        Cluster::new(plan)
    });
    story.step("the launch ends with the apiserver's word", || {
        fails_with(
            &story,
            &cluster,
            &[
                "error: node1 (control plane): init failed: kube-apiserver exits at its start, 3 times in",
                "kube-apiserver unknown flag: --no-such-flag",
                "kubernetes.clusterConfiguration.apiServer.extraArgs, argument no-such-flag",
                "ha-host logs e2e-argument node1 --pod kube-apiserver",
            ],
        )
    });
    story.step("the command that it names shows the log", || {
        let args = ["logs", "e2e-argument", "node1", "--pod", "kube-apiserver"];
        let done = cluster.ha_host(&args, SHORT)?.ok()?;
        let word = "unknown flag: --no-such-flag";
        ensure!(done.stdout.contains(word), "{}", done.stdout);
        Ok(())
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

#[test]
fn a_setting_that_the_kubelet_refuses_ends_the_launch() {
    let story = Story::new("a refused setting");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("e2e-kubelet", 1, 0);
        let settings = "kubeletConfig: {registryBurst: -1}";
        plan.network = Some(format!("proxy: nftables, cni: none, {settings}"));
        Cluster::new(plan)
    });
    story.step("the launch ends with the kubelet's word", || {
        fails_with(
            &story,
            &cluster,
            &[
                "error: node1 (control plane): init failed: kubelet exits at its start, 3 times in",
                "-1 must not be a negative number",
                "kubernetes.kubeletConfig.registryBurst",
                "ha-host logs e2e-kubelet node1 --unit kubelet",
            ],
        )
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

#[test]
fn a_runtime_without_cri_ends_the_launch() {
    let story = Story::new("no CRI");
    let cluster = story.step("the lab is there", || {
        let text = "disabled_plugins = [\"cri\"]\n";
        with_file("e2e-nocri", "/etc/containerd/config.toml", text)
    });
    story.step("the launch ends with the runtime's name", || {
        fails_with(
            &story,
            &cluster,
            &[
                "error: node1 (control plane): preflight failed",
                "containerd.service runs and serves no CRI",
                "disabled_plugins in /etc/containerd/config.toml",
            ],
        )
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

#[test]
fn a_proxy_of_the_whole_machine_does_not_reach_into_the_cluster() {
    let story = Story::new("a proxy of the whole machine");
    let cluster = story.step("the lab is there", || {
        with_file(
            "e2e-proxied",
            "/etc/systemd/system.conf.d/proxy.conf",
            PROXY,
        )
    });
    story.step("launch ends with exit code 0", || {
        cluster.launch(&[])?.ok().map(drop)
    });
    story.step(
        "the apiserver keeps it, with the cluster's exceptions",
        || {
            let manifest = cluster
                .node("node1")
                .read("/etc/kubernetes/manifests/kube-apiserver.yaml")?;
            for part in [
                "HTTPS_PROXY",
                "intra.example.com,localhost,",
                "10.77.0.0/24,10.77.0.30,",
                ".svc,.cluster.local",
            ] {
                ensure!(manifest.contains(part), "{part} is not in:\n{manifest}");
            }
            Ok(())
        },
    );
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// The launch ends with exit code 1 and all of these words, soon after the phase began.
fn fails_with(story: &Story, cluster: &Cluster, words: &[&str]) -> Result<()> {
    let begun = Instant::now();
    let done = cluster.launch(&[])?.expect_exit_code(1)?;
    story.note(&done.stderr);
    for word in words {
        ensure!(
            done.stderr.contains(word),
            "{word:?} is not in:\n{}",
            done.stderr
        );
    }
    let took = fault_to_word(&cluster.node("node1").events()?)?;
    story.note(&format!(
        "from the phase's begin to its final word {:.1} s, the launch {:.1} s",
        took.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    ));
    ensure!(took < SOON, "{took:?}");
    Ok(())
}

/// From the begin of the phase that fails for good to that failure, which is for a person.
fn fault_to_word(events: &[Event]) -> Result<Duration> {
    let failed = events.iter().find_map(|event| match event.what {
        EventKind::Failed {
            phase,
            retry_ms: None,
            ..
        } => Some((phase, event.time_ms)),
        _ => None,
    });
    let (failing, end) = failed.context("no phase failed for good")?;
    let begin = events.iter().find_map(|event| match event.what {
        EventKind::Started { phase, .. } if phase == failing => Some(event.time_ms),
        _ => None,
    });
    let begin = begin.context("it failed and never began")?;
    Ok(Duration::from_millis(end.saturating_sub(begin)))
}
