//! What no two machines may share: `ha-host doctor` compares it across the cluster.

use ha_wire::doctor::{LinkAddress, MachineIdentity};

use crate::sys::files::Files;
use crate::sys::net::link_addresses;

const MACHINE_ID: &str = "/etc/machine-id";
const PRODUCT_UUID: &str = "/sys/class/dmi/id/product_uuid";
/// systemd names the container manager there; a container shows its host's firmware.
const CONTAINER: &str = "/run/systemd/container";

/// `interface`: the node's own; others count if they are devices, since software makes the same ones everywhere (docker0).
pub fn machine_identity(files: &Files, interface: &str) -> MachineIdentity {
    let word = |name: &str| {
        files
            .read(name)
            .ok()
            .flatten()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let is_device = |name: &str| files.exists(&format!("/sys/class/net/{name}/device"));
    let product_uuid = match files.exists(CONTAINER) {
        true => String::new(),
        false => word(PRODUCT_UUID),
    };
    let links = link_addresses().into_iter();
    let counted = links.filter(|(name, _)| name == interface || is_device(name));
    MachineIdentity {
        machine_id: word(MACHINE_ID),
        product_uuid,
        interfaces: counted
            .map(|(name, mac)| LinkAddress { name, mac })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_container_s_firmware_is_its_host_s() {
        let machine = testing::fake_machine(testing::worker());
        machine.file(MACHINE_ID, "0123\n");
        machine.file(PRODUCT_UUID, "4c4c\n");
        let files = &machine.cx.sys.files;
        let seen = machine_identity(files, "lo");
        assert_eq!(
            (&seen.machine_id[..], &seen.product_uuid[..]),
            ("0123", "4c4c")
        );
        let names: Vec<&str> = seen.interfaces.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["lo"], "no device is known below this root");
        machine.file(CONTAINER, "systemd-nspawn\n");
        assert_eq!(machine_identity(files, "lo").product_uuid, "");
    }
}
