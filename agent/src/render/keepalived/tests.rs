use super::*;
use crate::render::testing::{assert_golden, balancer_nodes};
use crate::render::validators::assert_keepalived_accepts;

#[test]
fn golden_files() {
    for (name, node) in balancer_nodes() {
        assert_golden(&format!("{name}.keepalived.conf"), &render_config(&node));
    }
}

#[test]
fn no_node_is_told_to_be_its_own_peer() {
    for (name, node) in balancer_nodes() {
        let text = render_config(&node);
        let own = format!("        {}\n", node.address);
        assert!(!text.contains(&own), "{name}");
        assert_eq!(
            text.contains("unicast_peer"),
            node.control_planes.len() > 1,
            "{name}"
        );
    }
}

#[test]
fn keepalived_takes_it() {
    let texts = balancer_nodes()
        .into_iter()
        .map(|(name, node)| (name.into(), render_config(&node)));
    assert_keepalived_accepts(&texts.collect());
}
