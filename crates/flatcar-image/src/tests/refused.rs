//! What is not Flatcar's is not stored, and one message says why.

use std::time::SystemTime;

use ha_host_base::exit::Stop as End;

use super::fixture::{IMAGE, RecordedProgress};
use super::server::Served;
use super::*;

/// The message for a good image with this signature; `words` must be in it.
fn assert_refused(fixture: &Fixture, packed: &[u8], signature: Vec<u8>, words: &[&str]) {
    fixture.put_signed(&format!("/amd64-usr/1.2.3/{IMAGE}"), packed, signature);
    let message = fixture.refuse(&fixture.wanted(Some("1.2.3")));
    for word in words.iter().chain(&["nothing was stored", IMAGE]) {
        assert!(message.contains(word), "{word} is not in: {message}");
    }
    assert_eq!(fixture.names(), ["lock"], "{message}");
    let fetched = fixture
        .server
        .asked()
        .iter()
        .any(|r| r.path.ends_with(IMAGE));
    let by_data = message.contains("is not over this file");
    assert_eq!(fetched, by_data, "fetched only if it matters: {message}");
}

#[test]
fn wrong_signatures() {
    let mut fixture = Fixture::new();
    let packed = bzip2_streams(&[&incompressible_image(5000)]);
    let now = SystemTime::now();

    let other = fixture.signer.sign(b"something else", now);
    assert_refused(
        &fixture,
        &packed,
        other,
        &["is not over this file", &fixture.signer.fingerprint()],
    );

    let stranger = Authority::new().subkey(years_ago(1.0), None);
    let words = [stranger.fingerprint(), "--signing-key".to_owned()];
    let words = words.each_ref().map(String::as_str);
    assert_refused(&fixture, &packed, stranger.sign(&packed, now), &words);

    let revoked = fixture.authority.subkey(years_ago(2.0), None);
    fixture.authority.revoke(&revoked);
    // Also what it signed long before: who has the key can write any date.
    for at in [now, years_ago(1.9)] {
        let words = [revoked.fingerprint(), "revoked".to_owned()];
        assert_refused(
            &fixture,
            &packed,
            revoked.sign(&packed, at),
            &words.each_ref().map(String::as_str),
        );
    }

    let expired = fixture.authority.subkey(years_ago(3.0), Some(YEAR));
    for at in [years_ago(1.9), now] {
        let words = [expired.fingerprint(), "xpired".to_owned()];
        assert_refused(
            &fixture,
            &packed,
            expired.sign(&packed, at),
            &words.each_ref().map(String::as_str),
        );
    }
    let early = expired.sign(&packed, years_ago(3.5));
    assert_refused(
        &fixture,
        &packed,
        early,
        &["was no key of Flatcar's when the signature was made"],
    );

    let name = fixture.signer.fingerprint();
    let forged = stranger.sign_as(&name, &packed, now);
    assert_refused(&fixture, &packed, forged, &["is not over this file", &name]);

    let tomorrow = fixture.signer.sign(&packed, now + YEAR);
    assert_refused(&fixture, &packed, tomorrow, &["is not over this file"]);
    assert_refused(
        &fixture,
        &packed,
        b"<html>404</html>".to_vec(),
        &["not an OpenPGP signature"],
    );
    assert_refused(&fixture, &packed, Vec::new(), &["not an OpenPGP signature"]);
}

#[test]
fn a_key_that_has_ended_since_is_good_for_what_it_signed() {
    let mut fixture = Fixture::new();
    let old = fixture.authority.subkey(years_ago(3.0), Some(YEAR));
    let packed = bzip2_streams(&[&incompressible_image(5000)]);
    let path = format!("/amd64-usr/1.2.3/{IMAGE}");
    fixture.put_signed(&path, &packed, old.sign(&packed, years_ago(2.5)));
    fixture.pull("1.2.3").unwrap();
    let record = &fixture.store().list().unwrap()[0];
    assert_eq!(record.signed_by, old.fingerprint());
    let age = SystemTime::now().duration_since(
        SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(record.signed_ms),
    );
    assert!(age.unwrap() > 2 * YEAR);
}

#[test]
fn a_subkey_is_known_from_a_newer_certificate_of_the_same_key_only() {
    let mut fixture = Fixture::new();
    let store = fixture.store();
    let newer = fixture.authority.subkey(years_ago(0.1), Some(YEAR));
    let packed = bzip2_streams(&[&incompressible_image(5000)]);
    let path = format!("/amd64-usr/1.2.3/{IMAGE}");
    fixture.put_signed(&path, &packed, newer.sign(&packed, SystemTime::now()));
    let pull = |key: Option<PathBuf>| {
        let wanted = WantedImage {
            signing_key: key,
            ..fixture.wanted(Some("1.2.3"))
        };
        store.pull(&wanted, &mut RecordedProgress::default())
    };
    let error = format!("{:#}", pull(None).unwrap_err());
    assert!(
        error.contains(&newer.fingerprint()) && error.contains("--signing-key"),
        "{error}"
    );

    let mut stranger = Authority::new();
    stranger.subkey(years_ago(1.0), None);
    fixture.server.asked();
    let error = format!(
        "{:#}",
        pull(Some(fixture.file("stranger", &stranger.public()))).unwrap_err()
    );
    for key in [&stranger, &fixture.authority] {
        assert!(error.contains(&key.cert.fingerprint().to_hex()), "{error}");
    }
    assert_eq!(
        fixture.server.asked(),
        [],
        "nothing is fetched for a wrong key"
    );

    pull(Some(fixture.file("newer", &fixture.authority.public()))).unwrap();
}

