use super::*;
use crate::render::judges::keepalived_takes;
use crate::render::testing::{golden, nodes};

#[test]
fn golden_files() {
    for (name, node) in nodes() {
        golden(&format!("{name}.keepalived.conf"), &config(&node));
    }
}

#[test]
fn no_node_is_told_to_be_its_own_peer() {
    for (name, node) in nodes() {
        let text = config(&node);
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
    let texts = nodes()
        .into_iter()
        .map(|(name, node)| (name.into(), config(&node)));
    keepalived_takes(&texts.collect());
}
