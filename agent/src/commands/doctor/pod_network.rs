//! What the container runtime needs to give pods a network, and CRI-O's own directories.

use ha_wire::settings::{Cni, Cri};
use serde_json::Value;

use crate::context::Context;
use crate::phases::is_settled;
use crate::phases::preflight::check::{Check, Verdict, passing_check};
use crate::sys::files::Files;

const CONFIGS: &str = "/etc/cni/net.d";
/// Where runtimes look for the plugins.
const PROGRAMS: [&str; 4] = [
    "/opt/cni/bin",
    "/usr/libexec/cni",
    "/usr/lib/cni",
    "/usr/local/lib/cni",
];
/// Without these CRI-O does not start, or starts no container.
const CRIO_NEEDS: [&str; 2] = ["/etc/crio", "/etc/containers/policy.json"];

/// Of a node that has joined; before, it is nobody's fault.
pub fn check_pod_network(cx: &Context) -> Vec<Check> {
    let files = &cx.sys.files;
    let mut checks = Vec::new();
    if is_settled(cx) {
        checks.extend(check_cni(files, &cx.node.cni));
    }
    if cx.node.kubernetes.cri == Cri::Crio {
        checks.push(check_crio(files));
    }
    checks
}

fn check_cni(files: &Files, cni: &Cni) -> Vec<Check> {
    let check = passing_check("pod network", &format!("ls {CONFIGS}"));
    let names = files.names(CONFIGS).unwrap_or_default();
    let is_config = |name: &&String| {
        let end = name.rsplit_once('.').map(|(_, end)| end);
        matches!(end, Some("conf" | "conflist" | "json"))
    };
    // The runtime takes the first by name.
    let Some(first) = names.iter().filter(is_config).min() else {
        let reason = format!("no pod network on this node: {CONFIGS} holds no configuration");
        let cure = match cni {
            Cni::None => "install your pod network: the cluster file says `cni: none`",
            _ => {
                "kubectl -n kube-system get pods -o wide shows its pod of this node, and ha-host logs what its installer said"
            }
        };
        return vec![check.with(Verdict::Fail, reason, cure)];
    };
    let text = files.read(&format!("{CONFIGS}/{first}"));
    let text = text.ok().flatten().unwrap_or_default();
    let missing = missing_programs(files, &text);
    vec![check.says(first.clone()), check_programs(first, &missing)]
}

fn check_programs(config: &str, missing: &[String]) -> Check {
    let check = passing_check("pod network programs", &format!("ls {}", PROGRAMS[0]));
    if missing.is_empty() {
        return check;
    }
    let missing = missing.join(", ");
    let reason = format!(
        "{config} wants {missing}, which is in none of {}",
        PROGRAMS.join(", ")
    );
    let remedy = "the pod network's own pod, or the kubernetes sysext, puts it there: restart that";
    check.with(Verdict::Warn, reason, remedy)
}

/// Plugins of a CNI configuration that are not there.
fn missing_programs(files: &Files, config: &str) -> Vec<String> {
    let config: Value = serde_json::from_str(config).unwrap_or_default();
    let plugins = config["plugins"].as_array().cloned();
    let plugins = plugins.unwrap_or_else(|| vec![config.clone()]);
    let is_there = |name: &str| {
        PROGRAMS
            .iter()
            .any(|dir| files.exists(&format!("{dir}/{name}")))
    };
    let kinds = plugins.iter().filter_map(|plugin| plugin["type"].as_str());
    kinds
        .filter(|kind| !is_there(kind))
        .map(str::to_owned)
        .collect()
}

fn check_crio(files: &Files) -> Check {
    let check = passing_check(
        "CRI-O's directories",
        &format!("ls -d {}", CRIO_NEEDS.join(" ")),
    );
    let missing: Vec<&str> = CRIO_NEEDS
        .into_iter()
        .filter(|name| !files.exists(name))
        .collect();
    if missing.is_empty() {
        return check;
    }
    let reason = format!(
        "{} not there: CRI-O starts no container",
        missing.join(", ")
    );
    let remedy = "systemctl restart crio copies them from its sysext (/usr/share/crio/etc); is that merged? (systemd-sysext status)";
    check.with(Verdict::Fail, reason, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const CONFLIST: &str = r#"{"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge"}, {"type": "portmap"}]}"#;

    #[test]
    fn a_joined_node_without_a_pod_network_is_named() {
        let machine = testing::fake_machine(testing::worker());
        assert!(
            check_pod_network(&machine.cx).is_empty(),
            "it has not joined"
        );
        machine.file(crate::kube::KUBELET_CONF, "");
        machine.file(crate::kube::KUBELET_PEM, "");
        let verdicts = || {
            let checks = check_pod_network(&machine.cx);
            let told = checks.into_iter().filter(|c| c.verdict != Verdict::Pass);
            told.map(|c| (c.name, c.verdict)).collect::<Vec<_>>()
        };
        let fault = |name: &str, verdict| [(name.to_owned(), verdict)];
        assert_eq!(verdicts(), fault("pod network", Verdict::Fail));
        machine.file("/etc/cni/net.d/10-net.conflist", CONFLIST);
        machine.file("/opt/cni/bin/bridge", "");
        assert_eq!(verdicts(), fault("pod network programs", Verdict::Warn));
        machine.file("/usr/libexec/cni/portmap", "");
        assert_eq!(verdicts(), []);
    }

    #[test]
    fn cri_o_s_directories_are_looked_for_where_it_is_the_runtime() {
        let mut node = testing::worker();
        node.kubernetes.cri = Cri::Crio;
        let machine = testing::fake_machine(node);
        let check = check_pod_network(&machine.cx).remove(0);
        assert_eq!(check.verdict, Verdict::Fail);
        assert!(check.reason.contains("/etc/containers/policy.json"));
        machine.file("/etc/crio/crio.conf", "");
        machine.file("/etc/containers/policy.json", "{}");
        assert_eq!(check_pod_network(&machine.cx)[0].verdict, Verdict::Pass);
    }
}
