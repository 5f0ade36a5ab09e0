//! `ha-agent render`: the configuration files that the phases of this node write, for a look. Changes nothing on
//! the node.

use std::path::Path;

use anyhow::Result;
use ha_wire::node::NodeFile;

use super::{Exit, print_out};
use crate::context::Context;
use crate::phases::{self, ConfigFile};
use crate::plan::Plan;
use crate::sys::files::Files;

/// Prints the files one after the other, or writes them below `out`.
pub fn print_config_files(node: NodeFile, files: Files, out: Option<&Path>) -> Result<Exit> {
    let all = config_files(&super::run::real_context(node, files))?;
    match out {
        Some(dir) => {
            let target = Files::new(dir);
            for ConfigFile { name, text } in all {
                target.write(&name, 0o600, text.as_bytes())?;
                print_out(&format!("{}\n", target.path(&name).display()))?;
            }
        }
        None => {
            for ConfigFile { name, text } in all {
                print_out(&format!("==> {name} <==\n{text}\n"))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// What each phase of this node's plan writes.
fn config_files(cx: &Context) -> Result<Vec<ConfigFile>> {
    let plan = Plan::of(&cx.node);
    let phases = plan
        .steps
        .iter()
        .chain(&plan.detour)
        .chain(&plan.background);
    let files = phases.map(|phase| phases::config_files(*phase, cx));
    Ok(files.collect::<Result<Vec<_>>>()?.concat())
}
