//! An address outside of the nodes' network. The operator's machine is the nodes' router, so they reach it there.

use std::time::Duration;

use anyhow::Result;

use crate::operator::Operator;
use crate::process::run_to_end;
use crate::story::print_uncaptured;

/// `ip` answers at once.
const SHORT: Duration = Duration::from_secs(20);

/// Of the operator's machine for as long as this lives.
#[derive(Debug)]
pub struct OutsideAddress<'a> {
    operator: &'a Operator,
    address: &'static str,
}

impl<'a> OutsideAddress<'a> {
    /// Gives the operator's machine this address.
    pub fn new(operator: &'a Operator, address: &'static str) -> Result<Self> {
        let held = Self { operator, address };
        held.ip("replace")?;
        Ok(held)
    }

    fn ip(&self, verb: &str) -> Result<()> {
        let mut ip = self.operator.command("ip");
        ip.args(["address", verb, self.address, "dev", "lo"]);
        run_to_end(ip, SHORT)?.ok().map(drop)
    }
}

impl Drop for OutsideAddress<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.ip("del") {
            print_uncaptured(&format!("{} stays: {error:#}", self.address));
        }
    }
}
