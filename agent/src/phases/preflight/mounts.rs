//! Whether mounts made in pods reach the machine: what bidirectional mounts (Cilium's BPF file system, CSI drivers) need.

use ha_wire::node::NodeFile;
use ha_wire::settings::Cni;

use super::check::{Check, Verdict, passing_check};

/// Mount points that are to be shared.
const SHARED: [&str; 2] = ["/", "/sys"];

/// Those of [`SHARED`] that are mounted and not shared, from /proc/self/mountinfo: of several mounts on one place the last counts.
pub fn unshared_mounts(mountinfo: &str) -> Vec<String> {
    let is_unshared = |place: &&str| {
        let of_place = |line: &&str| line.split(' ').nth(4) == Some(place);
        let last = mountinfo.lines().rfind(of_place);
        last.is_some_and(|line| !optional_fields(line).any(|field| field.starts_with("shared:")))
    };
    let places = SHARED.iter().copied().filter(|place| is_unshared(place));
    places.map(str::to_owned).collect()
}

/// What stands between the mount's options and the dash.
fn optional_fields(line: &str) -> impl Iterator<Item = &str> {
    let fields = line.split(' ').skip(6);
    fields.take_while(|field| *field != "-")
}

pub fn check_mounts(node: &NodeFile, unshared: &[String]) -> Check {
    let check = passing_check("mount propagation", "findmnt -o TARGET,PROPAGATION / /sys");
    if unshared.is_empty() {
        return check;
    }
    let places = unshared.join(" ");
    let reason = format!("{places} not shared: mounts that pods make do not reach the machine");
    let remedy = match unshared {
        [one] => format!("mount --make-rshared {one}"),
        _ => "mount --make-rshared /".into(),
    };
    // Cilium's agent does not start without; other pod networks do.
    let verdict = match node.cni {
        Cni::Cilium { .. } => Verdict::Fail,
        _ => Verdict::Warn,
    };
    check.with(verdict, reason, &remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const SHARED_SYS: &str = "25 30 0:23 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw\n\
        30 1 254:9 / / rw,relatime shared:1 - ext4 /dev/vda9 rw\n\
        41 25 0:30 / /sys/fs/bpf rw,nosuid - bpf bpf rw\n";

    #[test]
    fn mounts_that_are_not_shared_are_named() {
        assert_eq!(unshared_mounts(SHARED_SYS), [""; 0]);
        let private = SHARED_SYS.replace(" shared:7", "");
        assert_eq!(unshared_mounts(&private), ["/sys"]);
        let slave = SHARED_SYS.replace(" shared:1", " master:1");
        assert_eq!(unshared_mounts(&slave), ["/"]);
        let over = format!("{SHARED_SYS}50 25 0:23 / /sys rw - sysfs sysfs rw\n");
        assert_eq!(unshared_mounts(&over), ["/sys"], "the last one is seen");
        assert_eq!(unshared_mounts(""), [""; 0], "nothing is known");
    }

    #[test]
    fn cilium_needs_them_and_others_may_do_without() {
        let mut node = testing::worker();
        let private = ["/sys".to_owned()];
        assert_eq!(check_mounts(&node, &[]).verdict, Verdict::Pass);
        assert_eq!(check_mounts(&node, &private).verdict, Verdict::Warn);
        node.cni = Cni::Cilium {
            version: "1.18.1".into(),
            chart: None,
            values: serde_json::Map::new(),
        };
        let check = check_mounts(&node, &private);
        assert_eq!(check.verdict, Verdict::Fail);
        assert_eq!(check.remedy, "mount --make-rshared /sys");
    }
}
