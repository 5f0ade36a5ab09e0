//! What goes wrong: no network, a broken config, processes that are killed, one that is started twice.

use ha_host_base::command::run_within;

use super::*;

#[test]
#[ignore = "needs root and HA_IMAGE"]
fn faults() {
    run_alone(|fixture| {
        let (provider, node) = (&fixture.provider, fixture.node(0));
        let message = provider
            .ensure(node, &fixture.config(0))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("network") && message.contains("is gone"),
            "{message}"
        );
        assert_eq!(fixture.state(0), Machine::Absent);
        provider.prepare().unwrap();
        let broken = fixture.dir.path().join("broken.ign");
        std::fs::write(&broken, r#"{"ignition": {"version": "9.9.9"}}"#).unwrap();
        let message = provider.ensure(node, &broken).unwrap_err().to_string();
        assert!(
            message.starts_with("one: ") && message.contains("Ignition failed in stage"),
            "{message}"
        );
        assert_eq!(fixture.state(0), Machine::Absent);
        assert!(
            !provider.dir(node).join("ignition.work").exists(),
            "it may hold secrets"
        );
        assert_eq!(fixture.ensure(0), NEW, "a half-made disk is made anew");
        fixture.wait_up(0);
        a_second_keeper(fixture);
        obey_unwatched(fixture);
        // Somebody else cleans up half of it.
        Command::new("ip")
            .args(["netns", "del", &provider.layout.bridge_namespace()])
            .status()
            .unwrap();
        provider.destroy().unwrap();
        assert_eq!(fixture.traces(), Vec::<String>::new());
    });
}

/// A keeper beside another one gives up, and the node notices nothing.
fn a_second_keeper(fixture: &NspawnFixture) {
    let (provider, node) = (&fixture.provider, fixture.node(0));
    let dir = provider.dir(node);
    let keeper = || std::fs::read_to_string(dir.join(NodeDir::KEEPER_PID)).unwrap();
    let before = keeper();
    let mut second = Command::new(&provider.keeper);
    second.arg("nspawn-keeper").arg(&dir.0);
    let second = run_within(&mut second, "", Duration::from_secs(30)).unwrap();
    assert!(
        second.stdout.contains("another keeper is at work") && !second.status.success(),
        "{second:?}"
    );
    assert_eq!(keeper(), before);
    fixture.run(0, &["ping", "-c", "1", "-W", "2", "10.79.0.1"]);
}

/// Nodes whose keeper or nspawn was killed obey all the same.
fn obey_unwatched(fixture: &NspawnFixture) {
    let (provider, node) = (&fixture.provider, fixture.node(0));
    for victim in [NodeDir::KEEPER_PID, NodeDir::NSPAWN_PID] {
        kill_process_in(&provider.dir(node).join(victim));
        provider.power(node, Power::Off).unwrap();
        assert_eq!(fixture.state(0), Machine::Off);
        assert!(
            !fixture.traces().iter().any(|trace| trace.contains("one")),
            "{:?}",
            fixture.traces()
        );
        provider.power(node, Power::On).unwrap();
        fixture.wait_up(0);
    }
}

fn kill_process_in(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let pid = text.split(' ').next().unwrap().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let ident = crate::process::ProcessIdentity::alive(file);
    assert!(ident.is_none_or(|ident| ident.gone_within(Duration::from_secs(5))));
}
