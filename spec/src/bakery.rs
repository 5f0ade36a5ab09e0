//! The Flatcar sysext bakery's artefacts that a node is made of when the cluster file names none.

use std::collections::BTreeMap;

use crate::cluster::{Cni, Cri, Kubernetes, Sysext};

/// The newest keepalived that was tried with this agent's configuration.
pub const KEEPALIVED: &str = "v2.3.1";
/// The newest haproxy of the branch that was tried with this agent's configuration.
pub const HAPROXY: &str = "v3.0.0";
/// The cilium CLI whose embedded charts hold the default chart.
pub const CILIUM_CLI: &str = "v0.18.6";
/// The sysext of this product.
pub const AGENT: &str = "ha-agent";

/// Every sysext that this Kubernetes needs, the agent's own among them.
pub fn defaults(kubernetes: &Kubernetes) -> BTreeMap<String, Sysext> {
    let bakery = |version: &str| Sysext::Bakery {
        version: version.to_owned(),
    };
    let minor = || bakery(&format!("v{}", kubernetes.version));
    let mut sysexts = BTreeMap::from([
        (AGENT.to_owned(), Sysext::Bundled),
        ("kubernetes".to_owned(), minor()),
        ("keepalived".to_owned(), bakery(KEEPALIVED)),
        ("haproxy".to_owned(), bakery(HAPROXY)),
    ]);
    if kubernetes.cri == Cri::Crio {
        sysexts.insert("crio".to_owned(), minor());
    }
    if matches!(kubernetes.cni, Cni::Cilium { .. }) {
        sysexts.insert("cilium".to_owned(), bakery(CILIUM_CLI));
    }
    sysexts
}
