//! Provider `none`: the operator makes the machines; `ha-host render` writes their Ignition.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use ha_cluster_file::cluster::Node;

use super::{Finding, Machine, Made, Power, Provider};

/// A provider that makes no machine.
#[derive(Debug)]
pub struct RenderOnly;

/// What every order to a machine answers.
const REFUSAL: &str = "`provider: none` makes no machines: write the Ignition files with `ha-host render FILE --out DIR` \
                       and boot your machines with them";

impl Provider for RenderOnly {
    fn preflight(&self) -> Result<Vec<Finding>> {
        Ok(vec![Finding {
            ok: true,
            message: "render only".into(),
            remedy: String::new(),
        }])
    }

    fn prepare(&self) -> Result<()> {
        bail!(REFUSAL)
    }

    fn ensure(&self, _node: &Node, _ignition: &Path) -> Result<Made> {
        bail!(REFUSAL)
    }

    fn state(&self, _node: &Node) -> Result<Machine> {
        Ok(Machine::Absent)
    }

    fn power(&self, _node: &Node, _order: Power) -> Result<()> {
        bail!(REFUSAL)
    }

    fn remove(&self, _node: &Node) -> Result<()> {
        Ok(())
    }

    fn exec(&self, _node: &Node, _argv: &[&str]) -> Result<Command> {
        bail!(REFUSAL)
    }

    fn events(&self, _node: &Node) -> PathBuf {
        PathBuf::from("/nonexistent/events.jsonl")
    }

    fn console(&self, _node: &Node) -> PathBuf {
        PathBuf::from("/nonexistent/console.log")
    }

    fn destroy(&self) -> Result<()> {
        Ok(())
    }
}
