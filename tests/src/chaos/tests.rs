use super::*;

#[test]
fn only_the_founder_meets_init() {
    let founder = failpoints_met_by(Role::ControlPlane, true);
    assert_eq!(founder[5..7], ["init:before", "init:done"]);
    assert!(
        failpoints_met_by(Role::Worker, false)
            .iter()
            .all(|w| !w.starts_with("init") && !w.starts_with("balancer"))
    );
}

fn event_of(what: EventKind) -> Event {
    Event {
        version: ha_wire::event::VERSION,
        seq: 1,
        time_ms: 1,
        node: "node1".into(),
        what,
    }
}

/// `hello`, or a phase's begin or end.
fn events_of(words: &[&str]) -> Vec<Event> {
    let hello = || EventKind::Hello {
        agent: "1".into(),
        role: Role::Worker,
        boot: "x".into(),
    };
    let one = |word: &&str| match *word {
        "hello" => hello(),
        "gate" => EventKind::Started {
            phase: Phase::Gate,
            attempt: 1,
        },
        "gate:done" => EventKind::Done {
            phase: Phase::Gate,
            took_ms: 1,
            skipped: false,
        },
        _ => EventKind::Steady,
    };
    words.iter().map(|w| event_of(one(w))).collect()
}

#[test]
fn a_fault_after_the_phases_end_interrupts_nothing() {
    for (words, lives, interrupted) in [
        (&["hello", "gate", "hello"][..], 1, true),
        (&["hello", "gate", "gate:done", "hello"], 1, false),
        (&["hello", "hello", "gate"], 1, false),
        (&["hello", "gate", "hello", "gate", "gate:done"], 1, true),
        (&["hello", "gate", "hello", "steady", "hello"], 2, false),
        (&["hello", "gate", "hello", "gate", "hello"], 2, true),
    ] {
        let events = events_of(words);
        let found = was_interrupted(&events, Phase::Gate, lives);
        assert_eq!(found, interrupted, "{words:?} after {lives}");
    }
}

#[test]
fn lives_and_begins_are_read() {
    let events = events_of(&["hello", "gate", "hello"]);
    assert_eq!(lives_among(&events), 2);
    assert_eq!(begin_of(&events, Phase::Gate), Some(1));
    assert_eq!(begin_of(&events, Phase::Init), None);
}
