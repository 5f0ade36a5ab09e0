use std::time::Duration;

use super::*;
use crate::process::run_to_end;

#[test]
fn the_operators_machine_has_a_network_and_namespaces_of_its_own() {
    if !ha_test_support::real::is_root("makes namespaces") {
        return;
    }
    let (state, ha_host) = (PathBuf::from("/nonexistent"), PathBuf::from("true"));
    let operator = Operator {
        home: Home::Namespaces(hold_namespaces().unwrap()),
        state,
        ha_host,
    };
    let look = |script: &str| {
        let mut command = operator.command("sh");
        command.args(["-c", script]);
        run_to_end(command, Duration::from_secs(10))
            .unwrap()
            .ok()
            .unwrap()
            .stdout
    };
    assert_eq!(look("ip -o link | wc -l").trim(), "1");
    assert_eq!(look("ip netns add inside; ip netns list").trim(), "inside");
    assert!(!Path::new("/run/netns/inside").exists());
    assert!(
        look("ls /sys/fs/cgroup").lines().count() > 0,
        "nsenter keeps the cgroups in sight"
    );
    look("ip netns del inside");
}
