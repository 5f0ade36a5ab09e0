use super::*;

fn event_at(time_ms: u64, what: EventKind) -> Event {
    Event {
        version: ha_wire::event::VERSION,
        seq: 1,
        time_ms,
        node: "node1".into(),
        what,
    }
}

fn phase_began(time_ms: u64, phase: Phase) -> Event {
    event_at(time_ms, EventKind::Started { phase, attempt: 1 })
}

fn phase_ended(time_ms: u64, phase: Phase) -> Event {
    let (took_ms, skipped) = (1, false);
    event_at(
        time_ms,
        EventKind::Done {
            phase,
            took_ms,
            skipped,
        },
    )
}

#[test]
fn a_moment_is_the_first_event_of_its_kind() {
    let events = [
        phase_began(1, Phase::Init),
        phase_began(2, Phase::Images),
        phase_began(3, Phase::Init),
        phase_ended(4, Phase::Init),
        phase_ended(5, Phase::Images),
    ];
    assert_eq!(time_of(&events, Moment::Begin(Phase::Init)), Some(1));
    assert_eq!(time_of(&events, Moment::End(Phase::Init)), Some(4));
    assert_eq!(time_of(&events, Moment::End(Phase::Finish)), None);
    assert_eq!(describe_position(&events), "after init");
    assert_eq!(describe_position(&events[..2]), "in init");
    assert_eq!(describe_position(&[]), "silent");
}

#[test]
fn no_second_of_init_or_of_a_join_is_left_out() {
    let all: Vec<PowerCut> = schedule::all_rounds().into_iter().flatten().collect();
    assert!(all.len() >= 60, "{}", all.len());
    let has = |node, moment, seconds| {
        all.contains(&PowerCut {
            node,
            moment,
            after: Duration::from_secs(seconds),
        })
    };
    for second in 1..=11 {
        assert!(has("node1", Moment::Begin(Phase::Init), second), "{second}");
        assert!(has("node2", Moment::Begin(Phase::Join), second), "{second}");
    }
    for (second, node) in [1, 2, 4]
        .iter()
        .flat_map(|s| ["node1", "node3", "node4"].map(|n| (*s, n)))
    {
        assert!(
            has(node, Moment::End(Phase::Finish), second),
            "{node} {second}"
        );
    }
}

#[test]
fn a_launch_cuts_no_node_twice() {
    for round in schedule::all_rounds()
        .into_iter()
        .chain([schedule::short_round()])
    {
        let nodes: BTreeSet<&str> = round.iter().map(|cut| cut.node).collect();
        assert_eq!(nodes.len(), round.len(), "{round:?}");
    }
}
