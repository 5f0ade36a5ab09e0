use super::*;

#[test]
fn a_node_says_why_it_is_not_ready() {
    let node: Node = serde_json::from_str(
        r#"{"metadata":{"name":"n"},"status":{"conditions":[{"type":"MemoryPressure","status":"False"},
            {"type":"Ready","status":"False","message":"cni plugin not initialized"}]}}"#,
    )
    .unwrap();
    assert!(!node.is_ready());
    assert_eq!(node.why_not_ready(), "cni plugin not initialized");
    assert_eq!(
        Node::default().why_not_ready(),
        "the kubelet has not reported yet"
    );
}
