use super::*;

fn at(ms: u64, error: Option<&str>) -> Attempt {
    Attempt {
        ended: Duration::from_millis(ms),
        error: error.map(Into::into),
    }
}

#[test]
fn the_gap_is_between_good_answers() {
    let tries = [
        at(10, None),
        at(300, Some("refused")),
        at(250, Some("refused")),
        at(410, None),
    ];
    let seen = summarize(&tries, Duration::from_millis(420));
    assert_eq!(
        (seen.gap, seen.failed, seen.tries),
        (Duration::from_millis(400), 2, 4)
    );
    assert_eq!(
        seen.to_string(),
        "longest gap 0.40 s, 2 of 4 requests failed (refused)"
    );
}

#[test]
fn silence_to_the_end_is_a_gap() {
    assert_eq!(
        summarize(&[at(10, None)], Duration::from_secs(5)).gap,
        Duration::from_millis(4990)
    );
}
