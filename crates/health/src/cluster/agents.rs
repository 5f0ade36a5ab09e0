//! The agents' own words.

use ha_wire::status::{PhaseState, Status};

use super::expected::{ExpectedCluster, ExpectedNode};
use super::view::{AgentView, AgentWord, ClusterView, OLD_WORDS};
use super::words::{name_list, with_reason};
use crate::finding::{Finding, Part};
use crate::node::node_findings;

/// An agent's status takes less, in KiB, and so does whatever a unit writes at its start. The agent tells of a /run that is nearly
/// full by itself.
const WRITES_TAKE: u64 = 32;
/// A node that boots again goes through its phases in less, in seconds.
const PHASES_PASS_WITHIN: u64 = 60;

/// Every agent that can be asked has spoken lately, and has nothing to complain of.
pub fn agents_are_heard(expected: &ExpectedCluster, view: &ClusterView) -> Vec<Finding> {
    let agents = expected.nodes.iter();
    let heard = agents.filter_map(|node| Some((node, view.agents.get(&node.name)?)));
    heard
        .flat_map(|(node, agent)| {
            let full = full_run(expected, node, agent);
            full.into_iter()
                .chain(agent_findings(expected, node, agent))
        })
        .collect()
}

/// Told at once: the agent's own words have to grow old before anybody sees that it cannot write them.
fn full_run(expected: &ExpectedCluster, node: &ExpectedNode, agent: &AgentView) -> Option<Finding> {
    let name = &node.name;
    agent.run_left_kib.filter(|left| *left < WRITES_TAKE)?;
    let what = format!(
        "/run of {name} is full: no unit starts there, and its agent cannot say anything; remove what fills it"
    );
    let next = format!(
        "ha-host exec {} {name} -- sh -c 'du -xh /run | sort -h | tail'",
        expected.name
    );
    Some(Finding::new(Part::Node(name.clone()), what).with_next(next))
}

fn agent_findings(
    expected: &ExpectedCluster,
    node: &ExpectedNode,
    agent: &AgentView,
) -> Vec<Finding> {
    let part = || Part::Agent(node.name.clone());
    let journal = expected.journal_command(&node.name, "ha-agent");
    let (status, now_ms) = match &agent.word {
        // Nobody answers, or in words of another time: not known, which is no fault of the cluster's.
        AgentWord::Unreachable | AgentWord::OtherVersion(_) => return Vec::new(),
        AgentWord::NoStatus { failed_units } => {
            let next = format!("ha-host logs {} {}", expected.name, node.name);
            return vec![Finding::new(part(), without_agent(failed_units)).with_next(next)];
        }
        AgentWord::Status { status, now_ms } => (status, now_ms.unwrap_or(status.updated_ms)),
    };
    if let Some(age) = agent.word_age().filter(|age| *age > OLD_WORDS) {
        let what = "its agent says nothing any more: what it last said is old";
        let finding = Finding::new(part(), what).with_next(journal);
        return vec![finding.lasting(Some(age))];
    }
    // An agent of an earlier release wrote changes alone: its words have no age.
    let has_age = agent.word_age().is_some();
    let judged_ms = if has_age { now_ms } else { status.updated_ms };
    let mut findings = node_findings(status, judged_ms);
    // What concerns the whole cluster is judged from all nodes' words together.
    findings.retain(|f| matches!(f.part, Part::Agent(_) | Part::Node(_)));
    if findings.is_empty() {
        findings.extend(state_finding(node, status, now_ms));
    }
    for finding in &mut findings {
        if finding.next.is_empty() {
            finding.next.clone_from(&journal);
        }
    }
    findings
}

fn without_agent(failed_units: &[String]) -> String {
    let what = "its machine runs without its agent";
    match name_list(failed_units) {
        units if units.is_empty() => what.to_owned(),
        units => format!("{what}: failed units: {units}"),
    }
}

fn state_finding(node: &ExpectedNode, status: &Status, now_ms: u64) -> Option<Finding> {
    let seconds = now_ms.saturating_sub(status.since_ms) / 1000;
    let words = match (&status.waiting_for, &status.last_error) {
        (waits, error) if !waits.is_empty() => with_reason(&format!("waits for {waits}"), error),
        (_, error) => error.clone(),
    };
    let what = match status.state {
        PhaseState::Steady => return None,
        PhaseState::Failed => format!("its agent gave up in {}", status.phase),
        PhaseState::Degraded => "its agent is degraded".to_owned(),
        PhaseState::Working | PhaseState::Retrying if seconds <= PHASES_PASS_WITHIN => return None,
        PhaseState::Working | PhaseState::Retrying => {
            format!("it is not done: in {}", status.phase)
        }
    };
    let finding = Finding::new(Part::Agent(node.name.clone()), with_reason(&what, &words));
    Some(finding.lasting(Some(seconds)))
}
