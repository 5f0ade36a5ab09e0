use super::*;

#[test]
fn each_node_has_its_line() {
    let seen = |node: &str, phase: &str| ObservedPhase {
        node: node.into(),
        phase: phase.into(),
        begin: 1.0,
        took: 2.0,
    };
    let text = table_by_node(&[seen("a", "boot"), seen("a", "join"), seen("b", "boot")]);
    assert_eq!(
        text,
        "a         boot 1.0 (2.0)  join 1.0 (2.0)\nb         boot 1.0 (2.0)\n"
    );
}
