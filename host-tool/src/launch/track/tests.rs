use ha_test_support::demo;

use super::*;

fn event(json: &str) -> Event {
    let text = format!("{{\"version\":1,\"seq\":1,\"timeMs\":0,\"node\":\"node2\",{json}}}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn failed(phase: &str, retry: Option<u64>) -> Event {
    let retry = retry.map_or_else(|| "null".to_owned(), |ms| ms.to_string());
    event(&format!(
        r#""event":"failed","phase":"{phase}","attempt":1,"error":"boom","tail":["a","b"],"retryMs":{retry}"#
    ))
}

fn track() -> (Track, Instant) {
    let now = Instant::now();
    let mut track = Track::new(&demo().nodes[1], now);
    track.making(now);
    track.running(true, now);
    (track, now)
}

#[test]
fn a_node_s_way() {
    let (mut track, now) = track();
    assert_eq!(track.place(), "boot");
    let story = [
        (
            r#""event":"hello","agent":"0.1.0","role":"control-plane","boot":"x""#,
            "preflight",
            "",
        ),
        (
            r#""event":"started","phase":"images","attempt":1"#,
            "preflight",
            "",
        ),
        (
            r#""event":"progress","phase":"images","done":3,"total":4"#,
            "preflight",
            "images: 3 of 4",
        ),
        (
            r#""event":"started","phase":"gate","attempt":1"#,
            "gate",
            "images: 3 of 4",
        ),
        (
            r#""event":"waiting","phase":"gate","what":"/readyz","lastError":"refused""#,
            "gate",
            "/readyz: refused",
        ),
        (
            r#""event":"done","phase":"gate","tookMs":5,"skipped":false"#,
            "gate",
            "/readyz: refused",
        ),
        (
            r#""event":"started","phase":"join","attempt":1"#,
            "join",
            "images: 3 of 4",
        ),
        (
            r#""event":"done","phase":"images","tookMs":5,"skipped":false"#,
            "join",
            "",
        ),
        (
            r#""event":"done","phase":"join","tookMs":5,"skipped":false"#,
            "join",
            "",
        ),
        (r#""event":"steady""#, "steady", ""),
    ];
    for (json, place, words) in story {
        track.apply(&event(json), now);
        assert_eq!(
            (track.place(), track.words().as_str()),
            (place, words),
            "{json}"
        );
    }
    let phases: Vec<_> = track
        .spans
        .iter()
        .map(|s| (s.phase, s.end.is_some()))
        .collect();
    assert_eq!(
        phases,
        [
            (None, true),
            (Some(Phase::Gate), true),
            (Some(Phase::Join), true)
        ]
    );
}

#[test]
fn only_lasting_trouble_ends_a_launch() {
    let (mut track, now) = track();
    for _ in 0..MAX_ATTEMPTS {
        track.apply(&failed("join", Some(500)), now);
    }
    assert!(
        track.lost(now).is_none(),
        "five quick failures may be one short outage"
    );
    assert!(track.lost(now + MIN_FAILING).is_some());
    track.apply(
        &event(r#""event":"done","phase":"join","tookMs":5,"skipped":false"#),
        now,
    );
    assert!(
        track.lost(now + MAX_FAILING).is_none(),
        "a success ends the trouble"
    );
    track.apply(&failed("join", Some(500)), now);
    assert!(track.lost(now + MIN_FAILING).is_none() && track.lost(now + MAX_FAILING).is_some());
}

#[test]
fn what_needs_a_person_ends_a_launch_at_once() {
    let (mut track, now) = track();
    track.apply(&failed("preflight", None), now);
    let trouble = track.lost(now).unwrap();
    assert_eq!(
        (trouble.phase, trouble.error.as_str(), trouble.tail.len()),
        (Phase::Preflight, "boom", 2)
    );
}

#[test]
fn old_failures_do_not_count_but_gave_up_is_told() {
    let (mut track, now) = track();
    assert!(
        track.replay(&[failed("join", None)], now),
        "its agent must be told to try again"
    );
    assert!(track.lost(now + MAX_FAILING).is_none());
    assert!(!track.heard);
    assert!(!track.replay(&[failed("join", Some(10))], now));
}
