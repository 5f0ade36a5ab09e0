use super::*;

fn attempt_at(ms: u64, error: Option<&str>) -> Attempt {
    Attempt {
        ended: Duration::from_millis(ms),
        error: error.map(Into::into),
    }
}

#[test]
fn the_gap_is_between_good_answers() {
    let tries = [
        attempt_at(10, None),
        attempt_at(300, Some("refused")),
        attempt_at(250, Some("refused")),
        attempt_at(410, None),
    ];
    let seen = summarize_attempts(&tries, Duration::from_millis(420));
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
        summarize_attempts(&[attempt_at(10, None)], Duration::from_secs(5)).gap,
        Duration::from_millis(4990)
    );
}

/// Answers at once, without a pause.
#[derive(Clone)]
struct Prompt;

impl ProbeTarget for Prompt {
    fn enter(&self) -> Result<()> {
        Ok(())
    }

    fn ask(&self) -> Result<()> {
        Ok(())
    }

    fn every(&self) -> Duration {
        Duration::ZERO
    }
}

/// Half an hour has 90,000 of them, and a process has room for 32,000 stacks.
#[test]
fn an_ended_request_leaves_no_stack_behind() {
    const ENDED: usize = 5_000;
    let probe = Probe::of_target(Prompt);
    while probe.tries.lock().unwrap().len() < ENDED {
        thread::yield_now();
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let seen = probe.stop().unwrap();
    assert!(seen.tries >= ENDED && seen.failed == 0, "{seen}");
    let mappings = maps.lines().count();
    assert!(mappings < ENDED, "{mappings} mappings");
}
