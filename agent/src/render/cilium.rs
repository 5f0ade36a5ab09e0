//! Cilium's Helm values, as JSON (which is YAML).

use ha_wire::node::NodeFile;
use ha_wire::settings::KubeProxy;
use serde_json::{Map, Value, json};

use super::merge_settings;

/// Two operators stand by each other; a lone control plane has no place for the second.
const OPERATORS: usize = 2;

/// What `cilium install --values` gets: this cluster's needs, then the user's values on top.
pub fn render_values(node: &NodeFile, users: &Map<String, Value>) -> String {
    let mut values = json!({
        "kubeProxyReplacement": node.kubernetes.proxy == KubeProxy::None,
        "k8sServiceHost": node.endpoint.host(),
        "k8sServicePort": node.endpoint.port,
        "ipam": {"mode": "kubernetes"},
        "routingMode": "tunnel",
        "tunnelProtocol": "vxlan",
        "operator": {"replicas": node.control_planes.len().clamp(1, OPERATORS)},
        "hubble": {"enabled": false},
        "envoy": {"enabled": false},
        "image": {"pullPolicy": "IfNotPresent"},
    });
    if node.has_ipv6() {
        values["ipv4"] = json!({"enabled": node.addresses().any(|at| at.is_ipv4())});
        values["ipv6"] = json!({"enabled": true});
    }
    if node.address.is_ipv6() {
        // The tunnel's own packets, too: by the address that nodes know each other by.
        values["underlayProtocol"] = json!("ipv6");
    }
    merge_settings(&mut values, &Value::Object(users.clone()));
    format!("{values:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{assert_golden, of_both, of_ipv6};
    use crate::testing;

    /// Nobody but the reader judges them: the lab has no Cilium chart, and Helm takes any key.
    #[test]
    fn golden_files() {
        let mut with_proxy = testing::founder();
        with_proxy.kubernetes.proxy = KubeProxy::Iptables;
        with_proxy.control_planes.truncate(1);
        let users =
            json!({"hubble": {"enabled": true}, "ipam": {"mode": "cluster-pool"}, "envoy": null});
        assert_golden(
            "cilium/plain.yaml",
            &render_values(&testing::founder(), &Map::new()),
        );
        assert_golden(
            "cilium/with-proxy.yaml",
            &render_values(&with_proxy, &Map::new()),
        );
        assert_golden(
            "cilium/ipv6.yaml",
            &render_values(&of_ipv6(testing::founder()), &Map::new()),
        );
        assert_golden(
            "cilium/dual-stack.yaml",
            &render_values(&of_both(testing::founder()), &Map::new()),
        );
        assert_golden(
            "cilium/dual-stack-ipv6-first.yaml",
            &render_values(&of_both(of_ipv6(testing::founder())), &Map::new()),
        );
        assert_golden(
            "cilium/users-own.yaml",
            &render_values(&testing::founder(), users.as_object().unwrap()),
        );
    }
}
