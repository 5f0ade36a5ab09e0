//! Why a node that has booted says nothing: whether the agent's program is there, and which of systemd's units failed, asked
//! through the provider. Without its system extensions a node has no agent that could tell.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use ha_cluster_file::cluster::Node;
use ha_host_base::text::printable_line;
use ha_providers::Provider;
use ha_wire::node::UNUSABLE_EXIT_CODE;

use crate::node_status::run_on_nodes;

/// The agent's unit.
const AGENT: &str = "ha-agent.service";
/// Its own words follow.
const REFUSED: &str =
    "its agent cannot use its node file: it may be of another release than this ha-host";
/// What merges system extensions; without it there is no agent.
const MERGE: &str = "systemd-sysext.service";
/// More units are not named: of the first ones the others are mostly consequences.
const NAMED: usize = 3;
/// The last line that [`QUESTION`] prints: without it the answer was cut off.
const ANSWERED: &str = "answered";
/// Prints a word a line: whether the agent's program is there, whether the boot is still under way, then each unit that failed
/// or that is started again after that, or waits for it, with the last line that it wrote itself.
const QUESTION: &str = r#"if [ -x /usr/bin/ha-agent ]; then echo agent; fi
case $(systemctl is-system-running) in initializing|starting) echo booting;; esac
systemctl list-units --state=failed --state=activating --plain --no-legend --no-pager | while read -r unit rest; do
  state=$(systemctl show --property=SubState --value "$unit") again=$(systemctl show --property=NRestarts --value "$unit")
  case $state in failed|auto-restart*) ;; *) [ "${again:-0}" -gt 0 ] || continue;; esac
  echo "unit $unit $state $(systemctl show --property=ExecMainStatus --value "$unit")"
  journalctl --boot --no-pager --output=cat --lines=1 "_SYSTEMD_UNIT=$unit" | while read -r line; do echo "said $line"; done
done
echo answered"#;

/// What a node that says nothing shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SilentNode {
    /// The agent's program is there.
    has_agent: bool,
    /// Its boot has not come to its end.
    boots: bool,
    failed: Vec<FailedUnit>,
}

/// Why a node says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    pub words: String,
    /// What its agent says of a node file that it cannot read: no later try reads another one.
    pub refusal: Option<String>,
}

/// A unit that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FailedUnit {
    name: String,
    /// systemd starts it again by itself.
    again: bool,
    /// Its program's, or the number of the signal that ended it.
    exit_code: Option<u8>,
    /// The last line that it wrote; may be empty.
    said: String,
}

impl SilentNode {
    /// What [`QUESTION`] printed.
    fn parse(answer: &str) -> Result<Self> {
        if answer.lines().last() != Some(ANSWERED) {
            bail!("its answer was cut off");
        }
        let mut node = Self::default();
        for line in answer.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("agent", _) => node.has_agent = true,
                ("booting", _) => node.boots = true,
                ("unit", rest) => {
                    let mut words = rest.split(' ');
                    let mut word = || words.next().unwrap_or_default();
                    node.failed.push(FailedUnit {
                        name: word().to_owned(),
                        again: word() != "failed",
                        exit_code: word().parse().ok(),
                        said: String::new(),
                    });
                }
                ("said", words) => {
                    if let Some(unit) = node.failed.last_mut() {
                        unit.said = printable_line(words);
                    }
                }
                _ => {}
            }
        }
        Ok(node)
    }

    /// Why its agent is silent; none: nothing is wrong with it as far as can be seen.
    fn explain(&self) -> Option<Silence> {
        let refusal = self.refusal().map(|agent| agent.said.clone());
        let words = match refusal {
            Some(_) => Some(REFUSED.to_owned()),
            None => self.explain_units(),
        };
        words.map(|words| Silence { words, refusal })
    }

    /// The agent reads its node file before anything else, and ends with this code if it cannot.
    fn refusal(&self) -> Option<&FailedUnit> {
        let is_it =
            |unit: &&FailedUnit| unit.name == AGENT && unit.exit_code == Some(UNUSABLE_EXIT_CODE);
        self.failed.iter().find(is_it)
    }

    fn explain_units(&self) -> Option<String> {
        let merge = self.failed.iter().find(|unit| unit.name == MERGE);
        match merge.filter(|_| !self.has_agent) {
            Some(unit) => {
                let then = match unit.again {
                    true => "it is tried again every 2 s",
                    false => {
                        "it is not tried again by itself: `systemctl restart systemd-sysext` there"
                    }
                };
                return Some(format!(
                    "it has booted, but its system extensions did not merge: {}; {then}",
                    unit.describe()
                ));
            }
            None if self.has_agent && self.failed.is_empty() => return None,
            // They may come yet.
            None if self.boots && self.failed.is_empty() => return None,
            None => {}
        }
        let units: Vec<String> = self
            .failed
            .iter()
            .take(NAMED)
            .map(FailedUnit::describe)
            .collect();
        let units = match (units.join("; "), self.failed.len()) {
            (words, 0..=NAMED) => words,
            (words, all) => format!("{words}; and {} more", all - NAMED),
        };
        Some(match (self.has_agent, units.as_str()) {
            (true, units) => format!("it has its agent, and units of systemd failed: {units}"),
            (false, "") => {
                "it has booted without its agent: no system extension brought /usr/bin/ha-agent"
                    .to_owned()
            }
            (false, units) => format!(
                "it has booted without its agent: no system extension brought /usr/bin/ha-agent; {units}"
            ),
        })
    }
}

