//! `loadBalancer`, valid.

use std::path::Path;

use ha_wire::settings::{BalancerImages, ExtraPort, LoadBalancer, Stats, Timeouts};

use super::{collect_all, values_of};
use crate::file::{ExtraPortFile, ImagesFile, LoadBalancerFile, StatsFile, TimeoutsFile};

pub(super) fn build_load_balancer(file: LoadBalancerFile, base: &Path) -> Option<LoadBalancer> {
    let stats = match file.stats {
        Some(stats) => Some(build_stats(stats, base)?),
        None => None,
    };
    Some(LoadBalancer {
        mode: file.mode?.value,
        stats,
        extra_ports: collect_all(file.extra_ports, build_extra_port)?,
        advert_interval_ms: file.advert_interval_ms?.value,
        timeouts: build_timeouts(file.timeouts)?,
        vrrp: file.vrrp?.value,
        router_id: file.router_id.and_then(|at| at.value.try_into().ok()),
        track: values_of(file.track),
        images: build_images(file.images),
    })
}

/// Both, or none.
fn build_images(file: ImagesFile) -> Option<BalancerImages> {
    Some(BalancerImages {
        keepalived: file.keepalived?.value,
        haproxy: file.haproxy?.value,
    })
}

fn build_stats(file: StatsFile, base: &Path) -> Option<Stats> {
    Some(Stats {
        address: file.address?.value,
        port: file.port?.value,
        user: file.user.map(|at| at.value),
        password_file: file.password_file.map(|at| base.join(at.value)),
    })
}

fn build_timeouts(file: TimeoutsFile) -> Option<Timeouts> {
    Some(Timeouts {
        client_ms: file.client?.value,
        server_ms: file.server?.value,
        tunnel_ms: file.tunnel?.value,
    })
}

fn build_extra_port(file: ExtraPortFile) -> Option<ExtraPort> {
    Some(ExtraPort {
        name: file.name?.value,
        port: file.port?.value,
        target: file.target?.value,
        check: file.check?.value,
        balance: file.balance?.value,
    })
}
