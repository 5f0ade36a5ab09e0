//! Which Ignition configs a launch writes.

use anyhow::Result;
use ha_host_base::clock::now_ms;
use ha_providers::Machine;

use super::founding::Founding;
use super::inspection::Inspection;
use crate::ignition::{ConfigRenderer, founder_permission};
use crate::inputs::OperatorFiles;
use crate::pki::Pki;

/// A node without a machine gets a config made now: its identity and the permission to found are fresh. A node with a
/// machine keeps what it was made from. Warnings come back.
pub fn write_missing(
    see: &Inspection<'_>,
    founding: &Founding,
    pki: &Pki,
    files: &OperatorFiles,
) -> Result<Vec<String>> {
    let may_be_founded = match founding {
        Founding::Closed | Founding::Begun(_) | Founding::UpToAPerson | Founding::Lost => false,
        // Where not everybody could be asked the founder asks them again before it founds anything.
        Founding::Pending | Founding::Nothing | Founding::Unknown(_) | Founding::OnlyItsEtcd => {
            true
        }
    };
    let renderer = ConfigRenderer {
        cluster: see.cluster,
        pki,
        files,
        founder: may_be_founded.then(|| founder_permission(now_ms())),
    };
    let mut warnings = Vec::new();
    for (node, machine) in see.nodes() {
        if machine != Machine::Absent && see.store.ignition(&node.name).exists() {
            continue;
        }
        let config = renderer.render(node)?;
        see.store.put_ignition(&node.name, config.text.expose())?;
        warnings.extend(config.warning);
    }
    Ok(warnings)
}
