//! Whether the nodes to come find loop devices for their sysexts. A node has those that its image makes nodes for in /dev, and
//! all nodes of the host share the kernel's: one that gets a device with a higher number boots without its sysexts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;

use super::super::Nspawn;
use super::{bad_finding, count_nodes, good_finding};
use crate::{Finding, Machine};

/// The kernel's number for loop devices.
const LOOP_MAJOR: &str = "7";
/// The kernel's block devices.
const BLOCK_DEVICES: &str = "/sys/block";

/// None: the nodes need no loop devices, or the image does not say how many it has. A disk that is an image needs one more.
pub fn check_loop_devices(provider: &Nspawn) -> Result<Option<Finding>> {
    let known = known_to_image(&provider.image.join("root/usr/lib/tmpfiles.d"));
    let unpacked = provider.unpack_reason().is_some();
    if (unpacked && !provider.disks_as_images) || known.is_empty() {
        return Ok(None);
    }
    let sysexts = if unpacked {
        0
    } else {
        provider.sysexts.len() as u64
    };
    let of_a_node = sysexts + u64::from(provider.disks_as_images);
    let nodes = count_nodes(provider, |state| state != Machine::Running);
    let needed = nodes * of_a_node;
    Ok(Some(evaluate_free_devices(
        &known,
        &loop_devices_of_kernel(Path::new(BLOCK_DEVICES))?,
        needed,
    )))
}

fn evaluate_free_devices(
    known: &BTreeSet<u32>,
    devices: &BTreeMap<u32, LoopDeviceUse>,
    needed: u64,
) -> Finding {
    let free = count_free(known, devices);
    if free >= needed {
        return good_finding(format!("{free} loop devices free"));
    }
    let beyond = match unused_beyond(known, devices) {
        Some(number) => {
            format!(" (loop{number} is unused, beyond them, and handed out before new ones)")
        }
        None => String::new(),
    };
    bad_finding(
        format!(
            "{free} of the {} loop devices that all nodes of this machine share are free{beyond}, the sysexts (and disks, where \
             those are images) of the nodes to come need {needed}",
            known.len()
        ),
        "set `sysexts: directory` in `provider: {nspawn: }`, or switch off nodes of another cluster (`ha-host power`)",
    )
}

/// Whether a loop device of the kernel has a file behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LoopDeviceUse {
    Bound,
    Unbound,
}

/// How many devices that the nodes know the kernel still hands out. It prefers devices that exist; new ones get the lowest
/// number that is missing.
fn count_free(known: &BTreeSet<u32>, devices: &BTreeMap<u32, LoopDeviceUse>) -> u64 {
    let new_ones = unused_beyond(known, devices).is_none();
    let is_free = |number: &&u32| match devices.get(*number) {
        Some(state) => *state == LoopDeviceUse::Unbound,
        None => new_ones,
    };
    known.iter().filter(is_free).count() as u64
}

/// An unbound device that the nodes do not know.
fn unused_beyond(known: &BTreeSet<u32>, devices: &BTreeMap<u32, LoopDeviceUse>) -> Option<u32> {
    let beyond = |(number, state): &(&u32, &LoopDeviceUse)| {
        **state == LoopDeviceUse::Unbound && !known.contains(number)
    };
    devices.iter().find(beyond).map(|(number, _)| *number)
}

/// The loop devices that an image's tmpfiles.d makes nodes for.
fn known_to_image(tmpfiles: &Path) -> BTreeSet<u32> {
    let entries = std::fs::read_dir(tmpfiles).into_iter().flatten().flatten();
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    texts
        .flat_map(|text| text.lines().filter_map(loop_number).collect::<Vec<_>>())
        .collect()
}

/// Of a line like `b! /dev/loop3 0660 root disk - 7:3`.
fn loop_number(line: &str) -> Option<u32> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let [kind, _path, _mode, _user, _group, _age, device] = columns[..] else {
        return None;
    };
    let (major, minor) = device.split_once(':')?;
    (kind.starts_with('b') && major == LOOP_MAJOR).then(|| minor.parse().ok())?
}

fn loop_devices_of_kernel(block_devices: &Path) -> Result<BTreeMap<u32, LoopDeviceUse>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(block_devices)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix("loop")?.parse().ok());
        let bound = entry.path().join("loop/backing_file").exists();
        found.extend(number.map(|number: u32| {
            (
                number,
                if bound {
                    LoopDeviceUse::Bound
                } else {
                    LoopDeviceUse::Unbound
                },
            )
        }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_says_which_devices_its_nodes_have() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(known_to_image(&dir.path().join("none")), BTreeSet::new());
        let text = "# for sysexts\nc! /dev/loop-control 0660 root disk - 10:237\nb! /dev/loop0 0660 root disk - 7:0\n\
                    b /dev/loop1 0660 root disk - 7:1\nd /run/x 0755 root root -\nb! /dev/sda 0660 root disk - 8:0\n";
        std::fs::write(dir.path().join("loop.conf"), text).unwrap();
        assert_eq!(known_to_image(dir.path()), BTreeSet::from([0, 1]));
    }

    #[test]
    fn a_device_with_a_file_behind_it_is_bound() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["loop0/loop", "loop7", "vda"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("loop0/loop/backing_file"), "/x.raw\n").unwrap();
        let found = loop_devices_of_kernel(dir.path()).unwrap();
        assert_eq!(
            found,
            BTreeMap::from([(0, LoopDeviceUse::Bound), (7, LoopDeviceUse::Unbound)])
        );
    }

    #[test]
    fn an_unused_device_beyond_the_nodes_ends_what_is_free() {
        let known = BTreeSet::from([0, 1, 2, 3]);
        let bound = BTreeMap::from([(0, LoopDeviceUse::Bound), (1, LoopDeviceUse::Unbound)]);
        assert_eq!(
            count_free(&known, &bound),
            3,
            "one is unbound, two are not made yet"
        );
        let mut beyond = bound.clone();
        beyond.insert(4, LoopDeviceUse::Bound);
        assert_eq!(count_free(&known, &beyond), 3);
        beyond.insert(4, LoopDeviceUse::Unbound);
        assert_eq!(
            count_free(&known, &beyond),
            1,
            "then the kernel hands out the fifth"
        );
    }

    #[test]
    fn too_few_are_said_with_a_remedy() {
        let known = BTreeSet::from([0, 1, 2, 3]);
        let devices = BTreeMap::from([(0, LoopDeviceUse::Bound)]);
        assert!(evaluate_free_devices(&known, &devices, 3).ok);
        let finding = evaluate_free_devices(&known, &devices, 4);
        assert!(!finding.ok, "{finding:?}");
    }
}
