//! What a launch says of the nodes that it lost, or still waits for.

use std::time::Instant;

use ha_cluster_file::cluster::Node;
use ha_host_base::text::span;

use super::{Follow, OFF_LOOKS};
use crate::ask;
use crate::launch::console::Failure;
use crate::launch::track::{Life, Track, Trouble};
use crate::launch::{Lost, others};

/// So many lines of a failing program are shown.
const WORDS: usize = 12;
/// The last word of Flatcar's console when Ignition fails: the emergency shell waits for a key and shows nothing
/// (flatcar/Flatcar#2001).
const FLATCAR_SILENCE: &str = "unmounting filesystem";

impl Follow<'_> {
    pub(super) fn is_lost(&self, index: usize, node: &Node) -> Option<Lost> {
        if self.off[index] >= OFF_LOOKS {
            return Some(self.at_the_console(index, node, "its machine went off".to_owned()));
        }
        let failure = self.consoles[index].failure();
        if let Some(failure) = failure.filter(|_| !self.tracks[index].heard) {
            return Some(self.never_booted(index, node, failure));
        }
        let trouble = self.tracks[index].lost(Instant::now())?;
        Some(self.troubled(node, trouble))
    }

    /// With the last lines of its console.
    fn at_the_console(&self, index: usize, node: &Node, what: String) -> Lost {
        let console = &self.consoles[index];
        let mut lost = self.lost(node, None, what);
        lost.words = console.last();
        lost.words
            .push(format!("console: {}", console.path().display()));
        lost
    }

    fn never_booted(&self, index: usize, node: &Node, failure: &Failure) -> Lost {
        let mut lost = self.at_the_console(index, node, failure.what.to_owned());
        if let Some(cause) = &failure.cause {
            lost.words.retain(|line| line != cause);
            lost.words.insert(0, cause.clone());
        }
        lost.again = Some(format!(
            "nothing of this node ever ran: mend its config (ignition.merge, sysexts), then  ha-host destroy {} --yes  and \
             launch again",
            self.cluster.name
        ));
        lost
    }

    fn troubled(&self, node: &Node, trouble: &Trouble) -> Lost {
        let phase = trouble.phase.name();
        let times = match trouble.attempts {
            1 => "failed".to_owned(),
            n => format!("failed {n} times in {}", span(trouble.first.elapsed())),
        };
        let mut lost = self.lost(node, Some(phase), format!("{phase} {times}"));
        lost.words.push(trouble.error.clone());
        let skip = trouble.tail.len().saturating_sub(WORDS);
        lost.words.extend(
            trouble
                .tail
                .iter()
                .skip(skip)
                .filter(|l| **l != trouble.error)
                .cloned(),
        );
        lost
    }

    pub(super) fn lost(&self, node: &Node, phase: Option<&'static str>, what: String) -> Lost {
        let (cluster, name) = (&self.cluster.name, &node.name);
        let unit = if phase.is_some() {
            " --unit ha-agent"
        } else {
            ""
        };
        Lost {
            node: name.clone(),
            role: node.role.words(),
            phase,
            what,
            words: Vec::new(),
            again: None,
            others: others(self.cluster, &self.look, name),
            look: format!("ha-host logs {cluster} {name}{unit}"),
        }
    }

    /// What each node waits for, and what the cluster lacks.
    pub(super) fn missing(&self) -> Vec<String> {
        let pairs = self.cluster.nodes.iter().zip(&self.tracks);
        let waiting = pairs
            .filter(|(_, t)| t.life != Life::Steady)
            .map(|(node, t)| self.waits(node, t));
        waiting.chain(self.look.missing(self.cluster)).collect()
    }

    fn waits(&self, node: &Node, track: &Track) -> String {
        let place = format!(
            "{} is in {} for {}",
            track.name,
            track.place(),
            span(track.since.elapsed())
        );
        let words = match track.heard {
            true => track.words(),
            false => self.silent(node, track),
        };
        if words.is_empty() {
            place
        } else {
            format!("{place}: {words}")
        }
    }

    /// The agent's journal if somebody there answers, else the console's last words.
    fn silent(&self, node: &Node, track: &Track) -> String {
        let journal = ask::agent_words(&*self.provider, node, 1).join(" ");
        if !journal.is_empty() || track.console.is_empty() {
            return journal;
        }
        let hint = match track.console.contains(FLATCAR_SILENCE) {
            true => " (so Flatcar's console ends when Ignition fails: press Enter there for more)",
            false => "",
        };
        format!("the console's last line: {}{hint}", track.console)
    }
}
