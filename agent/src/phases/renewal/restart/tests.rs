use super::*;

/// As kubeadm writes it, shortened.
const MANIFEST: &str = "apiVersion: v1
kind: Pod
metadata:
  labels:
    component: kube-scheduler
  name: kube-scheduler
spec:
  containers:
  - command:
    - kube-scheduler
    - --kubeconfig=/etc/kubernetes/scheduler.conf
    name: kube-scheduler
status: {}
";

#[test]
fn an_annotation_is_one_line_more_and_changed_in_place_later() {
    let first = with_annotation(MANIFEST, "1").unwrap();
    assert_eq!(
        first,
        MANIFEST.replace(
            "metadata:\n",
            "metadata:\n  annotations:\n    flatcar-ha/certificate-ends: \"1\"\n"
        )
    );
    assert_eq!(annotation_of(&first).unwrap().as_deref(), Some("1"));
    assert_eq!(annotation_of(MANIFEST).unwrap(), None);
    let second = with_annotation(&first, "2").unwrap();
    assert_eq!(second, first.replace("\"1\"", "\"2\""));
    assert_eq!(
        with_annotation(&second, "2").unwrap(),
        second,
        "nothing changes"
    );
}

#[test]
fn annotations_of_others_stay() {
    let others = MANIFEST.replace("  labels:", "  annotations:\n    a/b: c\n  labels:");
    let ours = with_annotation(&others, "1").unwrap();
    assert!(ours.contains("    a/b: c\n"), "{ours}");
    assert_eq!(annotation_of(&ours).unwrap().as_deref(), Some("1"));
}

#[test]
fn a_manifest_that_would_say_something_else_is_left_alone() {
    for other in [
        "{\"metadata\": {\"name\": \"x\"}}\n",
        "metadata: {name: x}\n",
        "metadata:\n    name: x\n    annotations:\n        a: b\n",
        "",
        "metadata:\n  annotations: {a: b}\n",
    ] {
        assert_eq!(with_annotation(other, "1"), None, "{other}");
    }
}
