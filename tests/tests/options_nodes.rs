//! What the cluster file says of nodes and of kubeadm's settings, looked at on a real cluster of one control plane that works, too, and
//! one worker: labels, taints and annotations on the Node objects, and each setting where it has its effect.

use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::health::nothing_is_wrong;
use ha_tests::plan::{ClusterPlan, PORT, VIP};
use ha_tests::story::Story;
use serde_json::{Value, json};

/// A control plane looks every few seconds at what workers ask for.
const GRANTED: Duration = Duration::from_secs(30);
/// A pod gets its node and runs.
const RUNS: Duration = Duration::from_secs(60);
/// A look at the whole cluster.
const LOOK: Duration = Duration::from_secs(60);

/// curl's exit code for a certificate that does not hold the name.
const NO_SUCH_NAME: i32 = 60;

const CLUSTER_CONFIGURATION: &str = "networking: {dnsDomain: lab.example}, \
    controllerManager: {extraArgs: [{name: node-cidr-mask-size, value: '25'}]}, \
    apiServer: {extraArgs: [{name: feature-gates, value: MutablePVNodeAffinity=true}]}";
const KUBERNETES: &str = "timeouts: {controlPlaneComponentHealthCheck: 8m}, certSANs: [api.example.test, 203.0.113.7], \
    kubeletConfig: {maxPods: 77, featureGates: {KubeletCrashLoopBackOffMax: true}}";
/// The third line fails once, the fourth needs what the agent's own unit forbids, the fifth holds a secret and looks for it in argv.
const HOOKS: &str = "{beforeJoin: ['touch /run/before', 'echo once >> /run/lines', \
    'test -e /run/failed || { touch /run/failed; false; }', 'unshare --mount true', \
    '! cat /proc/[0-9]*/cmdline | grep -aq my-[t]oken # my-token'], afterReady: ['touch /run/after']}";
const SECRET: &str = "my-token";
const WORKER: &str = "labels: {node-role.kubernetes.io/worker: '', topology.kubernetes.io/zone: z1, disk: ssd}, \
    annotations: {example.com/owner: team a}, kubeletConfig: {maxPods: 55}, \
    taints: ['dedicated=db:NoSchedule']";

fn nodes_plan() -> ClusterPlan {
    let control_plane = "taints: [], labels: {node-role.kubernetes.io/infra: ''}, annotations: {example.com/owner: team b}";
    let worker = format!("{WORKER}, hooks: {HOOKS}");
    ClusterPlan {
        kubeadm: CLUSTER_CONFIGURATION.into(),
        kubernetes: KUBERNETES.into(),
        node_keys: [("node1", control_plane.into()), ("node2", worker)].into(),
        more: "ssh: {kubeconfig: true}\nflatcarExtensions: [zfs]\n".into(),
        ..ClusterPlan::new("e2e-options-nodes", 1, 1)
    }
}

#[test]
fn every_option_of_nodes_has_its_effect() {
    let story = Story::new("options_nodes");
    let cluster = story.step("the lab is there", || Cluster::new(nodes_plan()));
    story.step("launch ends with exit code 0 and shows no hook", || {
        let done = cluster.launch(&[])?.ok()?;
        let shown = format!("{}{}", done.stdout, done.stderr);
        ensure!(!shown.contains(SECRET), "{shown}");
        Ok(())
    });
    nodes_have_their_marks(&story, &cluster);
    kubeadms_settings_have_their_effect(&story, &cluster);
    one_nodes_own_settings(&story, &cluster);
    hooks_ran_as_promised(&story, &cluster);
    core_is_an_administrator(&story, &cluster);
    a_control_plane_works(&story, &cluster, "lab.example");
    nothing_is_wrong(&story, &cluster, LOOK);
    story.step("destroy leaves nothing", || cluster.destroy());
}

