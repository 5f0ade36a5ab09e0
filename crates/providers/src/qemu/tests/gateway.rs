//! The gateway: forwards, ports that stay, its own second life.

use super::*;

#[test]
#[ignore = "needs HA_OPERATOR"]
fn a_gateway_comes_back() {
    operator_machine::run_in_operator_machine(false, || {
        let fixture = QemuFixture::new("gateway");
        let vip: SocketAddr = "10.77.0.30:6444".parse().unwrap();
        assert_eq!(fixture.provider.reach(vip), vip, "nothing is forwarded yet");
        let bad: Vec<Finding> = fixture
            .provider
            .preflight()
            .unwrap()
            .into_iter()
            .filter(|f| !f.ok)
            .collect();
        assert_eq!(bad, []);
        // Somebody has the port that people would expect.
        let other = TcpListener::bind("127.0.0.1:6444").unwrap();
        fixture.provider.prepare().unwrap();
        let there = fixture.provider.reach(vip);
        assert_eq!(there.to_string(), "127.0.0.1:16444");
        assert_eq!(
            fixture.second_provider().reach(vip),
            there,
            "another ha-host knows it"
        );
        TcpStream::connect(there).unwrap();
        drop(other);
        let first = fixture.gateway().unwrap();
        fixture.second_provider().prepare().unwrap();
        assert_eq!(
            fixture.gateway(),
            Some(first.clone()),
            "a second launch uses it"
        );
        plug_in_later_node(&fixture);
        kill_and_wait(&first);
        fixture.second_provider().prepare().unwrap();
        assert_eq!(
            fixture.second_provider().reach(vip),
            there,
            "kubeconfigs stay right"
        );
        refuse_taken_port(&fixture, there);
        fixture.provider.destroy().unwrap();
        assert!(fixture.gateway().is_none() && !fixture.provider.layout.machines.path().exists());
        fixture.provider.destroy().unwrap();
    });
}

/// A second launch with one more node plugs it into the gateway that runs.
fn plug_in_later_node(fixture: &QemuFixture) {
    let more = "- {name: two, role: worker, address: 10.77.0.12, interfaces: [{mac: \"52:54:00:00:00:02\"}]}\n";
    let text = fixture
        .text
        .replace("provider:", &format!("{more}provider:"));
    let before = fixture.gateway();
    for _ in 0..2 {
        qemu_provider(&text, &fixture.dir).prepare().unwrap();
    }
    assert_eq!(fixture.gateway(), before);
    let network = fixture.monitor("info network");
    for plug in ["cable-one.0", "port-two.0", "cable-two.1"] {
        assert!(network.contains(plug), "{network}");
    }
}

/// Somebody takes the port that a kubeconfig names while the gateway is gone.
fn refuse_taken_port(fixture: &QemuFixture, there: SocketAddr) {
    fixture.provider.gateway.stop().unwrap();
    let other = TcpListener::bind(there).unwrap();
    let error = format!("{:#}", fixture.second_provider().prepare().unwrap_err());
    assert!(
        error.contains("port 16444") && error.contains("taken by another program"),
        "{error}"
    );
    let finding = fixture
        .second_provider()
        .preflight()
        .unwrap()
        .into_iter()
        .find(|f| !f.ok)
        .unwrap();
    assert!(
        finding.message.contains("port 16444") && finding.remedy.contains("ss -ltnp"),
        "{finding:?}"
    );
    drop(other);
    fixture.second_provider().prepare().unwrap();
}
