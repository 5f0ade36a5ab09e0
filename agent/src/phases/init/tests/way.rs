//! A founder whose load balancer is elsewhere.

use ha_wire::settings::LbMode;

use super::super::way::wait_for_balancer;
use crate::kube::testing::run_local;
use crate::testing;

#[test]
fn a_founder_waits_for_a_load_balancer_that_has_machines() {
    run_local(async {
        let mut node = testing::founder();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        node.endpoint.vip = [127, 0, 0, 1].into();
        node.endpoint.port = listener.local_addr().unwrap().port();
        let at = node.endpoint.clone();
        ha_test_support::stop_listening(listener);
        node.balancers = testing::balancer_machine().balancers;
        let machine = testing::fake_machine(node.clone());
        wait_for_balancer(&machine.cx).await.unwrap();
        node.load_balancer.mode = LbMode::Machines;
        let machine = testing::fake_machine(node);
        let error = wait_for_balancer(&machine.cx).await.unwrap_err();
        assert!(
            error.to_string().contains("(lb1, lb2) for 5 min"),
            "{error}"
        );
        let _listener = std::net::TcpListener::bind((at.vip, at.port)).unwrap();
        wait_for_balancer(&machine.cx).await.unwrap();
    });
}