#[test]
#[ignore = "a further launch (half a minute): make test-options"]
fn one_node_is_a_cluster() {
    let story = Story::new("options_one_node");
    let plan = ClusterPlan {
        node_keys: [("node1", "taints: []".into())].into(),
        ..ClusterPlan::new("e2e-one-node", 1, 0)
    };
    let cluster = story.step("the lab is there", || Cluster::new(plan));
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    a_control_plane_works(&story, &cluster, "cluster.local");
    nothing_is_wrong(&story, &cluster, LOOK);
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn metadata_value(node: &Value, kind: &str, key: &str) -> Option<String> {
    node["metadata"][kind][key].as_str().map(str::to_owned)
}

/// As kubectl writes them; the node controller's own go a moment after the node is Ready.
fn taints_of(node: &Value) -> Vec<String> {
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    let words = taints.map(|t| format!("{}={}:{}", t["key"], t["value"], t["effect"]));
    let words = words.map(|taint| taint.replace('"', ""));
    words
        .filter(|taint| !taint.starts_with("node.kubernetes.io/"))
        .collect()
}

fn nodes_have_their_marks(story: &Story, cluster: &Cluster) {
    let node = |name| cluster.kube().get(&["node", name]);
    story.step(
        "the worker has the role that its kubelet may not set",
        || {
            wait_until("label node-role.kubernetes.io/worker", GRANTED, || {
                let role =
                    metadata_value(&node("node2")?, "labels", "node-role.kubernetes.io/worker");
                ensure!(role.as_deref() == Some(""), "{role:?}");
                Ok(())
            })
        },
    );
    story.step("both have their labels, annotations and taints", || {
        let (plane, worker) = (node("node1")?, node("node2")?);
        for (key, value) in [("topology.kubernetes.io/zone", "z1"), ("disk", "ssd")] {
            let seen = metadata_value(&worker, "labels", key);
            ensure!(seen.as_deref() == Some(value), "{key}: {seen:?}");
        }
        for (node, owner) in [(&plane, "team b"), (&worker, "team a")] {
            let seen = metadata_value(node, "annotations", "example.com/owner");
            ensure!(seen.as_deref() == Some(owner), "{seen:?}");
            let asks = node["metadata"].to_string().contains("ha-agent/");
            ensure!(!asks, "it still asks: {}", node["metadata"]);
        }
        for role in ["control-plane", "infra"] {
            let key = format!("node-role.kubernetes.io/{role}");
            ensure!(metadata_value(&plane, "labels", &key).is_some(), "{key}");
        }
        let found = (taints_of(&plane), taints_of(&worker));
        let wanted = (Vec::new(), vec!["dedicated=db:NoSchedule".to_owned()]);
        ensure!(found == wanted, "{found:?}");
        Ok(())
    });
    story.step("a worker gives itself no further role", || {
        let patch = r#"{"metadata":{"labels":{"ha-agent/asks-for-labels":"","node-role.kubernetes.io/storage":""}}}"#;
        let conf = "/etc/kubernetes/kubelet.conf";
        let argv = ["kubectl", "--kubeconfig", conf, "patch", "node", "node2", "--type", "merge", "-p", patch];
        let asked = cluster.node("node2").run(&argv, LOOK)?.expect_exit_code(1)?.stderr;
        ensure!(asked.contains("is not allowed to modify labels"), "{asked}");
        Ok(())
    });
}

fn kubeadms_settings_have_their_effect(story: &Story, cluster: &Cluster) {
    let kube = cluster.kube();
    story.step(
        "a client takes the certificate for the names in certSANs, and no other",
        || {
            let through = format!("::{VIP}:{PORT}");
            let ask = |name: &str| {
                let url = format!("https://{name}:{PORT}/livez");
                let ca = "/etc/kubernetes/pki/ca.crt";
                let argv = [
                    "curl",
                    "-sS",
                    "--cacert",
                    ca,
                    "--connect-to",
                    &through,
                    &url,
                ];
                cluster.node("node2").run(&argv, LOOK)
            };
            for name in ["api.example.test", "203.0.113.7"] {
                let said = ask(name)?.ok()?.stdout;
                ensure!(said == "ok", "{name}: {said}");
            }
            ask("other.example.test")?.expect_exit_code(NO_SUCH_NAME)
        },
    );
    story.step("each node has a /25 of the pods' network", || {
        for name in ["node1", "node2"] {
            let cidr = kube.get(&["node", name])?["spec"]["podCIDR"].to_string();
            ensure!(cidr.contains("/25"), "{name}: {cidr}");
        }
        Ok(())
    });
    story.step(
        "the kubelets run with their settings, the apiserver with its feature gate",
        || {
            let raw = |path: &str| kube.ctl(&["get", "--raw", path]);
            let text = raw("/api/v1/nodes/node2/proxy/configz")?;
            let configz: Value = serde_json::from_str(&text)?;
            let seen = &configz["kubeletconfig"];
            ensure!(seen["maxPods"] == 55, "{}", seen["maxPods"]);
            let gates = &seen["featureGates"];
            ensure!(gates["KubeletCrashLoopBackOffMax"] == true, "{gates}");
            ensure!(
                seen["clusterDomain"] == "lab.example",
                "{}",
                seen["clusterDomain"]
            );
            let metrics = raw("/metrics")?;
            let mut lines = metrics.lines();
            let gate =
                lines.find(|line| line.contains("feature_enabled{name=\"MutablePVNodeAffinity\""));
            ensure!(gate.is_some_and(|line| line.ends_with(" 1")), "{gate:?}");
            Ok(())
        },
    );
}

fn one_nodes_own_settings(story: &Story, cluster: &Cluster) {
    story.step(
        "hooks of one node ran there alone, its kubelet has more of its own",
        || {
            for mark in ["/run/before", "/run/after"] {
                cluster.node("node2").sh(&format!("test -f {mark}"))?;
                let elsewhere = cluster.node("node1").run(&["test", "-e", mark], LOOK)?;
                elsewhere.expect_exit_code(1)?;
            }
            let kube = cluster.kube();
            for (name, pods) in [("node1", "77"), ("node2", "55")] {
                let seen = kube.get(&["node", name])?["status"]["capacity"]["pods"].clone();
                ensure!(seen == pods, "{name}: {seen}");
            }
            Ok(())
        },
    );
    story.step(
        "the apiserver has the time to start that timeouts gives it",
        || {
            let pod = cluster
                .kube()
                .get(&["pod", "-n", "kube-system", "kube-apiserver-node1"])?;
            let probe = &pod["spec"]["containers"][0]["startupProbe"];
            let seconds = probe["failureThreshold"]
                .as_u64()
                .zip(probe["periodSeconds"].as_u64());
            ensure!(seconds.is_some_and(|(n, each)| n * each == 480), "{probe}");
            Ok(())
        },
    );
}

fn hooks_ran_as_promised(story: &Story, cluster: &Cluster) {
    let node = cluster.node("node2");
    story.step(
        "a line that fails is run again, those before it are not",
        || {
            let lines = node.read("/run/lines")?;
            ensure!(lines == "once\n", "{lines}");
            let journal = node.sh("journalctl --boot --unit ha-agent")?;
            let failed = "hook before-join, line 3 of 5: exit code 1";
            ensure!(journal.contains(failed), "{journal}");
            Ok(())
        },
    );
    story.step("no line is in a log, an event or the status", || {
        let told = node.sh("journalctl --boot; cat /run/ha-agent/*.json*")?;
        ensure!(
            told.contains("hook before-join") && !told.contains(SECRET),
            "{told}"
        );
        Ok(())
    });
}

fn core_is_an_administrator(story: &Story, cluster: &Cluster) {
    let as_core = "setpriv --reuid core --regid core --clear-groups env HOME=/home/core";
    story.step("user core of control planes asks the API", || {
        let ask = format!("{as_core} kubectl get nodes && stat -c '%U %a' /home/core/.kube/config");
        let said = cluster.node("node1").sh(&ask)?;
        ensure!(
            said.contains("node2") && said.ends_with("core 600\n"),
            "{said}"
        );
        let elsewhere = cluster
            .node("node2")
            .run(&["test", "-e", "/home/core/.kube"], LOOK)?;
        elsewhere.expect_exit_code(1).map(drop)
    });
    story.step("a renewed kubeconfig is copied again", || {
        let renew = "kubeadm certs renew admin.conf && cat /etc/kubernetes/admin.conf";
        let renewed = cluster.node("node1").sh(renew)?;
        wait_until("the copy is the same", GRANTED, || {
            let copy = cluster.node("node1").read("/home/core/.kube/config")?;
            ensure!(renewed.ends_with(&copy) && !copy.is_empty(), "an old copy");
            Ok(())
        })
    });
    story.step("Flatcar is told its extensions", || {
        let told = cluster
            .node("node2")
            .read("/etc/flatcar/enabled-sysext.conf")?;
        ensure!(told == "zfs\n", "{told}");
        Ok(())
    });
}

fn a_control_plane_works(story: &Story, cluster: &Cluster, domain: &str) {
    let kube = cluster.kube();
    story.step(
        "a pod without tolerations runs on the control plane",
        || {
            let image = kube.lab_image()?;
        let command = ["/usr/local/bin/busybox", "sleep", "3600"];
        let container = json!({"name": "guest", "image": image, "imagePullPolicy": "Never", "command": command});
        let overrides = json!({"spec": {"containers": [container], "terminationGracePeriodSeconds": 0}});
        let [image, overrides] = [format!("--image={image}"), format!("--overrides={overrides}")];
        kube.ctl(&["run", "guest", &image, &overrides])?;
        wait_until("it runs on node1", RUNS, || {
                let pod = kube.get(&["pod", "guest"])?;
                let seen = (&pod["status"]["phase"], &pod["spec"]["nodeName"]);
                ensure!(seen.0 == "Running" && seen.1 == "node1", "{seen:?}");
                Ok(())
            })
        },
    );
    story.step("names are resolved in the cluster's own domain", || {
        wait_until("an answer", RUNS, || ensure_resolves(cluster, domain))
    });
}

fn ensure_resolves(cluster: &Cluster, domain: &str) -> Result<()> {
    let look =
        "/usr/local/bin/busybox nslookup kubernetes.default.svc.lab.example; cat /etc/resolv.conf";
    let said = cluster.kube().in_pod("guest", look, RUNS)?;
    ensure!(said.contains("10.96.0.1"), "{said}");
    ensure!(
        said.contains(&format!("search default.svc.{domain} ")),
        "{said}"
    );
    Ok(())
}
