//! The agent's system extension as `make sysext` made it.

use std::process::Command;
use std::time::Duration;

use ha_tests::lab::{Lab, workspace};
use ha_tests::run::{Done, run};

#[test]
fn the_image_is_as_the_node_and_the_bakery_expect() {
    let lab = Lab::find().expect("the lab");
    let mut command = Command::new(workspace().join("sysext/lint.sh"));
    command.arg(lab.sysext("ha-agent"));
    run(command, Duration::from_secs(120))
        .and_then(Done::ok)
        .expect("sysext/lint.sh");
}
