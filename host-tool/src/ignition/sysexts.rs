//! System extensions: links where systemd-sysext looks, and how the images get behind them.

use ha_cluster_file::cluster::{Cluster, Node};
use ha_wire::devices::ASSETS_DEVICE;
use ha_wire::paths;
use ha_wire::settings::{Cri, LbMode};

use super::build::ConfigBuilder;
use crate::assets;
use crate::bakery::{Artefacts, SysextSource};

/// The mount of the assets disk; systemd wants the unit to be called as the place.
const MOUNT: &str = "run-ha\\x2dassets.mount";

/// What merges them.
const MERGE: &str = "systemd-sysext.service";
/// A merge that failed is tried again until it succeeds. What boot does with a merged extension's users, files, settings, modules and
/// wanted units has gone by then, and is made up for. Not in an extension: it must be there before the merge.
const MERGE_AGAIN: &str = "[Unit]
StartLimitIntervalSec=0

[Service]
Restart=on-failure
RestartSec=2s
ExecStartPost=-/bin/sh -c 'if systemctl --quiet is-active systemd-tmpfiles-setup.service; then systemd-sysusers; systemd-tmpfiles --create; systemctl --no-block restart systemd-modules-load.service systemd-sysctl.service; systemctl --no-block start sockets.target timers.target multi-user.target; fi'
";

/// Flatcar's own extensions of runtimes. Beside CRI-O they serve nobody, and kubeadm by hand asks which of two sockets is meant.
const OTHER_RUNTIMES: [&str; 2] = ["docker-flatcar", "containerd-flatcar"];

/// Those among the cluster's that a machine has. Where keepalived and haproxy have machines of their own, nobody else has them,
/// and nothing of Kubernetes is there.
pub fn of_node(cluster: &Cluster, node: &Node, sysexts: &Artefacts) -> Artefacts {
    let own_machines = cluster.load_balancer.mode == LbMode::Machines;
    let is_wanted = |name: &str| match name {
        "keepalived" | "haproxy" => !own_machines || cluster.runs_balancer(node),
        "kubernetes" | "crio" | "cilium" => node.role.is_kubernetes_node(),
        _ => true,
    };
    let wanted = |name: &str| is_wanted(name) && cluster.has_sysext(node, name);
    let all = sysexts.iter().filter(|(name, _)| wanted(name));
    all.map(|(name, sysext)| (name.clone(), sysext.clone()))
        .collect()
}

/// The bakery's layout: systemd-sysext wants NAME.raw, the link keeps the version readable.
pub fn write_sysexts(build: &mut ConfigBuilder, cluster: &Cluster, sysexts: &Artefacts) {
    let disk = assets::has_disk(cluster, sysexts);
    if disk {
        build.unit(MOUNT, &mount_unit());
    }
    if !sysexts.is_empty() {
        build.dropin(MERGE, "10-ha-host.conf", MERGE_AGAIN);
    }
    if cluster.kubernetes.cri == Cri::Crio {
        for extension in OTHER_RUNTIMES {
            build.link(&format!("/etc/extensions/{extension}.raw"), "/dev/null");
        }
    }
    for (name, sysext) in sysexts {
        let image = match &sysext.source {
            _ if disk => assets::path_on_node(&sysext.file),
            SysextSource::Url { url, sha256 } => {
                let image = download_path(name, &sysext.file);
                build.fetched(&image, 0o644, url, sha256);
                image
            }
            SysextSource::File(_) => download_path(name, &sysext.file),
        };
        build.link(&format!("/etc/extensions/{name}.raw"), &image);
    }
}

/// Where images are that a node has for itself.
pub fn download_path(name: &str, file: &str) -> String {
    format!("/opt/extensions/{name}/{file}")
}

/// Before systemd-sysext looks. `RequiredBy`: without its disk a node has no agent and no kubelet; after systemd's 90 seconds
/// for a device local-fs.target fails, and the console says which disk is missing and ends in emergency mode, instead of a node
/// that waits for nothing.
fn mount_unit() -> String {
    format!(
        "[Unit]\n\
         Description=Assets disk of the cluster (system extensions, container images)\n\
         DefaultDependencies=no\n\
         Conflicts=umount.target\n\
         Before=local-fs.target umount.target systemd-sysext.service ensure-sysext.service\n\
         \n\
         [Mount]\n\
         What={ASSETS_DEVICE}\n\
         Where={}\n\
         Type=ext4\n\
         Options=ro,nosuid,nodev,noexec\n\
         \n\
         [Install]\n\
         RequiredBy=local-fs.target\n",
        paths::ASSETS_DIR
    )
}
