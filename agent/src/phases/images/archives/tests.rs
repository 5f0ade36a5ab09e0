use ha_wire::settings::Cri;

use super::*;
use crate::sys::Output;
use crate::testing::{self, FakeMachine};

const LISTED: &str = "ctr --namespace k8s.io images list --quiet";
const IMPORTED: &str = "ctr --namespace k8s.io images import";
const PAUSE: &str = "registry.k8s.io/pause:3.10.1";

/// What tar writes: a header and a content each, two empty blocks.
fn tar_archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in entries {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[257..265].copy_from_slice(b"ustar\x0000");
        tar.extend_from_slice(&header);
        tar.extend_from_slice(content);
        tar.resize(tar.len().div_ceil(512) * 512, 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn image_archive(images: &[&str]) -> Vec<u8> {
    let list = serde_json::json!([{"Config": "c.json", "RepoTags": images, "Layers": ["l.tar"]}]);
    let layer = vec![7; 3000];
    tar_archive(&[
        ("l.tar", &layer),
        ("manifest.json", list.to_string().as_bytes()),
    ])
}

fn machine_with_archives(archives: &[(&str, &[u8])]) -> FakeMachine {
    let machine = testing::fake_machine(testing::worker());
    machine.commands.succeed(LISTED).succeed(IMPORTED);
    for (name, content) in archives {
        let path = format!("{}/{name}", paths::ASSETS_IMAGES);
        machine.cx.sys.files.write(&path, 0o644, content).unwrap();
    }
    machine
}

fn runtime_lists(machine: &FakeMachine, images: &str) {
    let stdout = images.to_owned();
    machine.commands.answer(LISTED, Ok(Output { stdout }));
}

fn imported_archives(machine: &FakeMachine) -> Vec<String> {
    let orders = machine.orders();
    let names = orders.iter().filter_map(|order| {
        let path = order.strip_prefix("run ctr --namespace k8s.io images import ")?;
        Some(path.rsplit('/').next().unwrap().to_owned())
    });
    names.collect()
}

#[tokio::test]
async fn only_archives_with_something_new_are_imported() {
    let (pause, both) = (
        image_archive(&[PAUSE]),
        image_archive(&[PAUSE, "busybox:1"]),
    );
    let files: [(&str, &[u8]); 3] = [
        ("00-pause.tar", &pause),
        ("01-both.tar", &both),
        ("notes", b""),
    ];
    let machine = machine_with_archives(&files);
    import_archives(&machine.cx).await.unwrap();
    assert_eq!(imported_archives(&machine), ["00-pause.tar", "01-both.tar"]);
    runtime_lists(&machine, &format!("{PAUSE}\n"));
    import_archives(&machine.cx).await.unwrap();
    assert_eq!(imported_archives(&machine), ["01-both.tar"]);
    runtime_lists(&machine, &format!("docker.io/library/busybox:1\n{PAUSE}\n"));
    import_archives(&machine.cx).await.unwrap();
    assert_eq!(
        imported_archives(&machine),
        [""; 0],
        "a second boot imports nothing"
    );
}

#[tokio::test]
async fn without_archives_nothing_is_asked() {
    let machine = machine_with_archives(&[]);
    import_archives(&machine.cx).await.unwrap();
    assert_eq!(machine.orders(), [""; 0]);
}

#[tokio::test]
async fn a_broken_archive_stops_no_other() {
    let good = image_archive(&[PAUSE]);
    let machine =
        machine_with_archives(&[("00-bad.tar", b"\x1f\x8b no tar"), ("01-good.tar", &good)]);
    let broken = Err(anyhow::anyhow!("no tar"));
    machine.commands.answer(IMPORTED, broken);
    import_archives(&machine.cx).await.unwrap();
    assert_eq!(imported_archives(&machine), ["00-bad.tar", "01-good.tar"]);
    let events = serde_json::to_string(&machine.events()).unwrap();
    assert!(events.contains("00-bad.tar: no tar"), "{events}");
}

/// What podman 5.4.2 takes, and CRI-O's store then holds; beyond the agent's own confinement, where podman unpacks nothing.
#[tokio::test]
async fn podman_loads_archives_into_crio_s_store() {
    let good = image_archive(&[PAUSE]);
    let mut node = testing::worker();
    node.kubernetes.cri = Cri::Crio;
    let machine = testing::fake_machine(node);
    let stdout = r#"{"images": []}"#.to_owned();
    machine.commands.answer("crictl", Ok(Output { stdout }));
    machine.commands.succeed("systemd-run");
    let path = format!("{}/00-good.tar", paths::ASSETS_IMAGES);
    machine.cx.sys.files.write(&path, 0o644, &good).unwrap();
    machine.file("/etc/crio/policy.json", "{}");
    import_archives(&machine.cx).await.unwrap();
    let order = machine.orders().pop().unwrap();
    let loaded = "/00-good.tar --signature-policy /etc/crio/policy.json";
    let unit = "run systemd-run --quiet --wait --collect --pipe --setenv=HOME=/root --property=RuntimeMaxSec=600 podman load --input ";
    assert!(order.starts_with(unit), "{order}");
    assert!(order.ends_with(loaded), "{order}");
}

#[test]
fn archives_are_read_as_real_tar_writes_them() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("blob"), vec![1; 70_000]).unwrap();
    let list = format!(r#"[{{"RepoTags":["{PAUSE}","library/x:2"]}}]"#);
    std::fs::write(dir.path().join(LIST), list).unwrap();
    for format in ["gnu", "ustar", "posix"] {
        let path = dir.path().join(format!("{format}.tar"));
        let made = std::process::Command::new("tar")
            .args(["--format", format, "-C"])
            .arg(dir.path())
            .arg("-cf")
            .arg(&path)
            .args(["blob", LIST])
            .status();
        assert!(made.unwrap().success());
        assert_eq!(
            images_in_archive(File::open(&path).unwrap()).unwrap(),
            [PAUSE, "docker.io/library/x:2"],
            "{format}"
        );
    }
}

#[test]
fn sizes_beyond_octal_are_binary() {
    let mut field = *b"00000001000\0";
    assert_eq!(parse_size(&field), Some(512));
    field = [0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1];
    assert_eq!(parse_size(&field), Some((2 << 32) + 1));
    assert_eq!(parse_size(b"nonsense 12 "), None);
}
