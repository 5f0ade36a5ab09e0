//! Where the time went.

use std::time::{Duration, Instant};

use ha_wire::phase::{Phase, Role};

use super::node_progress::{NodeProgress, Span};

/// The launch in consecutive stretches, each with its name; empty if the launch did not see it all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PhaseTimings(pub Vec<(&'static str, Duration)>);

impl PhaseTimings {
    /// From the founder's and the joining control planes' own words.
    pub fn measure(nodes: &[&NodeProgress], begun: Instant, ready: Instant) -> Self {
        let Some(founder) = nodes
            .iter()
            .find(|t| find_span(t, Some(Phase::Init)).is_some())
        else {
            return Self::default();
        };
        let boot = find_span(founder, None).and_then(|s| s.end);
        let init = find_span(founder, Some(Phase::Init)).and_then(|s| Some((s.start, s.end?)));
        let (Some(boot), Some((init, stands))) = (boot, init) else {
            return Self::default();
        };
        let planes = nodes.iter().filter(|t| t.role == Role::ControlPlane);
        let joined = planes
            .filter_map(|t| find_span(t, Some(Phase::Join))?.end)
            .max()
            .unwrap_or(stands);
        let points = [
            ("boot", boot),
            ("balancer", init),
            ("init", stands),
            ("join", joined),
            ("components", ready),
        ];
        let mut last = begun;
        Self(
            points
                .into_iter()
                .map(|(name, end)| {
                    let took = end.saturating_duration_since(last);
                    last = last.max(end);
                    (name, took)
                })
                .collect(),
        )
    }
}

fn find_span(node: &NodeProgress, phase: Option<Phase>) -> Option<&Span> {
    node.spans.iter().find(|s| s.phase == phase)
}
