//! Small files for what the image brings and the cluster file chooses: time servers, Flatcar's optional extensions, the administrator's
//! kubeconfig for user `core`, CAs that are trusted besides the image's.

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, Node};
use ha_wire::phase::Role;

use super::build::ConfigBuilder;

/// systemd-timesyncd is Flatcar's own.
const TIME_SERVERS: &str = "/etc/systemd/timesyncd.conf.d/10-ha-host.conf";
/// One name a line; Flatcar's initrd fetches them and merges them with the others.
const EXTENSIONS: &str = "/etc/flatcar/enabled-sysext.conf";
/// Copies the kubeconfig; the agent and kubeadm make it anew when its certificate ends soon.
const COPY: &str = "ha-core-kubeconfig";
const COPY_SERVICE: &str = "[Unit]
Description=The administrator's kubeconfig for user core
ConditionPathExists=/etc/kubernetes/admin.conf

[Service]
Type=oneshot
ExecStart=/usr/bin/install -d -o core -g core -m 0700 /home/core/.kube
ExecStart=/usr/bin/install -o core -g core -m 0600 /etc/kubernetes/admin.conf /home/core/.kube/config

[Install]
WantedBy=multi-user.target
";
const COPY_PATH: &str = "[Unit]
Description=The administrator's kubeconfig changes

[Path]
PathChanged=/etc/kubernetes/admin.conf

[Install]
WantedBy=multi-user.target
";

/// Flatcar makes the bundle of all files in /etc/ssl/certs anew where it was before, and on a new node it is the image's, by a link.
const MAKE_BUNDLE: &str = "[Unit]\nConditionPathIsSymbolicLink=\n";

/// Before the container runtime starts: sysinit.target waits for the bundle.
pub fn write_trusted_cas(build: &mut ConfigBuilder, certificates: &[String]) -> Result<()> {
    for (index, pem) in certificates.iter().enumerate() {
        let path = format!("/etc/ssl/certs/ha-host-{index:02}.pem");
        build.file(&path, 0o644, pem)?;
    }
    if !certificates.is_empty() {
        let service = "update-ca-certificates.service";
        build.dropin(service, "10-ha-host.conf", MAKE_BUNDLE);
    }
    Ok(())
}

pub fn write_extras(build: &mut ConfigBuilder, cluster: &Cluster, node: &Node) -> Result<()> {
    let servers = &cluster.network.ntp;
    if !servers.is_empty() {
        let text = format!("[Time]\nNTP={}\n", servers.join(" "));
        build.file(TIME_SERVERS, 0o644, &text)?;
    }
    let mut extensions = [&cluster.flatcar_extensions[..], &node.flatcar_extensions].concat();
    extensions.sort();
    extensions.dedup();
    if !extensions.is_empty() {
        build.file(EXTENSIONS, 0o644, &(extensions.join("\n") + "\n"))?;
    }
    if cluster.core_kubeconfig && node.role == Role::ControlPlane {
        build.unit(&format!("{COPY}.service"), COPY_SERVICE);
        build.unit(&format!("{COPY}.path"), COPY_PATH);
    }
    Ok(())
}
