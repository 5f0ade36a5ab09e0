//! podman's quadlets: what its generator makes keepalived.service and haproxy.service of.
//!
//! The configuration lies in the containers where it lies on the node, whole directories of it: the agent replaces files by others.
//! keepalived's alone is elsewhere, because its images keep what it was built with beside it.

use ha_wire::node::NodeFile;
use ha_wire::paths::STATS_PASSWORD;
use ha_wire::settings::BalancerImages;

use super::static_pod::{KEEPALIVED_DIR, KEEPALIVED_IN_IMAGE};

pub const HAPROXY: &str = "/etc/containers/systemd/haproxy.container";
pub const KEEPALIVED: &str = "/etc/containers/systemd/keepalived.container";

/// By digest, so what is there is never asked for again; a pull over a thin line takes longer than systemd's own patience.
const UNIT: &str = "StartLimitIntervalSec=0";
const SERVICE: &str = "Restart=always
RestartSec=100ms
TimeoutStartSec=900";

/// What both have.
const CONTAINER: &str = "Pull=missing
Network=host
User=0
Group=0
ReadOnly=true
NoNewPrivileges=true
SecurityLabelDisable=true
DropCapability=all";

/// Its runtime directory, which the sysext's drop-in makes, outlives it: keepalived's container would keep the one that went.
/// haproxy's password comes from its unit's environment, which podman hands on by name.
pub fn haproxy(node: &NodeFile, images: &BalancerImages) -> String {
    let stats = node.load_balancer.stats.as_ref();
    let password = match stats.is_some_and(|stats| stats.user.is_some()) {
        true => format!("PodmanArgs=--env={STATS_PASSWORD}\n"),
        false => String::new(),
    };
    format!(
        "# Written by ha-agent for cluster {cluster}; changes are lost.
[Unit]
Description=haproxy of cluster {cluster}
{UNIT}

[Container]
Image={image}
ContainerName=haproxy
PodmanArgs=--entrypoint=haproxy
{password}Exec=-W -db -f /etc/haproxy/haproxy.cfg
{CONTAINER}
AddCapability=NET_BIND_SERVICE
Volume=/etc/haproxy:/etc/haproxy:ro
Volume=/run/haproxy:/run/haproxy

[Service]
{SERVICE}
RuntimeDirectoryPreserve=yes
ExecReload=/usr/bin/podman kill --signal=USR2 haproxy

[Install]
WantedBy=multi-user.target
",
        cluster = node.cluster,
        image = images.haproxy,
    )
}

/// SYS_NICE: real time. SYS_RESOURCE: its limit there, which a reload lowers and raises again (without it the kernel kills it right after).
/// IPC_LOCK: it is never swapped out. SETUID, SETGID: it runs the agent's probe as root of its own accord.
/// The health file's directory is writable: keepalived follows no file on a read-only mount, and would hold the VIP whatever the
/// agent says.
pub fn keepalived(node: &NodeFile, images: &BalancerImages) -> String {
    format!(
        "# Written by ha-agent for cluster {cluster}; changes are lost.
[Unit]
Description=keepalived of cluster {cluster}
{UNIT}

[Container]
Image={image}
ContainerName=keepalived
PodmanArgs=--entrypoint=keepalived
Exec=--dont-fork --log-console --use-file={KEEPALIVED_IN_IMAGE}/keepalived.conf
{CONTAINER}
AddCapability=NET_ADMIN NET_RAW SYS_NICE SYS_RESOURCE IPC_LOCK SETUID SETGID
Volume={KEEPALIVED_DIR}:{KEEPALIVED_IN_IMAGE}:ro
Volume=/usr/bin/ha-agent:/usr/bin/ha-agent:ro
Volume=/run/ha-agent:/run/ha-agent
Volume=/run/haproxy:/run/haproxy:ro

[Service]
{SERVICE}
ExecReload=/usr/bin/podman kill --signal=HUP keepalived

[Install]
WantedBy=multi-user.target
",
        cluster = node.cluster,
        image = images.keepalived,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{assert_golden, container_nodes};

    #[test]
    fn golden_files() {
        for (name, node) in container_nodes() {
            let images = node.load_balancer.images.as_ref().unwrap();
            let golden =
                |file: &str| format!("quadlet/{name}/{}", file.rsplit_once('/').unwrap().1);
            assert_golden(&golden(HAPROXY), &haproxy(&node, images));
            assert_golden(&golden(KEEPALIVED), &keepalived(&node, images));
        }
    }

    #[test]
    #[ignore = "podman comes with a part of the lab that make test leaves out: make test-options"]
    fn podmans_generator_takes_it() {
        crate::render::validators::assert_quadlet_accepts(&container_nodes());
    }
}
