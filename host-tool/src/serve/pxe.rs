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
pub fn ipxe_script(url: &str) -> String {
    format!(
        "#!ipxe\n\
         kernel {url}/pxe/{KERNEL} initrd={IMAGE} flatcar.first_boot=1 ignition.config.url={url}/installer?mac=${{net0/mac}}\n\
         initrd {url}/pxe/{IMAGE}\n\
         boot\n"
    )
}

/// Fetches the node's config once, installs, and restarts into it. A try that failed leaves the config where it is for the next.
pub fn installer_config(url: &str, mac: Mac, disk: Option<&str>) -> String {
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
         ExecStart=/bin/sh -c 'if ! test -s /run/node.ign; then curl --fail --silent --show-error --retry 10 --output /run/node.ign.part \"{url}/config?mac={mac}\" && mv /run/node.ign.part /run/node.ign; fi'\n\
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;

    /// The shell command of the installer's unit that fetches the config, with `dir` in the place of /run.
    fn fetch_script(dir: &Path) -> String {
        let config = installer_config("http://host", "52:54:00:00:00:01".parse().unwrap(), None);
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        let unit = config["systemd"]["units"][0]["contents"].as_str().unwrap();
        let begin = "ExecStart=/bin/sh -c '";
        let line = unit.lines().find_map(|line| line.strip_prefix(begin));
        let script = line.unwrap().strip_suffix('\'').unwrap();
        script.replace("/run", dir.to_str().unwrap())
    }

    #[test]
    fn a_config_whose_transfer_was_cut_is_never_installed() {
        let dir = tempfile::tempdir().unwrap();
        let (curl, config) = (dir.path().join("curl"), dir.path().join("node.ign"));
        let script = fetch_script(dir.path());
        let run = |answer: &str| {
            // Its last argument but one is where the body goes.
            let text = format!("#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\n{answer}\n");
            std::fs::write(&curl, text).unwrap();
            std::fs::set_permissions(&curl, PermissionsExt::from_mode(0o755)).unwrap();
            let path = format!("{}:{}", dir.path().display(), env!("PATH"));
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", &script]).env("PATH", path);
            shell.status().unwrap().success()
        };
        assert!(!run("printf half > $1; exit 18"));
        assert!(!config.exists());
        assert!(run("printf whole > $1"));
        assert_eq!(std::fs::read_to_string(&config).unwrap(), "whole");
        assert!(run("exit 22"), "what is there is not asked for again");
    }
}
