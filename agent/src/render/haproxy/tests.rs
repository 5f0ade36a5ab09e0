use super::*;
use crate::render::testing::{assert_golden, balancer_nodes};
use crate::render::validators::assert_haproxy_accepts;

#[test]
fn golden_files() {
    for (name, node) in balancer_nodes() {
        assert_golden(
            &format!("{name}.haproxy.cfg"),
            &render_config(&node, &node.control_planes),
        );
    }
}

#[test]
fn the_servers_are_read_back() {
    for (name, node) in balancer_nodes() {
        assert_eq!(
            parse_servers(&render_config(&node, &node.control_planes)),
            node.control_planes,
            "{name}"
        );
    }
    assert!(
        parse_servers("# the sysext's seed\nbackend web\n    server a 1.2.3.4:80 check\n")
            .is_empty()
    );
}

#[test]
fn haproxy_takes_it() {
    let render = |node: NodeFile| render_config(&node, &node.control_planes);
    let texts = balancer_nodes()
        .into_iter()
        .map(|(name, n)| (name.into(), render(n)));
    assert_haproxy_accepts(&texts.collect());
}
