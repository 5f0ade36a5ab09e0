use super::*;

#[test]
fn what_is_new_and_what_is_gone_are_both_faults() {
    let [none, one] =
        [vec![], vec!["mount /x".to_owned()]].map(|v| Snapshot(v.into_iter().collect()));
    assert!(none.nothing_since(&none).is_ok());
    assert!(format!("{}", one.nothing_since(&none).unwrap_err()).contains("mount /x"));
    assert!(format!("{}", none.nothing_since(&one).unwrap_err()).contains("gone"));
}

#[test]
fn what_an_earlier_run_of_the_same_cluster_left_may_go() {
    let [none, left] = [
        vec![],
        vec![
            "cgroup /sys/fs/cgroup/pids/ha-x".to_owned(),
            "process 7 sleep".to_owned(),
        ],
    ]
    .map(|v| Snapshot(v.into_iter().collect()));
    assert!(none.nothing_since(&left).is_ok());
    assert!(left.nothing_since(&none).is_err());
}

#[test]
fn a_link_is_its_name() {
    assert_eq!(stable_name("link", "2: v1@if3: <UP> mtu 1500"), "v1@if3");
    assert_eq!(stable_name("namespace", "n1 (id: 0)"), "n1");
}
