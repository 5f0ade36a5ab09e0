use ha_test_support::real;

use super::*;
use crate::render::testing::{assert_golden, balancer_nodes, extra_port};
use crate::render::validators::assert_haproxy_accepts;

#[test]
fn golden_files() {
    for (name, node) in balancer_nodes() {
        assert_golden(
            &format!("{name}.haproxy.cfg"),
            &render_config(&node, &node.control_planes),
        );
    }
}

#[test]
fn the_servers_are_read_back() {
    for (name, node) in balancer_nodes() {
        assert_eq!(
            parse_servers(&render_config(&node, &node.control_planes)),
            node.control_planes,
            "{name}"
        );
    }
    assert!(
        parse_servers("# the sysext's seed\nbackend web\n    server a 1.2.3.4:80 check\n")
            .is_empty()
    );
}

#[test]
fn haproxy_takes_it() {
    let render = |node: NodeFile| render_config(&node, &node.control_planes);
    let texts = balancer_nodes()
        .into_iter()
        .map(|(name, n)| (name.into(), render(n)));
    assert_haproxy_accepts(&texts.collect());
}

/// What listens on the nodes' own addresses, and as most programs shares its port with nobody.
const SERVICE: &str = "global\n    noreuseport\ndefaults\n    mode http\n    timeout client 5s\nfrontend service\n    bind 10.77.0.11:8132,10.77.0.12:8132,10.77.0.13:8132\n\
                       \x20   http-request return status 200 content-type text/plain string here\n";

#[test]
fn a_service_may_have_the_vips_port_on_its_nodes_own_addresses() {
    let (Some(mut in_namespace), Some(_), Some(bash)) = (
        real::own_network(),
        real::require_program("ip", "iproute2"),
        real::require_program("bash", "bash"),
    ) else {
        return;
    };
    let Some(haproxy) = real::require_program("haproxy", "haproxy") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let mut node = crate::testing::control_plane();
    node.load_balancer.extra_ports = vec![extra_port("shared", 8132, 8132)];
    let text = render_config(&node, &node.control_planes)
        .replace(CA, &path("ca.crt"))
        .replace("/run/haproxy", dir.path().to_str().unwrap());
    std::fs::write(path("balancer.cfg"), text).unwrap();
    std::fs::write(path("ca.crt"), crate::testing::ca_pem()).unwrap();
    std::fs::write(path("service.cfg"), SERVICE).unwrap();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/render/haproxy/shared_port.sh"
    );
    in_namespace.arg(bash).arg(script).arg(haproxy);
    let out = in_namespace.current_dir(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(
        said.ends_with("here"),
        "{said}{}",
        String::from_utf8_lossy(&out.stderr)
    );
}
