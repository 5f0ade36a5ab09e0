//! Real pulls from a real server, with keys made for the test.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

use super::*;

mod bounded;
mod fixture;
use ha_test_support::signing_keys as keys;
mod real;
mod refused;
mod resumed;
mod room;
use ha_test_support::image_server as server;
mod stored;

use fixture::{Fixture, RecordedProgress, bzip2_streams, incompressible_image};
use keys::{Authority, YEAR, years_ago};

#[test]
fn a_signed_image_is_stored_as_it_was_before_packing() {
    let fixture = Fixture::new();
    let image = incompressible_image(100_000);
    let packed = bzip2_streams(&[&image]);
    fixture.publish("4230.2.3", &packed);
    let mut told = RecordedProgress::default();
    let pulled = fixture
        .store()
        .pull_told(&fixture.wanted(None), &mut told)
        .unwrap();
    assert!(!pulled.already);
    let path = fixture.store().image(&pulled.record);
    assert_eq!(
        path,
        fixture.path("x86-64/4230.2.3/flatcar_production_qemu_image.img")
    );
    assert_eq!(std::fs::read(&path).unwrap(), image);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
    let r = &pulled.record;
    assert_eq!(
        (r.size, r.signed_by.clone()),
        (100_000, fixture.signer.fingerprint())
    );
    assert_eq!(
        (&r.sha256, &r.packed_sha256),
        (&fixture::sha256_hex(&image), &fixture::sha256_hex(&packed))
    );
    assert_eq!(fixture.names(), ["lock", "x86-64"], "nothing else is left");
    assert_eq!(told.steps, ["download", "verify", "unpack"]);
    let base = "/amd64-usr/4230.2.3/flatcar_production_qemu_image.img.bz2";
    let asked: Vec<String> = fixture.server.asked().into_iter().map(|r| r.path).collect();
    assert_eq!(
        asked,
        [
            "/amd64-usr/current/version.txt",
            &format!("{base}.sig"),
            base
        ],
        "and nothing else is asked for"
    );
}

#[test]
fn many_bzip2_streams_are_one_image() {
    let fixture = Fixture::new();
    let image = incompressible_image(100_000);
    fixture.publish(
        "1.2.3",
        &bzip2_streams(&[&image[..10], &image[10..60_000], &image[60_000..]]),
    );
    let path = fixture.pull("1.2.3").unwrap();
    assert_eq!(std::fs::read(path).unwrap(), image);
}

#[test]
fn arm64_has_names_of_its_own() {
    let fixture = Fixture::new();
    let packed = bzip2_streams(&[&incompressible_image(1000)]);
    fixture.put(
        "/arm64-usr/1.2.3/flatcar_production_qemu_uefi_image.img.bz2",
        &packed,
    );
    let wanted = WantedImage {
        arch: Arch::Arm64,
        ..fixture.wanted(Some("1.2.3"))
    };
    let path = fixture
        .store()
        .pull(&wanted, &mut RecordedProgress::default())
        .unwrap();
    assert!(
        path.starts_with(fixture.path("arm64/1.2.3")),
        "{}",
        path.display()
    );
    assert_eq!(
        fixture.store().find("stable", None, Arch::X86_64).unwrap(),
        None
    );
}

#[test]
fn what_is_stored_is_not_fetched_again() {
    let fixture = Fixture::new();
    fixture.publish("1.2.3", &bzip2_streams(&[&incompressible_image(1000)]));
    let path = fixture.pull("1.2.3").unwrap();
    fixture.server.asked();
    let again = |version| {
        let wanted = fixture.wanted(version);
        fixture
            .store()
            .pull_told(&wanted, &mut RecordedProgress::default())
            .unwrap()
    };
    assert!(again(Some("1.2.3")).already);
    assert_eq!(
        fixture.server.asked(),
        [],
        "an exact version needs no server"
    );
    assert!(again(None).already);
    let asked = fixture.server.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        fixture.store().find("stable", None, Arch::X86_64).unwrap(),
        Some(path)
    );
}

#[test]
fn of_two_pulls_at_once_one_fetches() {
    let fixture = Fixture::new();
    fixture.publish("1.2.3", &bzip2_streams(&[&incompressible_image(200_000)]));
    let pull = || {
        fixture.store().pull_told(
            &fixture.wanted(Some("1.2.3")),
            &mut RecordedProgress::default(),
        )
    };
    let (a, b) = std::thread::scope(|scope| {
        let (a, b) = (scope.spawn(pull), scope.spawn(pull));
        (a.join().unwrap().unwrap(), b.join().unwrap().unwrap())
    });
    assert!(a.already != b.already, "one of them stored it");
    assert_eq!(a.record, b.record);
    let images = fixture.server.asked();
    let images = images.iter().filter(|r| r.path.ends_with(".bz2")).count();
    assert_eq!(images, 1);
}

#[test]
fn a_file_is_taken_without_any_server() {
    let fixture = Fixture::new();
    let image = incompressible_image(50_000);
    // Packed, and as qcow2 packs inside, which Flatcar offers too.
    for (version, bytes) in [
        ("1.2.3", bzip2_streams(&[&image])),
        ("1.2.4", image.clone()),
    ] {
        let file = fixture.file("image", &bytes);
        fixture.file("image.sig", &fixture.signer.sign(&bytes, SystemTime::now()));
        let wanted = WantedImage {
            file: Some(file.clone()),
            mirror: None,
            ..fixture.wanted(Some(version))
        };
        let path = fixture
            .store()
            .pull(&wanted, &mut RecordedProgress::default())
            .unwrap();
        assert_eq!(std::fs::read(path).unwrap(), image);
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "it is left as it was");
    }
    assert_eq!(fixture.server.asked(), []);
    let record = &fixture.store().list().unwrap()[0];
    assert_eq!(
        record.source,
        fixture.path_out("image").display().to_string()
    );
}
