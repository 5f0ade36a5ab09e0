//! The Flatcar sysext bakery's artefacts that a node is made of when the cluster file names none.
//!
//! Versions are written as the bakery does, and it writes them as each project's own tags are: `kubernetes-v1.36.3`, but
//! `haproxy-3.2.5`. It builds the newest release of each project every night (of Kubernetes: of each supported minor) and keeps
//! what it built.

use std::collections::BTreeMap;

use crate::cluster::{Kubernetes, Sysext};
use crate::minors::{default_minor, minor_of};
use ha_wire::settings::{Cni, Cri, LbMode};

/// The one keepalived that the bakery builds by name; of the branch that was tried with this agent's configuration.
pub const KEEPALIVED: &str = "v2.3.1";
/// The haproxy that the bakery's documents name: a branch with long support.
pub const HAPROXY: &str = "3.2.5";
/// The sysext of this product.
pub const AGENT: &str = "ha-agent";

/// Every sysext that this Kubernetes needs, the agent's own among them; the balancer's where it runs by units of its own.
pub fn default_sysexts(kubernetes: &Kubernetes, balancer: LbMode) -> BTreeMap<String, Sysext> {
    let bakery = |version: &str| Sysext::Bakery {
        version: version.to_owned(),
    };
    let minor = || bakery(&format!("v{}", kubernetes.version));
    let mut sysexts = BTreeMap::from([
        (AGENT.to_owned(), Sysext::Bundled),
        ("kubernetes".to_owned(), minor()),
    ]);
    if balancer.is_by_sysexts() {
        sysexts.insert("keepalived".to_owned(), bakery(KEEPALIVED));
        sysexts.insert("haproxy".to_owned(), bakery(HAPROXY));
    }
    if kubernetes.cri == Cri::Crio {
        sysexts.insert("crio".to_owned(), minor());
    }
    if matches!(kubernetes.cni, Cni::Cilium { .. }) {
        let known = minor_of(&kubernetes.version).unwrap_or_else(default_minor);
        let cli = known.cilium_cli;
        sysexts.insert("cilium".to_owned(), bakery(cli));
    }
    sysexts
}
