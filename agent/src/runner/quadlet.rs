//! podman, by units that its generator makes of `.container` files: for systemd they are units as any, and the sysext's drop-ins
//! for haproxy.service and keepalived.service are theirs, too.

use anyhow::Result;
use ha_wire::node::NodeFile;
use ha_wire::settings::BalancerImages;

use super::Runner;
use crate::render::quadlet;
use crate::sys::{Boxed, Systemd};

#[derive(Debug)]
pub struct Quadlet<'a> {
    pub systemd: &'a dyn Systemd,
    pub node: &'a NodeFile,
    pub images: &'a BalancerImages,
}

impl Runner for Quadlet<'_> {
    fn systemd(&self) -> &dyn Systemd {
        self.systemd
    }

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
        self.systemd.daemon_reload()
    }

    fn missing(&self, unit: &str) -> String {
        format!(
            "podman's generator made no {unit}: is podman's extension merged? systemd-sysext status; \
             /usr/libexec/podman/quadlet -dryrun"
        )
    }
}
