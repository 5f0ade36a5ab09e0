//! How far a node is, in words and as a bar.

use std::time::Duration;

use ha_host_base::text::human_duration;
use ha_wire::phase::Phase;

use crate::launch::node_progress::{NodeProgress, Stage};
use crate::launch::report::UnfinishedNode;

/// A boot that is quiet for longer is worth a word.
const QUIET_BOOT: Duration = Duration::from_secs(20);
/// Before the agent's phases: waiting, making, boot.
const BEFORE_PHASES: usize = 3;
/// How many steps a node goes, [`completed_steps`] of a steady one.
pub const STEPS: usize = BEFORE_PHASES + Phase::ALL.len();
/// The last word of Flatcar's console when Ignition fails: the emergency shell waits for a key and shows nothing
/// (flatcar/Flatcar#2001).
const FLATCAR_SILENCE: &str = "unmounting filesystem";

/// How far it is, of [`STEPS`].
pub fn completed_steps(stage: Stage) -> usize {
    match stage {
        Stage::Waiting => 0,
        Stage::Making => 1,
        Stage::Booting => 2,
        Stage::Working(phase) => {
            BEFORE_PHASES + Phase::ALL.iter().position(|p| *p == phase).unwrap_or(0)
        }
        Stage::Steady => STEPS,
    }
}

/// What a node waits for, one line; may be empty.
pub fn waiting_for(node: &NodeProgress) -> String {
    if let Some(version) = node.other_version {
        return format!("its agent speaks version {version}: update whichever of both is older");
    }
    let quiet = node.stage == Stage::Booting && node.since.elapsed() > QUIET_BOOT;
    match (node.waiting.as_str(), node.images) {
        ("", _) if quiet => {
            let silent = "its agent has not been heard yet";
            match node.console.as_str() {
                "" => silent.to_owned(),
                line => format!("{silent}; console: {line}"),
            }
        }
        ("", Some((done, total))) => format!("images: {done} of {total}"),
        (words, _) => words.to_owned(),
    }
}

/// What a node waited for when the time was up, one line.
pub fn unfinished_node(node: &UnfinishedNode) -> String {
    let progress = &node.progress;
    let place = format!(
        "{} is in {} for {}",
        progress.name,
        progress.stage,
        human_duration(progress.since.elapsed())
    );
    let words = match progress.heard || progress.other_version.is_some() {
        true => waiting_for(progress),
        false => unheard_node(node),
    };
    if words.is_empty() {
        place
    } else {
        format!("{place}: {words}")
    }
}

/// The agent's journal if somebody there answered, else the console's last words.
fn unheard_node(node: &UnfinishedNode) -> String {
    let console = &node.progress.console;
    if !node.journal.is_empty() || console.is_empty() {
        return node.journal.clone();
    }
    let hint = match console.contains(FLATCAR_SILENCE) {
        true => " (so Flatcar's console ends when Ignition fails: press Enter there for more)",
        false => "",
    };
    format!("the console's last line: {console}{hint}")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ha_test_support::demo_cluster;

    use super::*;

    #[test]
    fn what_a_node_waits_for_is_said() {
        let mut node = NodeProgress::new(&demo_cluster().nodes[1], Instant::now());
        assert_eq!(waiting_for(&node), "");
        node.images = Some((3, 4));
        assert_eq!(waiting_for(&node), "images: 3 of 4");
        node.waiting = "/readyz: refused".to_owned();
        assert_eq!(waiting_for(&node), "/readyz: refused");
        node.speaks_other_version(2);
        assert!(waiting_for(&node).contains("speaks version 2"));
    }

    #[test]
    fn a_bar_grows_from_stage_to_stage() {
        let working = Phase::ALL.map(Stage::Working);
        let stages = [Stage::Waiting, Stage::Making, Stage::Booting]
            .into_iter()
            .chain(working)
            .chain([Stage::Steady]);
        let steps: Vec<usize> = stages.map(completed_steps).collect();
        assert_eq!(steps, (0..=STEPS).collect::<Vec<_>>());
    }
}
