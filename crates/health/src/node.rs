//! What a node's own word shows to be wrong with it.

use ha_wire::status::Status;

use crate::finding::{Finding, Part};

/// What is wrong with a node by its own word, the worst first. `now_ms`: the reader's clock, milliseconds since 1970.
pub fn node_findings(status: &Status, _now_ms: u64) -> Vec<Finding> {
    let of_agent = || Part::Agent(status.node.clone());
    let faults = status.faults.iter();
    faults
        .map(|fault| Finding::new(of_agent(), fault))
        .collect()
}
