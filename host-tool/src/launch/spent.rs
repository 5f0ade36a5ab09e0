//! Where the time went.

use std::time::{Duration, Instant};

use ha_wire::phase::{Phase, Role};

use super::track::{Span, Track};

/// The launch in consecutive stretches, named; empty if the launch did not see it all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent(pub Vec<(&'static str, Duration)>);

impl Spent {
    /// From the founder's and the joining control planes' own words.
    pub fn measure(tracks: &[Track], begun: Instant, ready: Instant) -> Self {
        let Some(founder) = tracks.iter().find(|t| span(t, Some(Phase::Init)).is_some()) else {
            return Self::default();
        };
        let boot = span(founder, None).and_then(|s| s.end);
        let init = span(founder, Some(Phase::Init)).and_then(|s| Some((s.start, s.end?)));
        let (Some(boot), Some((init, stands))) = (boot, init) else {
            return Self::default();
        };
        let planes = tracks.iter().filter(|t| t.role == Role::ControlPlane);
        let joined = planes
            .filter_map(|t| span(t, Some(Phase::Join))?.end)
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

    /// `boot 5, init 11, join 20, components 6`: seconds.
    pub fn words(&self) -> String {
        let word = |(name, took): &(&str, Duration)| format!("{name} {:.0}", took.as_secs_f32());
        self.0.iter().map(word).collect::<Vec<_>>().join(", ")
    }
}

fn span(track: &Track, phase: Option<Phase>) -> Option<&Span> {
    track.spans.iter().find(|s| s.phase == phase)
}
