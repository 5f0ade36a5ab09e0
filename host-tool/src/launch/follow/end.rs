//! The end of a launch whose nodes are whole: cluster DNS and services begin a little later than the nodes that they serve.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Follow, Outcome};
use crate::api::{self, Api, ClusterView};
use crate::launch::node_progress::NodeProgress;
use crate::launch::phase_timings::PhaseTimings;
use crate::launch::report::LaunchEvent;
use crate::launch::warn_of_findings;

/// For so long: CoreDNS serves within seconds where its image is there, and agents ask again every five to seven. What lasts longer is
/// told as a warning.
const AWAITED: Duration = Duration::from_secs(45);
/// Pause between looks.
const PAUSE: Duration = Duration::from_millis(500);

impl Follow<'_> {
    /// What nobody waited for is told as warnings: it takes a minute to show, or mends itself, or a person must look.
    pub(super) async fn ready(&mut self) -> Result<Outcome> {
        let (cluster, provider) = (self.cluster(), &self.launch.judged.provider);
        let api = Api::new(cluster, self.pki, provider.clone())?;
        let timeout = self.launch.begun + self.launch.options.timeout;
        let until = timeout.min(Instant::now() + AWAITED);
        // The first look goes on from what is known; later ones see the nodes anew.
        let known = Cell::new(Some(self.look.clone()));
        let look = async || {
            let look = api::look_at_everything(&api, cluster, provider, known.take());
            Ok(look.await?.view)
        };
        let mut told = Vec::new();
        let report = &mut *self.report;
        let tell = |missing: Vec<String>| {
            if missing != told {
                report.tell(&LaunchEvent::ClusterAwaited(&missing));
            }
            told = missing;
        };
        let missing = |view: &ClusterView| api::missing_at_the_end(cluster, view);
        let view = look_until(until, look, missing, tell).await?;
        let nodes: Vec<&NodeProgress> = self.nodes.iter().map(|n| &n.progress).collect();
        let timings = PhaseTimings::measure(&nodes, self.launch.begun, Instant::now());
        warn_of_findings(cluster, &view, self.report);
        Ok(Outcome::Ready {
            vip_holder: api::vip_holder(cluster, &view),
            look: Box::new(view),
            timings,
        })
    }
}

/// The first look that misses nothing, or the first one after the time; what is missing is told after every other one.
async fn look_until<V>(
    until: Instant,
    look: impl AsyncFn() -> Result<V>,
    missing: impl Fn(&V) -> Vec<String>,
    mut tell: impl FnMut(Vec<String>),
) -> Result<V> {
    loop {
        let view = look().await?;
        let missing = missing(&view);
        if missing.is_empty() || Instant::now() >= until {
            return Ok(view);
        }
        tell(missing);
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks of which the third misses nothing; what was told, and which look was the last.
    fn looks_until(until: Instant) -> (Vec<Vec<String>>, u32) {
        let (looks, mut told) = (Cell::new(0), Vec::new());
        let look = async || Ok(looks.replace(looks.get() + 1));
        let missing = |look: &u32| match look {
            2.. => Vec::new(),
            look => vec![format!("DNS at look {look}")],
        };
        let tell = |missing| told.push(missing);
        let ended = look_until(until, look, missing, tell);
        let last = ha_host_base::block_on(ended).unwrap().unwrap();
        (told, last)
    }

    #[test]
    fn a_launch_looks_until_names_are_resolved() {
        let told = ["DNS at look 0", "DNS at look 1"].map(|m| vec![m.to_owned()]);
        assert_eq!(
            looks_until(Instant::now() + AWAITED),
            (told.to_vec(), 2),
            "told, and the last look"
        );
    }

    #[test]
    fn a_launch_does_not_look_for_ever() {
        assert_eq!(looks_until(Instant::now()), (Vec::new(), 0));
    }
}
