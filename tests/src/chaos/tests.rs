use super::*;

#[test]
fn only_the_founder_meets_init() {
    let founder = boundaries(Role::ControlPlane, true);
    assert_eq!(founder[5..7], ["init:before", "init:done"]);
    assert!(
        boundaries(Role::Worker, false)
            .iter()
            .all(|w| !w.starts_with("init") && !w.starts_with("balancer"))
    );
}
