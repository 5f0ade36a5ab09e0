//! No server, and no file, decides how much is taken.

use super::fixture::{IMAGE, RecordedProgress};
use super::server::Served;
use super::*;

const MOST: u64 = 50_000;

#[test]
fn more_than_an_image_can_have_is_not_taken() {
    for endless in [false, true] {
        let fixture = Fixture::new();
        let packed = bzip2_streams(&[&incompressible_image(100_000)]);
        fixture.publish("1.2.3", &packed);
        let served = Served {
            body: packed,
            endless,
            ..Served::default()
        };
        fixture.fault("1.2.3", served);
        let store = ImageStore {
            max_packed: MOST,
            ..fixture.store()
        };
        let mut told = RecordedProgress::default();
        let pulled = store.pull(&fixture.wanted(Some("1.2.3")), &mut told);
        assert!(told.most <= MOST, "{} bytes were written", told.most);
        let error = pulled.unwrap_err().to_string();
        assert!(error.contains("sends more than 50.00 kB"), "{error}");
        assert_eq!(fixture.names(), ["lock"], "nothing is left");
    }
}

#[test]
fn what_no_pull_can_go_on_with_is_removed_by_the_next() {
    let fixture = Fixture::new();
    fixture.publish("1.2.3", &bzip2_streams(&[&incompressible_image(1000)]));
    // Killed in the middle: of a server that told no length, and of one that did.
    for (version, files) in [
        ("1.0.0", &["packed"][..]),
        ("1.0.1", &["packed", "origin.json"]),
    ] {
        let dir = fixture.path(&format!(".new-x86-64-{version}"));
        std::fs::create_dir_all(&dir).unwrap();
        for file in files {
            std::fs::write(dir.join(file), "{}").unwrap();
        }
    }
    fixture.pull("1.2.3").unwrap();
    assert_eq!(fixture.names(), [".new-x86-64-1.0.1", "lock", "x86-64"]);
}

#[test]
fn a_key_file_that_is_none_is_not_read_to_its_end() {
    let fixture = Fixture::new();
    let file = fixture.file("key", &vec![0; 2 << 20]);
    let wanted = WantedImage {
        signing_key: Some(file),
        ..fixture.wanted(Some("1.2.3"))
    };
    let message = fixture.refuse(&wanted);
    assert!(message.contains("larger than"), "{message}");
}

/// Pulls a version that was signed so many years ago; what was noted.
fn notes_of(fixture: &Fixture, version: &str, wanted: Option<&str>, years: f64) -> Vec<String> {
    let packed = bzip2_streams(&[&incompressible_image(1000 + version.len())]);
    fixture.publish(version, &packed);
    let signature = fixture.signer.sign(&packed, years_ago(years));
    fixture.put_signed(&format!("/amd64-usr/{version}/{IMAGE}"), &packed, signature);
    let mut told = RecordedProgress::default();
    fixture
        .store()
        .pull(&fixture.wanted(wanted), &mut told)
        .unwrap();
    told.notes
}

#[test]
fn an_image_older_than_a_stored_one_is_told() {
    let fixture = Fixture::new();
    let none: [&str; 0] = [];
    assert_eq!(notes_of(&fixture, "1.2.3", Some("1.2.3"), 0.2), none);
    // An older one that was asked for, and one of another stream.
    assert_eq!(notes_of(&fixture, "1.2.2", Some("1.2.2"), 0.3), none);
    assert_eq!(notes_of(&fixture, "2.0.0", Some("2.0.0"), 0.3), none);
    let warning = "warning: 1.2.4 was signed 36 days before 1.2.3, which is stored too: ";
    let notes = notes_of(&fixture, "1.2.4", Some("1.2.4"), 0.3);
    assert!(notes[0].starts_with(warning), "{notes:?}");
    // What version.txt names is what the channel has now: nothing stored should be newer.
    let notes = notes_of(&fixture, "1.1.0", None, 0.41);
    assert!(
        notes[1].contains("1.1.0 was signed 76 days before 1.2.3"),
        "{notes:?}"
    );
}