#[test]
fn changed_and_cut_files() {
    let fixture = Fixture::new();
    let packed = bzip2_streams(&[&incompressible_image(50_000)]);
    fixture.publish("1.2.3", &packed);
    let mut changed = packed.clone();
    changed[25_000] ^= 1;
    let mut longer = packed.clone();
    longer.push(0);
    let shorter = packed[..packed.len() - 1].to_vec();
    for body in [changed, longer, shorter, Vec::new()] {
        let served = Served {
            body,
            ..Served::default()
        };
        fixture.fault("1.2.3", served);
        let message = fixture.refuse(&fixture.wanted(Some("1.2.3")));
        assert!(message.contains("is not over this file"), "{message}");
        assert_eq!(fixture.names(), ["lock"]);
    }
}

#[test]
fn signed_but_no_image() {
    let fixture = Fixture::new();
    let mut broken = bzip2_streams(&[&incompressible_image(50_000)]);
    broken.truncate(30_000);
    for (packed, words) in [
        (bzip2_streams(&[b"a kernel, say"]), "not a qcow2 image"),
        (b"a raw disk".to_vec(), "not a qcow2 image"),
        (broken, "cannot be decompressed"),
    ] {
        fixture.publish("1.2.3", &packed);
        let message = fixture.refuse(&fixture.wanted(Some("1.2.3")));
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_version_that_is_not_there() {
    let fixture = Fixture::new();
    let message = fixture.refuse(&fixture.wanted(Some("9.9.9")));
    let words = "channel stable has no 9.9.9 for x86-64";
    assert!(
        message.contains(words) && message.contains("404"),
        "{message}"
    );
    let message = fixture.refuse(&fixture.wanted(None));
    assert!(
        message.contains("channel stable has no current"),
        "{message}"
    );
    let served = Served {
        body: b"FLATCAR_VERSION=../../etc".to_vec(),
        ..Served::default()
    };
    fixture
        .server
        .serve("/amd64-usr/current/version.txt", served);
    let message = fixture.refuse(&fixture.wanted(None));
    assert!(message.contains("contains no version"), "{message}");
}

#[test]
fn a_server_that_is_not_there() {
    let fixture = Fixture::new();
    let wanted = WantedImage {
        mirror: Some("http://127.0.0.1:1/flatcar".to_owned()),
        ..fixture.wanted(Some("1.2.3"))
    };
    let message = fixture.refuse(&wanted);
    assert!(
        message.contains("cannot reach http://127.0.0.1:1/flatcar/amd64-usr/1.2.3"),
        "{message}"
    );
    assert!(message.contains("--mirror URL"), "{message}");
}

#[test]
fn bad_input_reaches_no_server() {
    let fixture = Fixture::new();
    let good = || fixture.wanted(Some("1.2.3"));
    let mirror = |url: &str| WantedImage {
        mirror: Some(url.to_owned()),
        ..good()
    };
    let file = fixture.file("alone", b"x");
    let taken = |file: PathBuf, version: Option<&str>| WantedImage {
        file: Some(file),
        version: version.map(str::to_owned),
        ..good()
    };
    let nightly = WantedImage {
        channel: "nightly".to_owned(),
        ..good()
    };
    for (wanted, words) in [
        (nightly, "no channel nightly"),
        (fixture.wanted(Some("../1.2.3")), "not a version of Flatcar"),
        (
            fixture.wanted(Some("current-99")),
            "not a version of Flatcar",
        ),
        (mirror("ftp://a/b"), "https://HOST/PATH"),
        (mirror("a/b"), "is not a valid URL"),
        (mirror("http://me:secret@a/b"), "no password"),
        (mirror("http://a/b?c"), "https://HOST/PATH"),
        (taken(file.clone(), None), "--file needs --version"),
        (taken(file, Some("1.2.3")), "alone.sig cannot be read"),
        (
            taken(fixture.path_out("none"), Some("1.2.3")),
            "none cannot be read",
        ),
    ] {
        let error = fixture
            .store()
            .pull(&wanted, &mut RecordedProgress::default())
            .unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains(words), "{words}: {message}");
        assert!(!message.contains("secret"), "{message}");
        assert!(
            matches!(error.downcast_ref(), Some(End::BadInput(_))),
            "{message}"
        );
    }
    assert_eq!(fixture.server.asked(), []);
    assert!(
        fixture.names().iter().all(|n| n == "lock"),
        "{:?}",
        fixture.names()
    );
}

/// Changes the file between the check and the unpacking.
struct Swap(PathBuf);

impl Bar for Swap {
    fn begin(&mut self, step: progress::Step, _total: Option<u64>) {
        if step == progress::Step::Unpack {
            let mut bytes = std::fs::read(&self.0).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(&self.0, bytes).unwrap();
        }
    }
    fn at(&mut self, _done: u64) {}
    fn end(&mut self) {}
    fn note(&mut self, _text: &str) {}
}

#[test]
fn a_file_that_changes_after_the_check() {
    let fixture = Fixture::new();
    let image = incompressible_image(50_000);
    let file = fixture.file("image", &image);
    fixture.file("image.sig", &fixture.signer.sign(&image, SystemTime::now()));
    let wanted = WantedImage {
        file: Some(file.clone()),
        mirror: None,
        ..fixture.wanted(Some("1.2.3"))
    };
    let error = fixture.store().pull(&wanted, &mut Swap(file)).unwrap_err();
    assert!(
        error.to_string().contains("changed while it was read"),
        "{error:#}"
    );
    assert_eq!(fixture.store().list().unwrap(), []);
    assert_eq!(fixture.names(), ["lock"]);
}
