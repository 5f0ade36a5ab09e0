//! What a machine needs that boots from the network: iPXE's script, and the config of a live Flatcar that installs Flatcar to the
//! disk with the node's own config and boots from there. A control plane keeps its disk, so it never runs from the network.

use ha_cluster_file::cluster::Mac;
use serde_json::json;

/// Flatcar's kernel for network boots, as its release server calls it.
pub const KERNEL: &str = "flatcar_production_pxe.vmlinuz";
/// Flatcar's root for network boots, likewise.
pub const IMAGE: &str = "flatcar_production_pxe_image.cpio.gz";
/// flatcar-install's choice without `-d`: the smallest disk that is empty enough.
const ANY_DISK: &str = "-s";

/// What iPXE runs (`chain URL/boot.ipxe`).
pub fn boot_script(url: &str) -> String {
    format!(
        "#!ipxe\n\
         kernel {url}/pxe/{KERNEL} initrd={IMAGE} flatcar.first_boot=1 ignition.config.url={url}/installer?mac=${{net0/mac}}\n\
         initrd {url}/pxe/{IMAGE}\n\
         boot\n"
    )
}

/// Fetches the node's config once, installs, and restarts into it. A try that failed leaves the config where it is for the next.
pub fn installer(url: &str, mac: Mac, disk: Option<&str>) -> String {
    let disk = disk.map_or_else(|| ANY_DISK.to_owned(), |disk| format!("-d {disk}"));
    let unit = format!(
        "[Unit]\n\
         Description=Install Flatcar with this node's config\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         UMask=0077\n\
         ExecStart=/bin/sh -c 'test -s /run/node.ign || curl --fail --silent --show-error --retry 10 --output /run/node.ign \"{url}/config?mac={mac}\"'\n\
         ExecStart=/usr/bin/flatcar-install {disk} -i /run/node.ign\n\
         ExecStart=/usr/bin/systemctl --no-block reboot\n\
         Restart=on-failure\n\
         RestartSec=10\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    );
    json!({
        "ignition": {"version": "3.3.0"},
        "systemd": {"units": [{"name": "install-flatcar.service", "enabled": true, "contents": unit}]},
    })
    .to_string()
}
