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

/// The same in the cluster file, with a password that has a sign which systemd takes for one of its own.
const PROXY_URL: &str = "http://me:hush%40hush@127.0.0.1:9";
const PASSWORD: &str = "hush%40hush";

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
                "error: node1 (control plane): init failed: kube-apiserver exits at its start, ",
                "kube-apiserver unknown flag: --no-such-flag",
                "kubernetes.clusterConfiguration.apiServer.extraArgs, argument no-such-flag",
                "ha-host logs e2e-argument node1 --pod kube-apiserver",
            ],
        )
        .and_then(|said| is_told_thrice(&said, "kube-apiserver"))
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
                "error: node1 (control plane): init failed: kubelet exits at its start, ",
                "-1 must not be a negative number",
                "kubernetes.kubeletConfig.registryBurst",
                "ha-host logs e2e-kubelet node1 --unit kubelet",
            ],
        )
        .and_then(|said| is_told_thrice(&said, "kubelet"))
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
        .map(drop)
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

#[test]
fn a_proxy_of_the_cluster_file_is_for_what_fetches_alone() {
    let story = Story::new("a proxy of the cluster file");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("e2e-proxy-key", 1, 0);
        plan.more = format!(
            "proxy: {{http: \"{PROXY_URL}\", https: \"{PROXY_URL}\", except: [intra.example.com]}}\n\
             hooks: {{beforeJoin: [\"umask 077; echo $https_proxy $NO_PROXY > /run/hook-environment\"]}}\n"
        );
        Cluster::new(plan)
    });
    story.step("launch ends with exit code 0 and shows no password", || {
        let done = cluster.launch(&[])?.ok()?;
        let shown = format!("{}{}", done.stdout, done.stderr);
        ensure!(!shown.contains(PASSWORD), "{shown}");
        Ok(())
    });
    story.step("runtime, agent and hooks have it, with the cluster's exceptions", || {
        let node = cluster.node("node1");
        for (what, script) in [
            ("containerd", "systemctl show containerd --property=Environment --value"),
            ("containerd's process", "tr '\\0' '\\n' < /proc/$(systemctl show containerd --property=MainPID --value)/environ"),
            ("ha-agent", "systemctl show ha-agent --property=Environment --value"),
            ("a hook", "cat /run/hook-environment"),
        ] {
            let said = node.sh(script)?;
            for part in [PROXY_URL, "intra.example.com,localhost,", "10.77.0.0/24,10.77.0.30,", ".svc,.cluster.local"] {
                ensure!(said.contains(part), "{what}: {part} is not in:\n{said}");
            }
        }
        Ok(())
    });
    story.step("the static pods have none", || {
        let all = cluster
            .node("node1")
            .sh("cat /etc/kubernetes/manifests/*.yaml")?;
        ensure!(!all.to_uppercase().contains("_PROXY"), "{all}");
        Ok(())
    });
    story.step("its password is in files of root alone, and in no log", || {
        let node = cluster.node("node1");
        let found = node.sh(
            "grep --recursive --files-with-matches 'hush%%*40hush' /etc /run /var/lib/ha-agent /var/lib/kubelet | xargs stat --format='%a %n'",
        )?;
        story.note(&found);
        ensure!(found.contains("/etc/systemd/system/containerd.service.d/10-ha-host-proxy.conf"), "{found}");
        let wide = |line: &&str| !line.starts_with("600 ") && !line.starts_with("400 ");
        ensure!(found.lines().filter(wide).count() == 0, "{found}");
        let logs = node.sh(&format!("journalctl --boot | grep --count '{PASSWORD}' || test $? = 1"))?;
        ensure!(logs.trim() == "0", "{logs} lines of the journal");
        Ok(())
    });
    story.step("doctor finds nothing in it", || {
        let done = cluster.ha_host(
            &["exec", "e2e-proxy-key", "node1", "--", "ha-agent", "doctor"],
            SHORT * 3,
        )?;
        let said = format!("{}{}", done.stdout, done.stderr);
        ensure!(
            !said.contains("NO_PROXY") && !said.contains(PASSWORD),
            "{said}"
        );
        Ok(())
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// The launch ends with exit code 1 and all of these words, soon after the phase began. Everything that it said.
fn fails_with(story: &Story, cluster: &Cluster, words: &[&str]) -> Result<String> {
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
    Ok(done.stderr)
}

/// Three ends alike are final; on a busy machine the part may have been started again before the agent looks.
fn is_told_thrice(said: &str, part: &str) -> Result<()> {
    let (_, told) = said
        .split_once(&format!("init failed: {part} exits at its start, "))
        .context("its ends are not told")?;
    let (times, _) = told.split_once(" times").context("how often it ended")?;
    let times: u32 = times.parse().with_context(|| times.to_owned())?;
    ensure!(times >= 3, "{times} times");
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
