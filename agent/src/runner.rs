//! Who runs keepalived and haproxy: one seam, one file for each way. All three read the same rendered configuration.

use anyhow::{Context as _, Result, bail};
use ha_wire::node::NodeFile;
use ha_wire::settings::LbMode;

use crate::sys::{Boxed, Sys, Systemd};

mod native;
mod quadlet;
mod static_pod;

use native::Native;
use quadlet::Quadlet;
use static_pod::StaticPod;

/// One way to run both programs, each named by the unit that it would be (`haproxy.service`). Where nothing else is said they are
/// units of systemd's.
pub trait Runner: std::fmt::Debug {
    /// Who has their units.
    fn systemd(&self) -> &dyn Systemd;
    /// What it reads besides both programs' own configuration: names and texts.
    fn files(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    /// Those files have changed.
    fn reread(&self) -> Boxed<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    /// In systemd's words: `active`, `inactive`, `failed`, `not-found`, ...
    fn state<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<String>> {
        self.systemd().active_state(unit)
    }
    /// Ends when the state differs from `known`; gives the new one.
    fn changed<'a>(&'a self, unit: &'a str, known: &'a str) -> Boxed<'a, Result<String>> {
        self.systemd().changed(unit, known)
    }
    /// However often it has failed before.
    fn start_again<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            self.systemd().reset_failed(unit).await?;
            self.systemd().start(unit).await
        })
    }
    fn start<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        self.systemd().start(unit)
    }
    fn restart<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        self.systemd().restart(unit)
    }
    /// One that may answer no polite signal.
    fn restart_hung<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        self.restart(unit)
    }
    /// It reads its configuration anew; connections stay.
    fn reload<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        self.systemd().reload_or_restart(unit)
    }
    /// Why a unit may be `not-found`.
    fn missing(&self, unit: &str) -> String;
    /// The command that shows what a unit says.
    fn journal(&self, unit: &str) -> String {
        format!("journalctl -u {unit}")
    }
    /// The kubelet starts both, and starts them again: not before kubeadm has started it, and nobody else can.
    fn is_kubelet(&self) -> bool {
        false
    }
}

/// This node's way. An error: a node file that names no images, or nobody runs them here.
pub fn runner_for<'a>(node: &'a NodeFile, sys: &'a Sys) -> Result<Box<dyn Runner + 'a>> {
    let systemd = &*sys.systemd;
    let images = node.load_balancer.images.as_ref();
    let images = || images.context("the node file names no images for keepalived and haproxy");
    Ok(match node.load_balancer.mode {
        LbMode::Native | LbMode::Machines => Box::new(Native { systemd }),
        LbMode::Quadlet => {
            let images = images()?;
            Box::new(Quadlet {
                systemd,
                node,
                images,
            })
        }
        LbMode::StaticPod => {
            let images = images()?;
            Box::new(StaticPod { sys, images })
        }
        LbMode::External => bail!("keepalived and haproxy run on no node of this cluster"),
    })
}

/// `haproxy` of `haproxy.service`.
fn program_of_unit(unit: &str) -> &str {
    unit.trim_end_matches(".service")
}

#[cfg(test)]
mod tests;
