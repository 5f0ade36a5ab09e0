//! Which ports a node needs.

use std::collections::BTreeMap;

use ha_wire::kubernetes::ETCD_CLIENT_PORT;
use ha_wire::node::NodeFile;

/// Ports that this node needs, and the program (as the kernel cuts its name) that may hold each.
pub fn wanted_ports(node: &NodeFile) -> BTreeMap<u16, &'static str> {
    let mut all = BTreeMap::new();
    if node.is_kubernetes_node() {
        all.insert(10250, "kubelet");
    }
    if node.is_control_plane() {
        all.insert(node.endpoint.apiserver_port, "kube-apiserver");
        if !node.has_external_etcd() {
            all.extend([(ETCD_CLIENT_PORT, "etcd"), (2380, "etcd")]);
        }
        all.extend([(10257, "kube-controller"), (10259, "kube-scheduler")]);
    }
    if node.runs_balancer() {
        all.insert(node.endpoint.port, "haproxy");
        let balancer = &node.load_balancer;
        all.extend(balancer.stats.iter().map(|stats| (stats.port, "haproxy")));
        // On a port that is the service's, too, both listen: haproxy on the VIP alone.
        let own = balancer.extra_ports.iter().filter(|e| e.port != e.target);
        all.extend(own.map(|extra| (extra.port, "haproxy")));
    }
    all
}
