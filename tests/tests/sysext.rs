//! The agent's system extension as `make sysext` made it.

use std::process::Command;
use std::time::Duration;

use ha_tests::lab::{Lab, workspace};
use ha_tests::plan::Kind;
use ha_tests::run::{Done, run};

#[test]
fn the_image_is_as_the_node_and_the_bakery_expect() {
    let lab = Lab::find(Kind::Nspawn).expect("the lab");
    let mut command = Command::new(workspace().join("sysext/lint.sh"));
    command.arg(lab.sysext("ha-agent"));
    run(command, Duration::from_secs(120))
        .and_then(Done::ok)
        .expect("sysext/lint.sh");
}

/// The packing, twice from the same program; two whole builds are for `sysext/lint.sh --reproducible` without AGENT_BIN.
#[test]
fn two_packings_are_byte_for_byte_the_same() {
    let lab = Lab::find(Kind::Nspawn).expect("the lab");
    let tree = tempfile::tempdir().expect("a temporary directory");
    let mut unsquashfs = Command::new("unsquashfs");
    unsquashfs
        .args(["-quiet", "-no-progress", "-force", "-dest"])
        .arg(tree.path())
        .arg(lab.sysext("ha-agent"));
    run(unsquashfs, Duration::from_secs(60))
        .and_then(Done::ok)
        .expect("unsquashfs");
    let mut command = Command::new(workspace().join("sysext/lint.sh"));
    command
        .arg("--reproducible")
        .env("AGENT_BIN", tree.path().join("usr/bin/ha-agent"));
    run(command, Duration::from_secs(120))
        .and_then(Done::ok)
        .expect("sysext/lint.sh --reproducible");
}
