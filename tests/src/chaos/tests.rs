use super::*;

#[test]
fn only_the_founder_meets_init() {
    let founder = failpoints_met_by(Role::ControlPlane, true);
    assert_eq!(founder[5..7], ["init:before", "init:done"]);
    assert!(
        failpoints_met_by(Role::Worker, false)
            .iter()
            .all(|w| !w.starts_with("init") && !w.starts_with("balancer"))
    );
}
