//! The programs that read the rendered files, asked whether they would. Tests only.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use ha_test_support::real;
use ha_wire::node::NodeFile;
use ha_wire::paths;
use serde_json::Value;

use super::{haproxy, keepalived as rendered, quadlet};
use crate::testing;

/// Texts to judge, each with the words that a failure names it by.
pub type Texts = BTreeMap<String, String>;

/// `haproxy -c`, without a warning, of each version that is to be had.
pub fn assert_haproxy_accepts(texts: &Texts) {
    for haproxy in real::programs_in_every_suite("haproxy", "haproxy") {
        haproxy_accepts(&haproxy, texts);
    }
}

fn haproxy_accepts(haproxy: &Path, texts: &Texts) {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.crt");
    std::fs::write(&ca, testing::ca_pem()).unwrap();
    side_by_side(texts, dir.path(), |name, text, file| {
        let text = text
            .replace(haproxy::CA, ca.to_str().unwrap())
            .replace("/run/haproxy", dir.path().to_str().unwrap());
        std::fs::write(file, text).unwrap();
        let mut command = Command::new(haproxy);
        command.env(paths::STATS_PASSWORD, "hush");
        let out = command.args(["-c", "-f"]).arg(file).output();
        let name = format!("{name}, {}", haproxy.display());
        assert_accepted(&name, &out.unwrap(), "WARNING");
    });
}

