use super::*;
use crate::render::judges::haproxy_takes;
use crate::render::testing::{golden, nodes};

#[test]
fn golden_files() {
    for (name, node) in nodes() {
        golden(
            &format!("{name}.haproxy.cfg"),
            &config(&node, &node.control_planes),
        );
    }
}

#[test]
fn the_servers_are_read_back() {
    for (name, node) in nodes() {
        assert_eq!(
            servers(&config(&node, &node.control_planes)),
            node.control_planes,
            "{name}"
        );
    }
    assert!(
        servers("# the sysext's seed\nbackend web\n    server a 1.2.3.4:80 check\n").is_empty()
    );
}

#[test]
fn haproxy_takes_it() {
    let config = |node: NodeFile| config(&node, &node.control_planes);
    let texts = nodes()
        .into_iter()
        .map(|(name, n)| (name.into(), config(n)));
    haproxy_takes(&texts.collect());
}
