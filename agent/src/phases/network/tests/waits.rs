//! What the phase does while the API is silent, and what it tells of Cilium's pods.

use ha_kube::testing::HANG_UP;

use super::*;

const NONE: &str = r#"{"items":[]}"#;
const OWN_NODE: &str = "GET /api/v1/nodes/node1";

#[test]
fn an_api_that_does_not_answer_is_a_wait_and_no_failure() {
    run_local(async {
        for (net, status) in [(160, HANG_UP), (161, 503), (162, 429), (163, 500)] {
            let (machine, api) = network_fixture(testing::founder(), cilium_cni(), net).await;
            api.on(OWN_NODE, status, "");
            assert!(needed(&machine.cx).await.unwrap(), "{status}");
            api.from_now_on(OWN_NODE, 200, READY);
            for _ in 0..3 {
                api.on(SECRETS, status, "");
            }
            api.on(SECRETS, 200, NONE);
            assert!(needed(&machine.cx).await.unwrap(), "{status}");
            super::super::run(&machine.cx).await.unwrap();
            assert_eq!(changing_programs(&machine), ["cilium install"], "{status}");
            let waited = |e: &serde_json::Value| e["what"] == "the API to answer";
            assert!(machine.events().iter().any(waited), "{status}");
        }
    });
}

#[test]
fn what_the_api_refuses_is_a_failure() {
    run_local(async {
        let (machine, api) = network_fixture(testing::founder(), cilium_cni(), 164).await;
        api.on(OWN_NODE, 200, READY).on(SECRETS, 403, "{}");
        assert!(needed(&machine.cx).await.is_err());
        assert!(super::super::run(&machine.cx).await.is_err());
    });
}

/// More looks than there is patience for.
const MANY: u32 = 620;

#[test]
fn patience_ends_for_a_node_that_is_called_not_ready_and_not_for_a_silent_api() {
    run_local(async {
        let (machine, api) = network_fixture(testing::worker(), Cni::None, 165).await;
        for _ in 0..MANY {
            api.on("GET /api/v1/nodes/node4", 503, "");
        }
        api.on("GET /api/v1/nodes/node4", 200, READY);
        super::super::run(&machine.cx).await.unwrap();
        let (machine, api) = network_fixture(testing::worker(), Cni::None, 166).await;
        api.on("GET /api/v1/nodes/node4", 200, NOT_READY);
        let error = super::super::run(&machine.cx).await.unwrap_err();
        assert!(
            error.to_string().starts_with("not Ready after 5 min"),
            "{error}"
        );
    });
}

/// The installer failed because the API broke off; the release is looked at once the API answers again.
#[test]
fn after_a_failed_install_the_release_counts_however_late_the_api_tells_it() {
    run_local(async {
        let (machine, api) = network_fixture(testing::founder(), cilium_cni(), 167).await;
        api.on(OWN_NODE, 200, READY);
        for (status, text) in [(200, NONE), (200, NONE), (503, ""), (HANG_UP, "")] {
            api.on(SECRETS, status, text);
        }
        api.on(SECRETS, 200, &helm_release("deployed"));
        let failed = Err(anyhow::anyhow!("exit code 1"));
        machine.commands.answer(INSTALL, failed);
        super::super::run(&machine.cx).await.unwrap();
        assert_eq!(installing_node(&api), "");
    });
}

const PODS: &str = "GET /api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dcilium&fieldSelector=spec.nodeName%3D";

fn cilium_pods(statuses: &serde_json::Value) -> String {
    json!({"items": [{"metadata": {"name": "cilium-x7k2p"}, "status": statuses}]}).to_string()
}