/// `kubeadm config validate`, with nothing to say against it, whatever its version: the texts get that version. IPVS it may
/// call deprecated (from 1.37 on), which is the user's own choice.
pub fn assert_kubeadm_accepts(texts: &Texts) {
    let Some(kubeadm) = real::of_kubernetes("kubeadm") else {
        return;
    };
    let rendered = testing::founder().kubernetes.version;
    let own = real::version_of_kubeadm(&kubeadm);
    let dir = tempfile::tempdir().unwrap();
    // kubeadm wants the discovery file to be there.
    let discovery = dir.path().join("discovery");
    std::fs::write(&discovery, "").unwrap();
    side_by_side(texts, dir.path(), |name, text, file| {
        let text = text
            .replace(paths::DISCOVERY, discovery.to_str().unwrap())
            .replace(&format!("\"v{rendered}\""), &format!("\"v{own}\""));
        std::fs::write(file, text).unwrap();
        let validate = ["config", "validate", "--config"];
        let out = Command::new(&kubeadm).args(validate).arg(file).output();
        let out = out.unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        let is_of_ipvs = |line: &str| line.contains(r#""mode" is set to "ipvs""#);
        let against = said.lines().find(|line| !is_of_ipvs(line));
        assert_eq!(against, None, "{name}, kubeadm {own}");
        assert_eq!(String::from_utf8_lossy(&out.stdout), "ok\n", "{name}");
    });
}

/// `keepalived -t`, without a warning, of each version that is to be had, where the interfaces are there.
pub fn assert_keepalived_accepts(texts: &Texts) {
    for keepalived in real::programs_in_every_suite("keepalived", "keepalived") {
        keepalived_accepts(&keepalived, texts);
    }
}

fn keepalived_accepts(keepalived: &Path, texts: &Texts) {
    let needed = (real::require_program("ip", "iproute2"), real::own_network());
    let (Some(ip), Some(mut in_namespace)) = needed else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let health = dir.path().join("vip-health");
    let mut interfaces: Vec<&str> = texts
        .values()
        .flat_map(|text| interface_names(text))
        .collect();
    interfaces.sort_unstable();
    interfaces.dedup();
    for (at, text) in texts.values().enumerate() {
        // The script's program must be there and belong to root; newer ones want the directory of the health file, too.
        let text = text
            .replace(rendered::AGENT, "/usr/bin/true")
            .replace(paths::HEALTH_FILE, health.to_str().unwrap());
        std::fs::write(dir.path().join(format!("{at}.conf")), text).unwrap();
    }
    // One namespace for all of them.
    let script = r#"set -e; cd "$1"; shift; keepalived=$1 ip=$2; shift 2
        for i; do "$ip" link add "$i" type veth peer name "peer$((n = n + 1))"; "$ip" link set "$i" up; done
        for f in *.conf; do code=0; "$keepalived" -t -f "$f" > "$f.said" 2>&1 || code=$?; echo $code > "$f.code"; done"#;
    in_namespace
        .args(["sh", "-c", script, "sh"])
        .args([dir.path(), keepalived, &ip])
        .args(interfaces);
    assert_accepted("the namespace", &in_namespace.output().unwrap(), "rror");
    for (at, name) in texts.keys().enumerate() {
        let of = |kind| std::fs::read_to_string(dir.path().join(format!("{at}.conf.{kind}")));
        let (code, said) = (of("code").unwrap(), of("said").unwrap());
        let name = format!("{name}, {}", keepalived.display());
        assert!(keepalived_is_content(code.trim(), &said), "{name}: {said}");
    }
}

/// podman's generator makes a unit of each, and has nothing to say against it.
pub fn assert_quadlet_accepts(nodes: &[(&str, NodeFile)]) {
    let Some(quadlet_program) = real::of_lab("runners/judge/quadlet", "make lab-runners") else {
        return;
    };
    for (name, node) in nodes {
        let dir = tempfile::tempdir().unwrap();
        let images = node.load_balancer.images.as_ref().unwrap();
        for (file, text) in [
            (quadlet::HAPROXY, quadlet::haproxy(node, images)),
            (quadlet::KEEPALIVED, quadlet::keepalived(node, images)),
        ] {
            let file = Path::new(file).file_name().unwrap();
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        let mut command = Command::new(&quadlet_program);
        command.env("QUADLET_UNIT_DIRS", dir.path());
        let out = command.arg("-dryrun").output().unwrap();
        assert_accepted(name, &out, "rror");
        let made = String::from_utf8_lossy(&out.stdout);
        for unit in ["---haproxy.service---", "---keepalived.service---"] {
            assert!(made.contains(unit), "{name}: {made}");
        }
    }
}

/// kubectl reads it into the API's own type, which keeps no field that it does not know, and writes it out again.
pub fn assert_kubectl_keeps(name: &str, manifest: &str) {
    let Some(kubectl) = real::of_kubernetes("kubectl") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pod.yaml");
    std::fs::write(&file, manifest).unwrap();
    let set = [
        "set",
        "env",
        "--local",
        "A=b",
        "--output",
        "json",
        "--filename",
    ];
    let out = Command::new(kubectl).args(set).arg(&file).output().unwrap();
    assert_accepted(name, &out, "rror");
    let kept: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_holds(&kept, &serde_json::from_str(manifest).unwrap(), name);
}

fn assert_holds(kept: &Value, written: &Value, at: &str) {
    match written {
        Value::Object(fields) => {
            for (key, value) in fields {
                assert_holds(&kept[key], value, &format!("{at}.{key}"));
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                assert_holds(&kept[i], value, &format!("{at}[{i}]"));
            }
        }
        // What is false is left out.
        Value::Bool(false) => assert!(!kept.as_bool().unwrap_or_default(), "{at}"),
        value => assert_eq!(kept, value, "{at}"),
    }
}

/// Its own, and those that it tracks.
fn interface_names(config: &str) -> impl Iterator<Item = &str> {
    let own = |line: &'_ str| line.trim().starts_with("interface ");
    let tracked = config
        .lines()
        .skip_while(|line| !line.contains("track_interface"));
    let tracked = tracked.skip(1).take_while(|line| !line.contains('}'));
    let lines = config.lines().filter(move |line| own(line)).chain(tracked);
    lines.filter_map(|line| line.split_whitespace().last())
}

/// In a user namespace the host's root is nobody, so that no program at all counts as root's: keepalived's last word.
fn keepalived_is_content(code: &str, said: &str) -> bool {
    const INSECURE_SCRIPT: &str = "5";
    let nobodys = "Disabling track script balancer due to insecure";
    match code {
        "0" => said.is_empty(),
        INSECURE_SCRIPT => !nix::unistd::geteuid().is_root() && said.trim() == nobodys,
        _ => false,
    }
}

fn assert_accepted(name: &str, out: &Output, complaint: &str) {
    let said = [&out.stdout[..], &out.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let taken = out.status.success() && !said.contains(complaint);
    assert!(taken, "{name}: {said}");
}

/// Each text with a file of its own in `dir`, on all processors.
fn side_by_side(texts: &Texts, dir: &Path, judge: impl Fn(&str, &str, &Path) + Sync) {
    let all: Vec<_> = texts.iter().enumerate().collect();
    let (threads, judge) = (
        std::thread::available_parallelism().map_or(1, |n| n.get()),
        &judge,
    );
    std::thread::scope(|scope| {
        for part in all.chunks(all.len().div_ceil(threads).max(1)) {
            scope.spawn(move || {
                for (at, (name, text)) in part {
                    judge(name, text, &dir.join(at.to_string()));
                }
            });
        }
    });
}