impl FailedUnit {
    fn describe(&self) -> String {
        match self.said.as_str() {
            "" => format!("{} failed", self.name),
            said => format!("{} failed: {said}", self.name),
        }
    }
}

/// Why these nodes are silent, by their names, asked side by side; nothing of those that do not answer or
/// show nothing wrong.
pub fn explain_silence(provider: &dyn Provider, nodes: &[&Node]) -> BTreeMap<String, Silence> {
    let answers = run_on_nodes(provider, nodes, &["sh", "-c", QUESTION, "silent"]);
    let explained = |(node, answer): (&&Node, Result<String>)| {
        let shown = SilentNode::parse(&answer.ok()?).ok()?;
        Some((node.name.clone(), shown.explain()?))
    };
    nodes.iter().zip(answers).filter_map(explained).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain_answer(answer: &str) -> Option<String> {
        SilentNode::parse(&format!("{answer}answered\n"))
            .unwrap()
            .explain()
            .map(|silence| silence.words)
    }

    /// As a node said it whose merge found no loop device (systemd 257).
    const BUSY: &str = "unit systemd-sysext.service auto-restart\n\
                        said Failed to set up loopback device for /etc/extensions/ha-agent.raw: Device or resource busy\n";

    #[test]
    fn a_merge_that_failed_is_named_with_its_cause_and_what_becomes_of_it() {
        let words = explain_answer(BUSY).unwrap();
        assert_eq!(
            words,
            "it has booted, but its system extensions did not merge: systemd-sysext.service failed: Failed to set up loopback device \
             for /etc/extensions/ha-agent.raw: Device or resource busy; it is tried again every 2 s"
        );
        let at_it = explain_answer(&BUSY.replace("auto-restart", "start-pre")).unwrap();
        assert_eq!(at_it, words, "at its next try");
        let words = explain_answer(&BUSY.replace("auto-restart", "failed")).unwrap();
        assert!(
            words.contains("`systemctl restart systemd-sysext` there"),
            "{words}"
        );
    }

    #[test]
    fn a_node_without_its_agent_is_named_as_that_once_it_has_booted() {
        assert_eq!(explain_answer("booting\n"), None);
        let words = explain_answer("").unwrap();
        assert!(
            words.starts_with("it has booted without its agent"),
            "{words}"
        );
        let failed = "unit a.service failed\nsaid no\nunit b.service failed\nunit c.service failed\nunit d.service failed\n";
        let words = explain_answer(failed).unwrap();
        assert!(
            words.ends_with("a.service failed: no; b.service failed; c.service failed; and 1 more"),
            "{words}"
        );
    }

    /// As an agent said it that was built before `endpoint.interface` was.
    const OLDER: &str = "agent\nunit ha-agent.service auto-restart 2\n\
                         said error: /etc/ha-agent/node.json: not a node file: unknown field `interface`, expected one of `vip`, `port` at line 1 column 402\n";

    #[test]
    fn an_agent_that_cannot_use_its_node_file_is_told_from_one_that_may_yet() {
        let silence = |answer: &str| {
            let shown = SilentNode::parse(&format!("{answer}answered\n")).unwrap();
            shown.explain().unwrap()
        };
        let older = silence(OLDER);
        assert_eq!(older.words, REFUSED);
        let said = older.refusal.unwrap();
        assert!(said.contains("unknown field `interface`"), "{said}");
        assert_eq!(
            silence(&OLDER.replace("restart 2", "restart 1")).refusal,
            None
        );
        assert_eq!(
            silence(&OLDER.replace("restart 2", "restart")).refusal,
            None
        );
    }

    #[test]
    fn a_node_with_its_agent_is_silent_for_another_reason() {
        assert_eq!(explain_answer("agent\n"), None);
        let words =
            explain_answer("agent\nunit ha-agent.service auto-restart\nsaid it broke\n").unwrap();
        assert_eq!(
            words,
            "it has its agent, and units of systemd failed: ha-agent.service failed: it broke"
        );
        SilentNode::parse("agent\n").unwrap_err();
    }
}
