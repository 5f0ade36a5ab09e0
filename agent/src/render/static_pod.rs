//! Manifests of keepalived and haproxy as the kubelet's static pods.
//!
//! They may lie there before kubeadm has run: its preflight asks for its own four names alone, and the kubelet that it starts runs
//! them at the same moment as etcd and the apiserver.

use ha_wire::settings::BalancerImages;
use serde_json::{Value, json};

pub const HAPROXY: &str = "/etc/kubernetes/manifests/haproxy.yaml";
pub const KEEPALIVED: &str = "/etc/kubernetes/manifests/keepalived.yaml";
/// keepalived's configuration on the node.
pub const KEEPALIVED_DIR: &str = "/etc/keepalived";
/// And in its container: images keep what it was built with in /etc/keepalived.
pub const KEEPALIVED_IN_IMAGE: &str = "/etc/ha-keepalived";

/// Where each program leaves its process' number, which is the node's own.
pub fn pid_file(program: &str) -> String {
    format!("/run/{program}/{program}.pid")
}

pub fn haproxy(images: &BalancerImages) -> String {
    let pid_file = pid_file("haproxy");
    let args = [
        "-W",
        "-db",
        "-f",
        "/etc/haproxy/haproxy.cfg",
        "-p",
        &pid_file,
    ];
    let container = json!({
        "name": "haproxy", "image": images.haproxy, "command": ["haproxy"], "args": args, "resources": resource_requests(),
        "securityContext": security_context(&["NET_BIND_SERVICE"]),
        "volumeMounts": [volume_mount("config", "/etc/haproxy", true), volume_mount("run", "/run/haproxy", false)],
    });
    let volumes = [
        host_path_volume("config", "/etc/haproxy", "Directory"),
        host_path_volume("run", "/run/haproxy", "DirectoryOrCreate"),
    ];
    render_pod("haproxy", &container, &volumes)
}

/// SYS_NICE: real time. SYS_RESOURCE: its limit there, which a reload lowers and raises again (without it the kernel kills it right after).
/// IPC_LOCK: it is never swapped out. SETUID, SETGID: it runs the agent's probe as root of its own accord.
/// The health file's directory is writable: keepalived follows no file on a read-only mount, and would hold the VIP whatever the
/// agent says. So is /run: a process number that cannot be kept there (BFD's, too) is "daemon is already running".
/// `raises_limits`: this machine has SYS_RESOURCE to give; runc starts no container that asks for what it has not.
pub fn keepalived(images: &BalancerImages, raises_limits: bool) -> String {
    let mut added = vec![
        "NET_ADMIN",
        "NET_RAW",
        "SYS_NICE",
        "IPC_LOCK",
        "SETUID",
        "SETGID",
    ];
    if raises_limits {
        added.push("SYS_RESOURCE");
    }
    let args = [
        "--dont-fork".to_owned(),
        "--log-console".to_owned(),
        format!("--use-file={KEEPALIVED_IN_IMAGE}/keepalived.conf"),
        format!("--pid={}", pid_file("keepalived")),
        "--vrrp_pid=/run/keepalived/vrrp.pid".to_owned(),
        "--checkers_pid=/run/keepalived/checkers.pid".to_owned(),
    ];
    let container = json!({
        "name": "keepalived", "image": images.keepalived, "command": ["keepalived"], "args": args, "resources": resource_requests(),
        "securityContext": security_context(&added),
        "volumeMounts": [
            volume_mount("scratch", "/run", false), volume_mount("config", KEEPALIVED_IN_IMAGE, true),
            volume_mount("agent", "/usr/bin/ha-agent", true),
            volume_mount("health", "/run/ha-agent", false), volume_mount("haproxy", "/run/haproxy", true),
            volume_mount("run", "/run/keepalived", false),
        ],
    });
    let volumes = [
        json!({"name": "scratch", "emptyDir": {"medium": "Memory"}}),
        host_path_volume("config", KEEPALIVED_DIR, "Directory"),
        host_path_volume("agent", "/usr/bin/ha-agent", "File"),
        host_path_volume("health", "/run/ha-agent", "Directory"),
        host_path_volume("haproxy", "/run/haproxy", "DirectoryOrCreate"),
        host_path_volume("run", "/run/keepalived", "DirectoryOrCreate"),
    ];
    render_pod("keepalived", &container, &volumes)
}

/// Without a request of its own a container gets the processor last of all.
fn resource_requests() -> Value {
    json!({"requests": {"cpu": "100m", "memory": "50Mi"}})
}

/// `hostPID`: the agent tells them by signals. Evicted last, and first to come back.
fn render_pod(name: &str, container: &Value, volumes: &[Value]) -> String {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "kube-system", "labels": {"component": name, "tier": "control-plane"}},
        "spec": {
            "hostNetwork": true, "hostPID": true, "priorityClassName": "system-node-critical",
            "terminationGracePeriodSeconds": 5,
            "containers": [container],
            "volumes": volumes,
        },
    });
    format!("{pod:#}\n")
}

fn security_context(added: &[&str]) -> Value {
    json!({
        "runAsUser": 0, "runAsGroup": 0, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"], "add": added}, "seccompProfile": {"type": "RuntimeDefault"},
    })
}

fn volume_mount(name: &str, path: &str, read_only: bool) -> Value {
    json!({"name": name, "mountPath": path, "readOnly": read_only})
}

fn host_path_volume(name: &str, path: &str, kind: &str) -> Value {
    json!({"name": name, "hostPath": {"path": path, "type": kind}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{assert_golden, container_nodes};
    use crate::render::validators::assert_kubectl_keeps;

    #[test]
    fn golden_files_which_the_api_s_own_type_takes_whole() {
        let (_, node) = container_nodes().remove(0);
        let images = node.load_balancer.images.unwrap();
        assert!(!keepalived(&images, false).contains("SYS_RESOURCE"));
        for (file, text) in [
            (HAPROXY, haproxy(&images)),
            (KEEPALIVED, keepalived(&images, true)),
        ] {
            let name = file.rsplit_once('/').unwrap().1;
            assert_golden(&format!("static-pod/{name}"), &text);
            assert_kubectl_keeps(name, &text);
        }
    }
}
