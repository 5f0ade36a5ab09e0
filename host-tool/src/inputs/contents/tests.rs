use super::super::tar::BLOCK;
use super::*;

/// A file of this content, judged as an Ignition config.
fn judge_ignition_text(content: &str) -> Judged<UserConfig> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.ign");
    std::fs::write(&path, content).unwrap();
    read_ignition(&path)
}

#[test]
fn ignition_versions_that_not_every_flatcar_reads_are_told() {
    for (version, says) in [
        ("3.0.0", None),
        ("3.3.0", None),
        ("3.4.0", Some("stable 3602")),
        ("3.5.0", Some("Ignition 2.20")),
        ("3.6.0", Some("newer than 2.25")),
    ] {
        let config =
            judge_ignition_text(&format!(r#"{{"ignition":{{"version":"{version}"}}}}"#)).unwrap();
        let remedies: Vec<&str> = config.warnings.iter().map(|w| w.remedy.as_str()).collect();
        match says {
            None => assert!(remedies.is_empty(), "{version}: {remedies:?}"),
            Some(says) => assert!(
                remedies.len() == 1 && remedies[0].contains(says),
                "{version}: {remedies:?}"
            ),
        }
    }
}

#[test]
fn what_is_no_ignition_config_is_called_by_its_name() {
    for (content, what, remedy) in [
        (
            "variant: flatcar\nversion: 1.1.0\n",
            "it is Butane YAML",
            "butane FILE.bu",
        ),
        (
            "#cloud-config\nusers: []\n",
            "it is cloud-config",
            "variant: flatcar",
        ),
        ("{\"ignition\": {", "it is not JSON: EOF", "butane"),
        ("{}", "it has no ignition.version", "\"3.3.0\""),
        (
            r#"{"ignition":{"version":"2.2.0"}}"#,
            "ignition.version 2.2.0 is of an older kind",
            "version: 1.0.0",
        ),
        (
            r#"{"ignition":{"version":"3.9.0"}}"#,
            "unsupported config version: 3.9.0",
            "specification",
        ),
        (
            r#"{"ignition":{"version":"3.3.0"},"storage":{"files":[{}]}}"#,
            "missing field `path`",
            "specification",
        ),
        ("", "is empty", "again"),
    ] {
        let fault = judge_ignition_text(content).unwrap_err();
        assert!(fault.what.contains(what), "{content}: {fault}");
        assert!(fault.remedy.contains(remedy), "{content}: {fault}");
    }
}

#[test]
fn keys_that_ignition_leaves_out_are_told() {
    let config = judge_ignition_text(r#"{"ignition":{"version":"3.3.0"},"storrage":{}}"#).unwrap();
    assert_eq!(config.warnings[0].what, "has an unused key: $.storrage");
}

/// A tar archive with one empty file.
fn tar_archive(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; BLOCK];
    header[..name.len()].copy_from_slice(name.as_bytes());
    let size = format!("{:011o}", content.len());
    header[124..135].copy_from_slice(size.as_bytes());
    header[257..262].copy_from_slice(b"ustar");
    let mut all = header.to_vec();
    all.extend_from_slice(content);
    all.resize(all.len().div_ceil(BLOCK) * BLOCK, 0);
    all
}

#[test]
fn archives_of_images_are_told_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let table = [
        (tar_archive("manifest.json", b"[]"), ""),
        (
            [
                tar_archive("blobs/x", &[7; 700]),
                tar_archive("index.json", b"{}"),
            ]
            .concat(),
            "",
        ),
        (
            [
                tar_archive("./oci-layout", b"{}"),
                tar_archive("./index.json", b"{}"),
            ]
            .concat(),
            "",
        ),
        ([&[0x1f, 0x8b][..], &[0; BLOCK]].concat(), ""),
        (
            [tar_archive("bin/sh", b"x"), tar_archive("etc/passwd", b"y")].concat(),
            "neither manifest.json nor index.json",
        ),
        (vec![b'x'; 2000], "is not a tar archive"),
        (b"short".to_vec(), "is not a tar archive"),
    ];
    for (content, what) in table {
        std::fs::write(&path, content).unwrap();
        match check_image_archive(&path) {
            Ok(()) => assert_eq!(what, ""),
            Err(fault) => assert!(!what.is_empty() && fault.what.contains(what), "{fault}"),
        }
    }
}
