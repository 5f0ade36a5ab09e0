//! The state machine: where a node is on its plan, and what an event makes of that. Pure; the driver does the I/O.

use ha_wire::phase::Phase;

use crate::plan::Plan;

/// Where a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// An attempt at a phase is due or under way.
    At { phase: Phase, attempt: u32 },
    /// The attempt failed; another follows after a while.
    Retrying {
        phase: Phase,
        /// The one that failed.
        attempt: u32,
    },
    /// The attempt found what only a person can mend; the agent looks again from time to time whether it is mended.
    Failed {
        phase: Phase,
        /// The one that failed.
        attempt: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseEvent {
    /// The phase is done, or there was nothing to do.
    Done,
    /// The founder found a standing cluster.
    ClusterStands,
    /// The founder waits for a cluster that nobody may have founded.
    DecideAnew,
    Failed,
    /// The attempt failed, and another alone does not help.
    NeedsAPerson,
    /// The time until the next attempt is over.
    Again,
}

/// An event that cannot happen in a state: a bug, told and survived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen in {state:?}")]
pub struct Illegal {
    pub state: State,
    pub event: PhaseEvent,
}

impl State {
    /// The begin of a life: each phase judges by itself whether it is done, so every life begins at the first one.
    pub fn begin(plan: &Plan) -> Self {
        Self::At {
            phase: plan.steps.first().copied().unwrap_or(Phase::Steady),
            attempt: 1,
        }
    }

    /// The phase, in whatever state it is.
    #[cfg(test)]
    pub fn phase(self) -> Phase {
        match self {
            Self::At { phase, .. } | Self::Retrying { phase, .. } | Self::Failed { phase, .. } => {
                phase
            }
        }
    }
}

/// What `event` makes of `state`.
pub fn next_state(plan: &Plan, state: State, event: PhaseEvent) -> Result<State, Illegal> {
    use State::{At, Failed, Retrying};
    let illegal = Illegal { state, event };
    let first = |phase| At { phase, attempt: 1 };
    match (state, event) {
        // A round of watching is over: the next one begins.
        (
            At {
                phase: Phase::Steady,
                ..
            },
            PhaseEvent::Done,
        ) => Ok(first(Phase::Steady)),
        (At { phase, .. }, PhaseEvent::Done) => plan.after(phase).map(first).ok_or(illegal),
        (
            At {
                phase: Phase::Init, ..
            },
            PhaseEvent::ClusterStands,
        ) => plan.detour.first().copied().map(first).ok_or(illegal),
        (
            At {
                phase: Phase::Gate, ..
            },
            PhaseEvent::DecideAnew,
        ) if plan.steps.contains(&Phase::Init) => Ok(first(Phase::Init)),
        (At { phase, attempt }, PhaseEvent::Failed) => Ok(Retrying { phase, attempt }),
        (At { phase, attempt }, PhaseEvent::NeedsAPerson) => Ok(Failed { phase, attempt }),
        (Retrying { phase, attempt } | Failed { phase, attempt }, PhaseEvent::Again) => {
            let attempt = attempt.saturating_add(1);
            Ok(At { phase, attempt })
        }
        _ => Err(illegal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use proptest::prelude::*;

    const EVENTS: [PhaseEvent; 6] = [
        PhaseEvent::Done,
        PhaseEvent::ClusterStands,
        PhaseEvent::DecideAnew,
        PhaseEvent::Failed,
        PhaseEvent::NeedsAPerson,
        PhaseEvent::Again,
    ];

    fn plans_by_role() -> [Plan; 3] {
        [
            testing::founder(),
            testing::control_plane(),
            testing::worker(),
        ]
        .map(|n| Plan::of(&n))
    }

    fn states_of_plan(plan: &Plan) -> Vec<State> {
        let phases = Phase::ALL.into_iter().filter(|p| plan.holds(*p));
        let each = |phase| {
            [1, 3, u32::MAX].into_iter().flat_map(move |attempt| {
                [
                    State::At { phase, attempt },
                    State::Retrying { phase, attempt },
                    State::Failed { phase, attempt },
                ]
            })
        };
        phases.flat_map(each).collect()
    }

    /// What follows on each phase that ended well: of the founder, of another control plane, of a worker. Written by hand.
    const FOLLOWS: [&str; 3] = [
        "preflight>balancer balancer>init init>network gate>join join>network network>finish finish>steady steady>steady",
        "preflight>balancer balancer>gate gate>join join>network network>finish finish>steady steady>steady",
        "preflight>gate gate>join join>network network>finish finish>steady steady>steady",
    ];

    /// As the table above and the rules in words say it; none: it cannot happen.
    fn expected_state(follows: &str, state: State, event: PhaseEvent) -> Option<State> {
        use State::{At, Failed, Retrying};
        let named = |name: &str| Phase::ALL.into_iter().find(|p| p.name() == name).unwrap();
        let first = |phase| At { phase, attempt: 1 };
        Some(match (state, event) {
            (At { phase, .. }, PhaseEvent::Done) => {
                let mut ways = follows.split(' ').map(|w| w.split_once('>').unwrap());
                first(named(
                    ways.find(|(from, _)| *from == phase.name()).unwrap().1,
                ))
            }
            (At { phase, .. }, PhaseEvent::ClusterStands) if phase.name() == "init" => {
                first(Phase::Gate)
            }
            (At { phase, .. }, PhaseEvent::DecideAnew)
                if phase.name() == "gate" && follows.contains("balancer>init") =>
            {
                first(Phase::Init)
            }
            (At { phase, attempt }, PhaseEvent::Failed) => Retrying { phase, attempt },
            (At { phase, attempt }, PhaseEvent::NeedsAPerson) => Failed { phase, attempt },
            (Retrying { phase, attempt: 1 } | Failed { phase, attempt: 1 }, PhaseEvent::Again) => {
                At { phase, attempt: 2 }
            }
            (Retrying { phase, attempt: 3 } | Failed { phase, attempt: 3 }, PhaseEvent::Again) => {
                At { phase, attempt: 4 }
            }
            // After four thousand million failures the number stays as it is.
            (Retrying { phase, attempt } | Failed { phase, attempt }, PhaseEvent::Again) => {
                At { phase, attempt }
            }
            _ => return None,
        })
    }

    #[test]
    fn all_pairs_of_state_and_event() {
        for (plan, follows) in plans_by_role().iter().zip(FOLLOWS) {
            let phases = states_of_plan(plan).len() / 9;
            assert_eq!(phases, follows.split(' ').count(), "each phase has its row");
            for state in states_of_plan(plan) {
                for event in EVENTS {
                    let wanted =
                        expected_state(follows, state, event).ok_or(Illegal { state, event });
                    assert_eq!(
                        next_state(plan, state, event),
                        wanted,
                        "{state:?} {event:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_founder_of_a_standing_cluster_joins_it() {
        let [plan, ..] = plans_by_role();
        let at = |phase| State::At { phase, attempt: 1 };
        let mut state = next_state(&plan, at(Phase::Init), PhaseEvent::ClusterStands).unwrap();
        assert_eq!(state, at(Phase::Gate));
        for phase in [
            Phase::Join,
            Phase::Network,
            Phase::Finish,
            Phase::Steady,
            Phase::Steady,
        ] {
            state = next_state(&plan, state, PhaseEvent::Done).unwrap();
            assert_eq!(state, at(phase));
        }
    }

    #[test]
    fn illegal_says_what_and_where() {
        let [.., plan] = plans_by_role();
        let error = next_state(&plan, State::begin(&plan), PhaseEvent::Again).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Again cannot happen in At { phase: Preflight, attempt: 1 }"
        );
    }

    proptest! {
        #[test]
        fn happy_events_reach_steady_from_any_state(which in 0..3_usize, at in 0..100_usize) {
            let plan = &plans_by_role()[which];
            let states = states_of_plan(plan);
            let mut state = states[at % states.len()];
            for _ in 0..20 {
                let event = if matches!(state, State::At { .. }) { PhaseEvent::Done } else { PhaseEvent::Again };
                state = next_state(plan, state, event).unwrap();
            }
            prop_assert_eq!(state.phase(), Phase::Steady);
        }

        #[test]
        fn whatever_happens_the_plan_is_kept(which in 0..3_usize, events in prop::collection::vec(0..6_usize, 0..200)) {
            let plan = &plans_by_role()[which];
            let mut state = State::begin(plan);
            for event in events.into_iter().map(|i| EVENTS[i]) {
                let before = state;
                if let Ok(then) = next_state(plan, state, event) {
                    state = then;
                }
                prop_assert!(plan.holds(state.phase()));
                if matches!(event, PhaseEvent::Failed | PhaseEvent::NeedsAPerson | PhaseEvent::Again) {
                    prop_assert_eq!(before.phase(), state.phase(), "a failure never loses the phase");
                }
            }
        }
    }
}
