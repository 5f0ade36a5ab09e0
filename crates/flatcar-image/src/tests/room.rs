//! A disk that is too small: a real one, in a mount namespace of the test's own.

use indicatif::DecimalBytes;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::fixture::RecordedProgress;
use super::server::Served;
use super::*;

/// Runs this with a disk of `size` at the store, as root.
fn on_a_disk_of(size: &str, run: impl FnOnce(&Fixture) + Send) {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.path("")).unwrap();
    let inside = || {
        // Of this thread only.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let options = format!("size={size}");
        let target = fixture.path("");
        mount(
            Some("tmpfs"),
            &target,
            Some("tmpfs"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .unwrap();
        run(&fixture);
    };
    std::thread::scope(|scope| scope.spawn(inside).join().unwrap());
}

#[test]
#[ignore = "mounts a small disk, which needs root: make test runs it"]
fn too_small_is_said_before_anything_is_fetched() {
    on_a_disk_of("512k", |fixture| {
        let packed = bzip2_streams(&[&incompressible_image(300_000)]);
        let need = DecimalBytes(packed.len() as u64 * (1 + space::UNPACKED)).to_string();
        fixture.publish("1.2.3", &packed);
        let message = fixture.refuse(&fixture.wanted(Some("1.2.3")));
        let place = fixture.path("").display().to_string();
        for words in [
            "disk full",
            place.trim_end_matches('/'),
            &need,
            "--store DIR",
        ] {
            assert!(message.contains(words), "{words}: {message}");
        }
        assert_eq!(fixture.names(), ["lock"], "not a byte is left");
    });
}

#[test]
#[ignore = "mounts a small disk, which needs root: make test runs it"]
fn full_while_unpacking_keeps_the_download() {
    on_a_disk_of("512k", |fixture| {
        // Packs to next to nothing, so that nobody can know before.
        let mut image = b"QFI\xfb".to_vec();
        image.resize(2_000_000, 0);
        fixture.publish("1.2.3", &bzip2_streams(&[&image]));
        let message = fixture.refuse(&fixture.wanted(Some("1.2.3")));
        assert!(message.contains("disk full"), "{message}");
        let part = fixture.path(".new-x86-64-1.2.3");
        assert!(part.join("packed").exists() && !part.join("ready").exists());
        fixture.server.asked();
        let message = fixture.refuse(&fixture.wanted(Some("1.2.3")));
        assert!(message.contains("disk full"), "{message}");
        assert_eq!(
            fixture.server.asked().len(),
            1,
            "only the signature is asked for"
        );
    });
}

#[test]
#[ignore = "mounts a small disk, which needs root: make test runs it"]
fn full_while_fetching_from_a_server_that_tells_no_length() {
    on_a_disk_of("512k", |fixture| {
        let packed = bzip2_streams(&[&incompressible_image(700_000)]);
        fixture.publish("1.2.3", &packed);
        fixture.fault(
            "1.2.3",
            Served {
                body: packed.clone(),
                endless: true,
                ..Served::default()
            },
        );
        let message = fixture.refuse(&fixture.wanted(Some("1.2.3")));
        assert!(message.starts_with("disk full: "), "{message}");
    });
}

#[test]
#[ignore = "mounts a small disk, which needs root: make test runs it"]
fn without_a_length_most_of_the_disk_stays_free_and_nothing_is_left() {
    on_a_disk_of("4m", |fixture| {
        let packed = bzip2_streams(&[&incompressible_image(1_500_000)]);
        fixture.publish("1.2.3", &packed);
        let served = Served {
            body: packed,
            endless: true,
            ..Served::default()
        };
        fixture.fault("1.2.3", served);
        let mut told = RecordedProgress::default();
        let wanted = fixture.wanted(Some("1.2.3"));
        let error = fixture.store().pull(&wanted, &mut told).unwrap_err();
        let most = told.most;
        assert!(most <= 1 << 20, "{most} bytes of 4 MiB: {error:#}");
        assert!(error.to_string().starts_with("disk full: "), "{error:#}");
        assert_eq!(fixture.names(), ["lock"], "no later pull could go on");
    });
}

#[test]
#[ignore = "mounts a small disk, which needs root: make test runs it"]
fn a_file_that_will_not_fit_is_not_begun() {
    on_a_disk_of("512k", |fixture| {
        let packed = bzip2_streams(&[&incompressible_image(300_000)]);
        let file = fixture.file("image", &packed);
        fixture.file(
            "image.sig",
            &fixture.signer.sign(&packed, std::time::SystemTime::now()),
        );
        let wanted = WantedImage {
            file: Some(file),
            mirror: None,
            ..fixture.wanted(Some("1.2.3"))
        };
        let mut told = RecordedProgress::default();
        let error = fixture.store().pull(&wanted, &mut told).unwrap_err();
        assert!(error.to_string().contains("disk full"), "{error:#}");
        assert!(told.steps.is_empty());
        assert_eq!(fixture.names(), ["lock"]);
    });
}
