use super::*;

#[test]
fn servers_that_fail_haproxys_check_are_told_with_its_word() {
    check_rows(&[
        (
            "anonymous requests are refused: life by servers of last resort",
            |view| {
                for name in PLANES {
                    let down = PLANES.map(|n| backend_for(n, "DOWN", "L7STS/401", 45));
                    view.status(name).backends = down.into();
                }
            },
            &[
                "haproxy: no apiserver passes the check of node1, node2 and node3 (L7STS/401): requests go to any of them, unchecked",
            ],
        ),
        (
            "the same for a moment",
            |view| {
                let down = PLANES.map(|n| backend_for(n, "DOWN", "L4CON", 30));
                view.status("node1").backends = down.into();
            },
            &[],
        ),
        (
            "one server",
            |view| {
                for name in ["node1", "node3"] {
                    view.status(name).backends[1] = backend_for("node2", "DOWN 1/2", "L4TOUT", 31);
                }
            },
            &["haproxy: node2's apiserver fails the check of node1 and node3 (L4TOUT)"],
        ),
        (
            "a free place in haproxy's table, and one that is taken out on purpose",
            |view| view.status("node1").backends[1] = backend_for("node2", "MAINT", "", 4000),
            &[],
        ),
        (
            "one that does not answer by itself either is said once",
            |view| {
                let refused = Err("Connection refused".to_owned());
                view.apiservers.insert("node2".to_owned(), refused);
                view.status("node1").backends[1] = backend_for("node2", "DOWN", "L4CON", 40);
            },
            &["haproxy: node2's apiserver: Connection refused; haproxy's check: L4CON"],
        ),
    ]);
}

#[test]
fn how_long_a_server_is_down_is_told() {
    let finding = only_finding(|v| {
        v.status("node1").backends[1] = backend_for("node2", "DOWN", "L4TOUT", 77)
    });
    assert_eq!(finding.seconds, Some(77));
    assert_eq!(finding.next, "ha-host logs demo node1 --unit haproxy");
}

#[test]
fn an_agent_that_does_not_say_for_how_long_is_believed() {
    let finding = only_finding(|view| {
        let server = &mut view.status("node1").backends[2];
        (server.state, server.check, server.seconds) = ("DOWN".into(), String::new(), None);
    });
    assert_eq!(finding.what, "node3's apiserver fails the check of node1");
}
