//! podman, by units that its generator makes of `.container` files: for systemd they are units as any, and the sysext's drop-ins
//! for haproxy.service and keepalived.service are theirs, too.

use anyhow::Result;
use ha_wire::node::NodeFile;
use ha_wire::settings::BalancerImages;

use super::Runner;
use super::native::Native;
use crate::render::quadlet;
use crate::sys::Boxed;

#[derive(Debug)]
pub struct Quadlet<'a> {
    pub native: Native<'a>,
    pub node: &'a NodeFile,
    pub images: &'a BalancerImages,
}

impl Runner for Quadlet<'_> {
    fn files(&self) -> Vec<(&'static str, String)> {
        vec![
            (quadlet::HAPROXY, quadlet::haproxy(self.node, self.images)),
            (
                quadlet::KEEPALIVED,
                quadlet::keepalived(self.node, self.images),
            ),
        ]
    }

    fn reread(&self) -> Boxed<'_, Result<()>> {
        self.native.systemd.daemon_reload()
    }

    fn state<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<String>> {
        self.native.state(unit)
    }

    fn changed<'a>(&'a self, unit: &'a str, known: &'a str) -> Boxed<'a, Result<String>> {
        self.native.changed(unit, known)
    }

    fn start_again<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        self.native.start_again(unit)
    }

    fn start<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        self.native.start(unit)
    }

    fn restart<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        self.native.restart(unit)
    }

    fn reload<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        self.native.reload(unit)
    }

    fn missing(&self, unit: &str) -> String {
        format!(
            "podman's generator made no {unit}: is podman's extension merged? systemd-sysext status; \
             /usr/libexec/podman/quadlet -dryrun"
        )
    }
}
