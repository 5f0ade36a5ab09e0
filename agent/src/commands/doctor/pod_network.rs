//! What the container runtime needs to give pods a network, where it looks for that, and CRI-O's own directories.

use ha_wire::settings::{Cni, Cri};
use serde_json::Value;

use crate::context::Context;
use crate::phases::is_settled;
use crate::phases::preflight::check::{Check, Verdict, passing_check};
use crate::sys::files::Files;

mod crio;

use crio::CrioConfig;

/// Where pod networks write their configuration, and both runtimes look for it unless they are told another place.
const CONFIGS: &str = "/etc/cni/net.d";
/// Where containerd may be told to look for the plugins.
const PROGRAMS: [&str; 4] = [
    "/opt/cni/bin",
    "/usr/libexec/cni",
    "/usr/lib/cni",
    "/usr/local/lib/cni",
];

/// Where the runtime looks.
struct CniPlaces {
    configs: String,
    programs: Vec<String>,
}

/// Of a node that has joined; before, it is nobody's fault.
pub fn check_pod_network(cx: &Context) -> Vec<Check> {
    if !cx.node.is_kubernetes_node() {
        return Vec::new();
    }
    let files = &cx.sys.files;
    let crio = (cx.node.kubernetes.cri == Cri::Crio).then(|| CrioConfig::read(files));
    let mut checks = Vec::new();
    if is_settled(cx) {
        let places = match &crio {
            Some(crio) => crio.cni_places(),
            None => CniPlaces {
                configs: CONFIGS.to_owned(),
                programs: PROGRAMS.map(str::to_owned).into(),
            },
        };
        checks.extend(check_cni(files, &cx.node.cni, &places));
    }
    checks.extend(crio.map(|crio| crio.check_policy(files)));
    checks
}

fn check_cni(files: &Files, cni: &Cni, places: &CniPlaces) -> Vec<Check> {
    let CniPlaces { configs, programs } = places;
    let check = passing_check("pod network", &format!("ls {configs}"));
    let names = files.names(configs).unwrap_or_default();
    let is_config = |name: &&String| {
        let end = name.rsplit_once('.').map(|(_, end)| end);
        matches!(end, Some("conf" | "conflist" | "json"))
    };
    // The runtime takes the first by name.
    let Some(first) = names.iter().filter(is_config).min() else {
        let reason = format!("no pod network on this node: {configs} holds no configuration");
        let remedy = match cni {
            _ if configs != CONFIGS => {
                "CRI-O looks there alone, and pod networks write to /etc/cni/net.d: take network_dir out of /etc/crio/crio.conf and \
                 /etc/crio/crio.conf.d (crio status config shows it), then `systemctl restart crio`"
            }
            Cni::None => "install your pod network: the cluster file says `cni: none`",
            _ => {
                "kubectl -n kube-system get pods -o wide shows its pod of this node, and ha-host logs what its installer said"
            }
        };
        return vec![check.with(Verdict::Fail, reason, remedy)];
    };
    let text = files.read(&format!("{configs}/{first}"));
    let text = text.ok().flatten().unwrap_or_default();
    let missing = missing_plugins(files, &text, programs);
    let programs = check_plugins(first, &missing, programs);
    vec![check.says(first.clone()), programs]
}

fn check_plugins(config: &str, missing: &[String], programs: &[String]) -> Check {
    let programs = programs.join(" ");
    let check = passing_check("pod network programs", &format!("ls {programs}"));
    if missing.is_empty() {
        return check;
    }
    let missing = missing.join(", ");
    let reason = format!("{config} wants {missing}, which is in none of {programs}");
    let remedy = "the pod network's own pod, or the kubernetes sysext, puts it into /opt/cni/bin: restart that; CRI-O looks where \
                  plugin_dirs of its configuration says";
    check.with(Verdict::Warn, reason, remedy)
}

/// Plugins of a CNI configuration that are not there.
fn missing_plugins(files: &Files, config: &str, programs: &[String]) -> Vec<String> {
    let config: Value = serde_json::from_str(config).unwrap_or_default();
    let plugins = config["plugins"].as_array().cloned();
    let plugins = plugins.unwrap_or_else(|| vec![config.clone()]);
    let is_there = |name: &str| {
        programs
            .iter()
            .any(|dir| files.exists(&format!("{dir}/{name}")))
    };
    let kinds = plugins.iter().filter_map(|plugin| plugin["type"].as_str());
    kinds
        .filter(|kind| !is_there(kind))
        .map(str::to_owned)
        .collect()
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

    /// Guide 004, 6.10: CRI-O looks elsewhere than where the pod network writes.
    #[test]
    fn a_pod_network_where_cri_o_does_not_look_is_named_with_cri_o_s_key() {
        let mut node = testing::worker();
        node.kubernetes.cri = Cri::Crio;
        let machine = testing::fake_machine(node);
        machine.file(crate::kube::KUBELET_CONF, "");
        machine.file(crate::kube::KUBELET_PEM, "");
        machine.file("/etc/containers/policy.json", "{}");
        machine.file("/etc/cni/net.d/10-net.conflist", CONFLIST);
        machine.file("/opt/cni/bin/bridge", "");
        machine.file("/opt/cni/bin/portmap", "");
        let unwell = || {
            let checks = check_pod_network(&machine.cx).into_iter();
            checks
                .filter(|c| c.verdict != Verdict::Pass)
                .collect::<Vec<_>>()
        };
        assert_eq!(unwell(), []);
        let drop_in = "/etc/crio/crio.conf.d/20-net.conf";
        machine.file(
            drop_in,
            "[crio.network]\nplugin_dirs = [\"/usr/libexec/cni\"]\n",
        );
        let [programs] = &unwell()[..] else {
            panic!("{:?}", unwell())
        };
        for words in ["bridge, portmap", "none of /usr/libexec/cni"] {
            assert!(programs.reason.contains(words), "{}", programs.reason);
        }
        machine.file(
            drop_in,
            "[crio.network]\nnetwork_dir = \"/etc/crio/net.d/\"\n",
        );
        let [network] = &unwell()[..] else {
            panic!("{:?}", unwell())
        };
        assert!(network.reason.contains("/etc/crio/net.d holds no"));
        assert!(
            network.remedy.contains("take network_dir out"),
            "{}",
            network.remedy
        );
    }
}
