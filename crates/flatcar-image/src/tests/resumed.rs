//! Downloads that break off.

use super::fixture::RecordedProgress;
use super::server::{Request, Served};
use super::*;

/// Requests for the image itself.
fn image_requests(fixture: &Fixture) -> Vec<Request> {
    let asked = fixture.server.asked();
    asked
        .into_iter()
        .filter(|r| r.path.ends_with(".bz2"))
        .collect()
}

fn resumable_file(body: &[u8], breaks: &[usize]) -> Served {
    Served {
        body: body.to_vec(),
        etag: Some("\"one\"".to_owned()),
        ranges: true,
        breaks: breaks.to_vec(),
        ..Served::default()
    }
}

/// A server that serves a good image after these breaks; the pull must end well.
fn ends_well(make: impl Fn(&[u8]) -> Served) -> (Vec<Request>, RecordedProgress) {
    let fixture = Fixture::new();
    let image = incompressible_image(100_000);
    let packed = bzip2_streams(&[&image]);
    fixture.publish("1.2.3", &packed);
    fixture.fault("1.2.3", make(&packed));
    let mut told = RecordedProgress::default();
    let path = fixture
        .store()
        .pull(&fixture.wanted(Some("1.2.3")), &mut told)
        .unwrap();
    assert_eq!(std::fs::read(path).unwrap(), image);
    (image_requests(&fixture), told)
}

#[test]
fn a_break_is_gone_on_from_in_the_same_pull() {
    let (asked, told) = ends_well(|packed| resumable_file(packed, &[40_000, 20_000]));
    let ranges: Vec<_> = asked.iter().map(|r| r.range.as_deref()).collect();
    assert_eq!(ranges, [None, Some("bytes=40000-"), Some("bytes=60000-")]);
    assert_eq!(asked[1].if_range.as_deref(), Some("\"one\""));
    assert_eq!(told.notes.len(), 2, "{:?}", told.notes);
}

#[test]
fn a_server_without_tags_is_gone_on_with_by_its_length() {
    let (asked, _) = ends_well(|packed| Served {
        etag: None,
        ..resumable_file(packed, &[40_000])
    });
    assert_eq!(asked[1].range.as_deref(), Some("bytes=40000-"));
    assert_eq!(asked[1].if_range, None);
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let (asked, _) = ends_well(|packed| Served {
        ranges: false,
        ..resumable_file(packed, &[40_000])
    });
    assert_eq!(asked.len(), 2);
}

#[test]
fn the_next_pull_goes_on_where_the_last_one_ended() {
    let fixture = Fixture::new();
    let image = incompressible_image(100_000);
    let packed = bzip2_streams(&[&image]);
    fixture.publish("1.2.3", &packed);
    fixture.fault("1.2.3", resumable_file(&packed, &[40_000, 0]));
    let message = fixture.refuse(&fixture.wanted(Some("1.2.3")));
    assert!(message.contains("run it again"), "{message}");
    assert_eq!(
        fixture.store().unfinished().unwrap(),
        [("1.2.3 (x86-64)".to_owned(), 40_000)]
    );
    image_requests(&fixture);
    let path = fixture.pull("1.2.3").unwrap();
    assert_eq!(
        image_requests(&fixture)[0].range.as_deref(),
        Some("bytes=40000-")
    );
    assert_eq!(std::fs::read(path).unwrap(), image);
    assert_eq!(fixture.names(), ["lock", "x86-64"]);
}

#[test]
fn another_file_under_the_same_name_begins_anew() {
    let fixture = Fixture::new();
    let packed = bzip2_streams(&[&incompressible_image(100_000)]);
    fixture.publish("1.2.3", &packed);
    fixture.fault("1.2.3", resumable_file(&packed, &[40_000, 0]));
    fixture.refuse(&fixture.wanted(Some("1.2.3")));
    let other = incompressible_image(90_000);
    let packed = bzip2_streams(&[&other]);
    fixture.publish("1.2.3", &packed);
    fixture.fault(
        "1.2.3",
        Served {
            etag: Some("\"two\"".to_owned()),
            ..resumable_file(&packed, &[])
        },
    );
    assert_eq!(
        std::fs::read(fixture.pull("1.2.3").unwrap()).unwrap(),
        other
    );
}

#[test]
fn a_hurt_beginning_is_fetched_once_more() {
    let fixture = Fixture::new();
    let image = incompressible_image(100_000);
    let packed = bzip2_streams(&[&image]);
    fixture.publish("1.2.3", &packed);
    fixture.fault("1.2.3", resumable_file(&packed, &[40_000, 0]));
    fixture.refuse(&fixture.wanted(Some("1.2.3")));
    let part = fixture.path(".new-x86-64-1.2.3/packed");
    std::fs::write(&part, vec![0; 40_000]).unwrap();
    image_requests(&fixture);
    let mut told = RecordedProgress::default();
    let path = fixture
        .store()
        .pull(&fixture.wanted(Some("1.2.3")), &mut told)
        .unwrap();
    assert_eq!(std::fs::read(path).unwrap(), image);
    let asked = image_requests(&fixture);
    let ranges: Vec<_> = asked.iter().map(|r| r.range.as_deref()).collect();
    assert_eq!(ranges, [Some("bytes=40000-"), None]);
    assert!(
        told.notes[0].contains("from the beginning"),
        "{:?}",
        told.notes
    );
}

#[test]
fn a_server_that_always_breaks_off_is_given_up() {
    let fixture = Fixture::new();
    let packed = bzip2_streams(&[&incompressible_image(100_000)]);
    fixture.publish("1.2.3", &packed);
    let always = Served {
        ranges: false,
        ..resumable_file(&packed, &[50_000; 20])
    };
    fixture.fault("1.2.3", always);
    let message = fixture.refuse(&fixture.wanted(Some("1.2.3")));
    assert!(message.contains("broke off 6 times"), "{message}");
    assert_eq!(image_requests(&fixture).len(), 6);
}
