//! The agent's system extension as `make sysext` made it.

use std::process::Command;
use std::time::Duration;

use ha_tests::lab::{Lab, workspace_root};
use ha_tests::plan::MachineKind;
use ha_tests::process::{FinishedProcess, run_to_end};

#[test]
fn the_image_is_as_the_node_and_the_bakery_expect() {
    let lab = Lab::find(MachineKind::Nspawn).expect("the lab");
    let mut command = Command::new(workspace_root().join("sysext/lint.sh"));
    command.arg(lab.sysext("ha-agent"));
    run_to_end(command, Duration::from_secs(120))
        .and_then(FinishedProcess::ok)
        .expect("sysext/lint.sh");
}

/// The packing, twice from the same program: two whole builds take minutes (`make test-sysext`).
#[test]
fn two_packings_are_byte_for_byte_the_same() {
    let lab = Lab::find(MachineKind::Nspawn).expect("the lab");
    let tree = tempfile::tempdir().expect("a temporary directory");
    let mut unsquashfs = Command::new("unsquashfs");
    unsquashfs
        .args(["-quiet", "-no-progress", "-force", "-dest"])
        .arg(tree.path())
        .arg(lab.sysext("ha-agent"));
    run_to_end(unsquashfs, Duration::from_secs(60))
        .and_then(FinishedProcess::ok)
        .expect("unsquashfs");
    let mut command = Command::new(workspace_root().join("sysext/lint.sh"));
    command
        .arg("--reproducible")
        .env("AGENT_BIN", tree.path().join("usr/bin/ha-agent"));
    run_to_end(command, Duration::from_secs(120))
        .and_then(FinishedProcess::ok)
        .expect("sysext/lint.sh --reproducible");
}