/// What was told as the last try's word of a node that is not Ready for longer than a good launch takes.
async fn last_errors_with(net: u8, statuses: &serde_json::Value) -> Vec<String> {
    let (machine, api) = network_fixture(testing::worker(), cilium_cni(), net).await;
    for _ in 0..90 {
        api.on("GET /api/v1/nodes/node4", 200, NOT_READY);
    }
    api.on("GET /api/v1/nodes/node4", 200, READY);
    api.on(&format!("{PODS}node4"), 200, &cilium_pods(statuses));
    super::super::run(&machine.cx).await.unwrap();
    let words = machine.events().into_iter();
    words
        .filter_map(|e| e["lastError"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_node_that_waits_for_cilium_tells_what_its_pod_does() {
    run_local(async {
        let done = json!({"name": "config", "ready": true, "state": {"terminated": {"reason": "Completed"}}});
        let waits = json!({"name": "mount-cgroup", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}});
        let initializing = json!({"name": "cilium-agent", "ready": false, "state": {"waiting": {"reason": "PodInitializing"}}});
        let crashes = json!({"name": "cilium-agent", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
            "lastState": {"terminated": {"reason": "Error", "message": "Could not create CiliumNode"}}});
        let starts = json!({"name": "cilium-agent", "ready": false, "state": {"running": {}}});
        for (net, statuses, words) in [
            (
                168,
                json!({"initContainerStatuses": [done, waits], "containerStatuses": [initializing]}),
                "init container 2 of 2 (mount-cgroup) waits: ImagePullBackOff: Back-off pulling image",
            ),
            (
                169,
                json!({"initContainerStatuses": [done], "containerStatuses": [crashes]}),
                "container cilium-agent waits: CrashLoopBackOff: Could not create CiliumNode (restarts: 3)",
            ),
            (
                170,
                json!({"initContainerStatuses": [done], "containerStatuses": [starts]}),
                "container cilium-agent runs and is not ready",
            ),
        ] {
            let told = last_errors_with(net, &statuses).await;
            let wanted = format!("cni plugin not initialized; pod cilium-x7k2p: {words}");
            assert!(told.contains(&wanted), "{wanted}: {told:#?}");
        }
    });
}

#[test]
fn a_node_that_waits_for_another_pod_network_tells_what_its_pod_does() {
    let fails = |name: &str, host_network: bool, annotations: serde_json::Value| {
        let pulls = json!({"name": "install-cni", "ready": false,
            "state": {"waiting": {"reason": "ErrImagePull", "message": "no route to host"}}});
        json!({"metadata": {"name": name, "namespace": "calico-system", "annotations": annotations},
            "spec": {"hostNetwork": host_network}, "status": {"initContainerStatuses": [pulls]}})
    };
    let pods = json!({"items": [
        fails("etcd-node4", true, json!({"kubernetes.io/config.mirror": "x"})),
        fails("coredns-1", false, json!({})),
        json!({"metadata": {"name": "kube-proxy-1"}, "spec": {"hostNetwork": true},
            "status": {"containerStatuses": [{"name": "kube-proxy", "ready": true, "state": {"running": {}}}]}}),
        fails("calico-node-1", true, json!({})),
    ]});
    run_local(async {
        let manifests = Cni::Manifests {
            sources: Vec::new(),
        };
        let (machine, api) = network_fixture(testing::worker(), manifests, 172).await;
        for _ in 0..90 {
            api.on("GET /api/v1/nodes/node4", 200, NOT_READY);
        }
        api.on("GET /api/v1/nodes/node4", 200, READY);
        api.on(
            "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dnode4",
            200,
            &pods.to_string(),
        );
        super::super::run(&machine.cx).await.unwrap();
        let wanted = "cni plugin not initialized; pod calico-node-1: init container 1 of 1 (install-cni) waits: ErrImagePull: no \
                      route to host";
        let events = machine.events();
        assert!(
            events.iter().any(|e| e["lastError"] == wanted),
            "{events:#?}"
        );
    });
}

#[test]
fn a_control_plane_tells_on_how_many_nodes_cilium_is_ready() {
    run_local(async {
        let (machine, api) = network_fixture(testing::founder(), cilium_cni(), 171).await;
        api.on(SECRETS, 200, &helm_release("deployed"));
        let counts = json!({"status": {"desiredNumberScheduled": 5, "numberReady": 1}});
        api.on(DAEMON_SET, 200, &counts.to_string());
        for _ in 0..20 {
            api.on(OWN_NODE, 200, NOT_READY);
        }
        api.on(OWN_NODE, 200, READY);
        super::super::run(&machine.cx).await.unwrap();
        assert_eq!(
            machine.status().network,
            "cilium 1.18.1 ready on 1 of 5 nodes"
        );
        assert_eq!(
            machine.orders(),
            Vec::<String>::new(),
            "no program is asked"
        );
    });
}
