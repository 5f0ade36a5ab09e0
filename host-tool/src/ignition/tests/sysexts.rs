//! How sysexts reach a node, and what follows newer ones; systemd judges the units.

use std::process::Command;

use super::*;

#[test]
fn the_assets_disk_is_mounted_before_sysexts_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("kubernetes-v1.36.3-x86-64.raw"), "image").unwrap();
    let text = format!(
        "{DEMO}provider: {{qemu: {{arch: x86-64}}}}\nsysexts: {{kubernetes: {{path: kubernetes-v1.36.3-x86-64.raw}}}}\n"
    );
    let cluster = parse_cluster(&text, dir.path());
    let configs = render_all_nodes(&cluster, &read_operator_files(&cluster).unwrap(), None);
    let unit = &configs[4]["systemd"]["units"][0];
    assert_eq!(unit["name"], "run-ha\\x2dassets.mount");
    assert_eq!(unit["enabled"], true);
    let text = unit["contents"].as_str().unwrap();
    for line in [
        "What=/dev/disk/by-id/virtio-ha-assets",
        "Where=/run/ha-assets",
        "Options=ro,nosuid,nodev,noexec",
        "Before=local-fs.target umount.target systemd-sysext.service ensure-sysext.service",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert_unit_valid("run-ha\\x2dassets.mount", text);
    let link = &configs[4]["storage"]["links"][0];
    assert_eq!(link["path"], "/etc/extensions/kubernetes.raw");
    assert_eq!(
        link["target"],
        "/run/ha-assets/kubernetes-v1.36.3-x86-64.raw"
    );
}

#[test]
fn a_merge_that_failed_is_tried_again() {
    let dropin = |text: &str, dir: &Path| -> Option<String> {
        let cluster = parse_cluster(&format!("{DEMO}{text}"), dir);
        let config =
            render_all_nodes(&cluster, &read_operator_files(&cluster).unwrap(), None).remove(4);
        let units = config["systemd"]["units"].as_array()?;
        let unit = units
            .iter()
            .find(|u| u["name"] == "systemd-sysext.service")?;
        Some(unit["dropins"][0]["contents"].as_str()?.to_owned())
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ha-agent.raw"), "image").unwrap();
    let text = dropin(
        "provider: none\nsysexts: {ha-agent: {path: ha-agent.raw}}\n",
        dir.path(),
    );
    let text = text.unwrap();
    assert!(text.contains("\nRestart=on-failure\n"), "{text}");
    assert!(
        text.contains("\nStartLimitIntervalSec=0\n"),
        "for ever: {text}"
    );
    let oneshot = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n";
    assert_unit_valid(
        "systemd-sysext.service",
        &text.replace("[Service]\n", oneshot),
    );
    assert_eq!(dropin("provider: none\nsysexts: none\n", dir.path()), None);
}

/// A cluster with the bakery's sysexts, their hashes known beforehand.
pub(super) fn cluster_of_the_bakery(text: &str) -> (Cluster, OperatorFiles) {
    let dir = tempfile::tempdir().unwrap();
    let entry = |name: &str, version: &str| {
        // The second cluster's nodes are like this machine.
        let arch = ha_cluster_file::cluster::Arch::HOST.name();
        let release = format!("{name}-{version}");
        serde_json::json!({"name": name, "version": version, "arch": arch, "sha256": "ab".repeat(32),
            "url": format!("https://example.org/extensions/{release}/{release}-{arch}.raw")})
    };
    let known = serde_json::json!({"version": 1, "sysexts":
        [entry("kubernetes", "v1.36.3"), entry("crio", "v1.36.2"), entry("haproxy", "3.2.5")]});
    std::fs::write(dir.path().join("sysexts.json"), known.to_string()).unwrap();
    std::fs::write(dir.path().join("ha-agent.raw"), "image").unwrap();
    let text = format!(
        "{DEMO}{text}sysexts:\n  kubernetes: {{version: v1.36.3}}\n  crio: {{version: v1.36.2}}\n  \
         haproxy: {{version: 3.2.5}}\n  ha-agent: {{path: ha-agent.raw}}\n"
    );
    let cluster = parse_cluster(&text, dir.path());
    let files = OperatorFiles::read(&cluster, dir.path()).unwrap();
    (cluster, files)
}

/// A person's `kubeadm reset` on a node with two runtimes asks which of them is meant.
#[test]
fn beside_crio_flatcar_s_own_runtimes_are_off() {
    let cases = [("", None), ("cri: crio, ", Some("/dev/null"))];
    for (cri, wanted) in cases {
        let dir = tempfile::tempdir().unwrap();
        let text = DEMO.replace("kubernetes: {", &format!("kubernetes: {{{cri}"));
        let cluster = parse_cluster(
            &format!("{text}provider: none\nsysexts: none\n"),
            dir.path(),
        );
        let files = OperatorFiles::read(&cluster, dir.path()).unwrap();
        let config = &render_all_nodes(&cluster, &files, None)[4];
        let links = config["storage"]["links"].as_array();
        let links = links.map_or(&[][..], Vec::as_slice);
        for runtime in ["docker", "containerd"] {
            let path = format!("/etc/extensions/{runtime}-flatcar.raw");
            let link = links.iter().find(|link| link["path"] == path.as_str());
            assert_eq!(
                link.and_then(|link| link["target"].as_str()),
                wanted,
                "{cri}"
            );
        }
    }
}

/// Nothing to complain about for the real systemd, of each version that is to be had.
pub(super) fn assert_unit_valid(name: &str, text: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    for program in real::programs_in_every_suite("systemd-analyze", "systemd") {
        let mut analyze = Command::new(&program);
        analyze.args(["verify", "--man=no"]).arg(&path);
        let output = analyze.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        // A newer one has words for this machine's own units, too.
        let place = dir.path().to_str().unwrap();
        let of_ours = said
            .lines()
            .any(|line| line.contains(place) || line.starts_with(name));
        let is_good = output.status.success() && !of_ours;
        assert!(is_good, "{}: {said}", program.display());
    }
}

#[test]
fn a_nodes_own_sysext_is_linked_there_alone() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["ha-agent.raw", "nvidia.raw"] {
        std::fs::write(dir.path().join(name), "image").unwrap();
    }
    let own = "10.77.0.14, sysexts: {nvidia: {path: nvidia.raw}}}";
    let text = DEMO.replace("10.77.0.14}", own);
    let more = "provider: none\nsysexts: {ha-agent: {path: ha-agent.raw}}\n";
    let cluster = parse_cluster(&format!("{text}{more}"), dir.path());
    let configs = render_all_nodes(&cluster, &read_operator_files(&cluster).unwrap(), None);
    for (config, node) in configs.iter().zip(&cluster.nodes) {
        let links = config["storage"]["links"].as_array().unwrap();
        let paths: Vec<_> = links.iter().map(|link| link["path"].as_str()).collect();
        let agent = Some("/etc/extensions/ha-agent.raw");
        let nvidia = Some("/etc/extensions/nvidia.raw");
        let wanted = [agent, nvidia];
        let wanted = if node.name == "node4" {
            &wanted
        } else {
            &wanted[..1]
        };
        assert_eq!(paths, wanted, "{}", node.name);
    }
}
