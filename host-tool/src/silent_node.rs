//! Why a node that has booted says nothing: whether the agent's program is there, and which of systemd's units failed, asked
//! through the provider. Without its system extensions a node has no agent that could tell.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use ha_cluster_file::cluster::Node;
use ha_host_base::text::printable;
use ha_providers::Provider;
use ha_wire::paths;

use crate::node_status::run_on_nodes;

/// The agent's unit.
const AGENT: &str = "ha-agent.service";
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
  echo "unit $unit $state"
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
                    let (name, state) = rest.split_once(' ').unwrap_or((rest, ""));
                    node.failed.push(FailedUnit {
                        name: name.to_owned(),
                        again: state != "failed",
                        said: String::new(),
                    });
                }
                ("said", words) => {
                    if let Some(unit) = node.failed.last_mut() {
                        unit.said = printable(words);
                    }
                }
                _ => {}
            }
        }
        Ok(node)
    }

    /// Why its agent is silent; none: nothing is wrong with it as far as can be seen.
    fn explain(&self) -> Option<Silence> {
        let refusal = self.refusal();
        let words = match refusal {
            Some(why) => Some(words_of_refusal(why)),
            None => self.explain_units(),
        };
        let refusal = refusal.map(str::to_owned);
        words.map(|words| Silence { words, refusal })
    }

    /// The agent reads its node file before anything else, and ends if it cannot.
    fn refusal(&self) -> Option<&str> {
        let agent = self.failed.iter().find(|unit| unit.name == AGENT)?;
        let file = agent.said.strip_prefix("error: ")?;
        file.strip_prefix(paths::NODE_FILE)?.strip_prefix(": ")
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
                    unit.words()
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
            .map(FailedUnit::words)
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

/// serde's words for what it does not know.
const UNKNOWN: [&str; 2] = ["unknown field `", "unknown variant `"];

fn words_of_refusal(why: &str) -> String {
    let name_of = |begin: &&str| why.split_once(*begin)?.1.split_once('`');
    match UNKNOWN.iter().find_map(name_of) {
        Some((name, _)) => format!(
            "its agent is older than this ha-host: it does not know `{name}`, which its node file has"
        ),
        None => format!(
            "its agent cannot read its node file, and may be of another release than this ha-host: {why}"
        ),
    }
}

impl FailedUnit {
    fn words(&self) -> String {
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

    fn explained(answer: &str) -> Option<String> {
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
        let words = explained(BUSY).unwrap();
        assert_eq!(
            words,
            "it has booted, but its system extensions did not merge: systemd-sysext.service failed: Failed to set up loopback device \
             for /etc/extensions/ha-agent.raw: Device or resource busy; it is tried again every 2 s"
        );
        let at_it = explained(&BUSY.replace("auto-restart", "start-pre")).unwrap();
        assert_eq!(at_it, words, "at its next try");
        let words = explained(&BUSY.replace("auto-restart", "failed")).unwrap();
        assert!(
            words.contains("`systemctl restart systemd-sysext` there"),
            "{words}"
        );
    }

    #[test]
    fn a_node_without_its_agent_is_named_as_that_once_it_has_booted() {
        assert_eq!(explained("booting\n"), None);
        let words = explained("").unwrap();
        assert!(
            words.starts_with("it has booted without its agent"),
            "{words}"
        );
        let failed = "unit a.service failed\nsaid no\nunit b.service failed\nunit c.service failed\nunit d.service failed\n";
        let words = explained(failed).unwrap();
        assert!(
            words.ends_with("a.service failed: no; b.service failed; c.service failed; and 1 more"),
            "{words}"
        );
    }

    /// As an agent said it that was built before `endpoint.interface` was.
    const OLDER: &str = "agent\nunit ha-agent.service auto-restart\n\
                         said error: /etc/ha-agent/node.json: not a node file: unknown field `interface`, expected one of `vip`, `port` at line 1 column 402\n";

    #[test]
    fn an_agent_that_cannot_read_its_node_file_is_told_from_one_that_may_yet() {
        assert_eq!(
            explained(OLDER).unwrap(),
            "its agent is older than this ha-host: it does not know `interface`, which its node file has"
        );
        let mode = OLDER.replace("unknown field `interface`", "unknown variant `machines`");
        assert!(
            explained(&mode)
                .unwrap()
                .contains("does not know `machines`")
        );
        let newer = "version 1 of a node file is not supported (supported: 2)";
        let newer = format!(
            "agent\nunit ha-agent.service auto-restart\nsaid error: /etc/ha-agent/node.json: {newer}\n"
        );
        assert!(
            explained(&newer).unwrap().ends_with(
                "this ha-host: version 1 of a node file is not supported (supported: 2)"
            )
        );
        let refusal = |answer: &str| {
            SilentNode::parse(&format!("{answer}answered\n"))
                .unwrap()
                .explain()
                .unwrap()
                .refusal
        };
        assert!(
            refusal(OLDER)
                .unwrap()
                .starts_with("not a node file: unknown field")
        );
        assert_eq!(
            refusal(&OLDER.replace("/etc/ha-agent/node.json", "cannot open /run")),
            None
        );
    }

    #[test]
    fn a_node_with_its_agent_is_silent_for_another_reason() {
        assert_eq!(explained("agent\n"), None);
        let words =
            explained("agent\nunit ha-agent.service auto-restart\nsaid it broke\n").unwrap();
        assert_eq!(
            words,
            "it has its agent, and units of systemd failed: ha-agent.service failed: it broke"
        );
        SilentNode::parse("agent\n").unwrap_err();
    }
}
