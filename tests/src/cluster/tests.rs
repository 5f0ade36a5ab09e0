use anyhow::bail;

use super::*;

#[test]
fn a_node_that_cannot_be_asked_hides_no_second_holder() {
    let names = ["node1", "node2", "node3"].map(String::from);
    let holds = |name: &str| Ok(name == "node2");
    assert_eq!(holders_among(&names, holds).unwrap(), ["node2"]);
    let one_is_silent = |name: &str| match name {
        "node3" => bail!("no answer"),
        _ => holds(name),
    };
    let error = holders_among(&names, one_is_silent).unwrap_err();
    assert!(format!("{error:#}").contains("node3"), "{error:#}");
}
