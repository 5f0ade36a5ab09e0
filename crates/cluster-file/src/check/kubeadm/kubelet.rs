//! Values of `kubeletConfig`: those that a kubelet ends with, and those that this product does not go well with.

use ipnet::IpNet;

use super::given::Given;
use super::shape::parse_go_duration;
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, POD_CIDR, Setting};
use crate::suggest::did_you_mean;

/// What a kubelet can measure and evict for.
const SIGNALS: [&str; 9] = [
    "allocatableMemory.available",
    "containerfs.available",
    "containerfs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
    "memory.available",
    "nodefs.available",
    "nodefs.inodesFree",
    "pid.available",
];
/// What can be reserved of a node.
const RESERVABLE: [&str; 4] = ["cpu", "ephemeral-storage", "memory", "pid"];
/// Network and broadcast address, and the bridge's own: what host-local and Cilium keep of a node's part.
const KEPT_ADDRESSES: u64 = 3;

/// What kubeadm names there.
const CLUSTER_CA: &str = "/etc/kubernetes/pki/ca.crt";

/// One look at all of the settings.
struct Kubelet<'f> {
    settings: &'f [Setting],
    file: &'f ClusterFile,
}

pub(super) fn check_kubelet_values(
    settings: &[Setting],
    file: &ClusterFile,
    faults: &mut Vec<Fault>,
) {
    let kubelet = Kubelet { settings, file };
    kubelet.check_max_pods(faults);
    kubelet.check_certificates(faults);
    kubelet.check_doors(faults);
    kubelet.check_eviction(faults);
    kubelet.check_grace(faults);
    kubelet.check_reserved(faults);
    kubelet.check_enforced(faults);
    kubelet.check_images(faults);
    kubelet.check_shutdown(faults);
    kubelet.check_start(faults);
}

impl<'f> Kubelet<'f> {
    /// The value at a dotted path.
    fn find(&self, path: &str) -> Option<Given<'f>> {
        let mut steps = path.split('.');
        let first = Given::find(self.settings, steps.next()?);
        steps.fold(first, |at, step| at?.get(step))
    }

    fn is(&self, path: &str, value: bool) -> Option<Given<'f>> {
        self.find(path).filter(|at| at.boolean() == Some(value))
    }

    fn check_max_pods(&self, faults: &mut Vec<Fault>) {
        let Some(at) = self.find("maxPods") else {
            return;
        };
        let Some(pods) = at.whole() else { return };
        if pods < 1 {
            let message = format!("{pods} leaves no place for the control plane's own pods");
            faults.push(at.error(message, "write e.g. 110, which is the default"));
            return;
        }
        let k8s = &self.file.kubernetes;
        let networks = || {
            k8s.pod_cidr
                .iter()
                .chain(&k8s.second_pod_cidr)
                .map(|at| at.value)
        };
        // Of two it is the IPv4 part that is too small.
        let smaller = networks().min_by_key(IpNet::max_prefix_len);
        let network = smaller.unwrap_or(POD_CIDR);
        let mask = super::super::cidrs::node_mask(self.file, network);
        let length = u32::from(network.max_prefix_len());
        let of_family = if networks().count() > 1 { "-ipv4" } else { "" };
        let part = 1_u64.checked_shl(length.saturating_sub(mask.into()));
        let room = part.map_or(u64::MAX, |size| size.saturating_sub(KEPT_ADDRESSES));
        let pods = u64::try_from(pods).unwrap_or(u64::MAX);
        if pods > room {
            // The largest part that has room for them.
            let bits = pods
                .saturating_add(KEPT_ADDRESSES)
                .checked_next_power_of_two();
            let longest = bits.map_or(0, |size| length.saturating_sub(size.trailing_zeros()));
            let message = format!(
                "{pods} is more than a node has addresses for: its part of podCIDR is a /{mask}, {room} pods; those beyond stay in ContainerCreating"
            );
            let help = format!(
                "write {room} or less, or `controllerManager: {{extraArgs: [{{name: node-cidr-mask-size{of_family}, value: \"{longest}\"}}]}}` in clusterConfiguration"
            );
            faults.push(at.error(message, help).warning());
        }
    }

    fn check_certificates(&self, faults: &mut Vec<Fault>) {
        if let Some(at) = self.is("serverTLSBootstrap", true) {
            let message = "has each kubelet ask for a serving certificate that nobody here approves: `kubectl logs`, `exec` and metrics fail with a TLS error until then";
            let help = "run an approver (e.g. kubelet-csr-approver), or `kubectl certificate approve` each of `kubectl get csr`, again after a year";
            faults.push(at.error(message, help).warning());
        }
        if let Some(at) = self.is("rotateCertificates", false) {
            let message = "lets each kubelet's certificate end after a year, and its node with it";
            faults.push(
                at.error(message, "leave it out: kubeadm writes true")
                    .warning(),
            );
        }
    }

    /// Who may ask the kubelet.
    fn check_doors(&self, faults: &mut Vec<Fault>) {
        let open = [
            self.is("authentication.anonymous.enabled", true),
            self.find("authorization.mode")
                .filter(|mode| mode.text() == Some("AlwaysAllow")),
        ];
        for at in open.into_iter().flatten() {
            let message = "lets whoever reaches port 10250 run commands in every pod";
            faults.push(at.error(message, "leave it out").warning());
        }
        if let Some(at) = self.is("authentication.webhook.enabled", false) {
            let message = "shuts out who asks with a token: metrics-server and Prometheus";
            faults.push(at.error(message, "leave it out").warning());
        }
        let everywhere = |at: &Given<'_>| matches!(at.text(), Some("0.0.0.0" | "::"));
        if let Some(at) = self.find("address").filter(|at| !everywhere(at)) {
            let message =
                "is one address for all nodes: the apiserver asks each kubelet at its own node's";
            faults.push(at.error(message, "leave it out: it listens on every address"));
        }
        if let Some(at) = self.find("healthzPort").filter(|at| at.whole() == Some(0)) {
            let message = "turns off what kubeadm asks whether the kubelet is well: no node joins";
            faults.push(at.error(message, "leave it out: it is 10248"));
        }
    }

    fn check_eviction(&self, faults: &mut Vec<Fault>) {
        for map in [
            "evictionHard",
            "evictionSoft",
            "evictionSoftGracePeriod",
            "evictionMinimumReclaim",
        ] {
            let entries = self.find(map).map_or_else(Vec::new, |at| at.entries());
            for (key, value) in entries {
                let place = key.place;
                if !SIGNALS.contains(&key.name.as_str()) {
                    let meant = did_you_mean(&key.name, SIGNALS);
                    let message =
                        format!("is not an eviction signal{meant}: the kubelet ends at once");
                    let fault =
                        value.error(message, format!("write one of {}", SIGNALS.join(", ")));
                    faults.push(Fault { place, ..fault });
                    continue;
                }
                let Some(text) = value.text() else { continue };
                let percent = text.strip_suffix('%').and_then(|p| p.parse::<f64>().ok());
                let length = map == "evictionSoftGracePeriod";
                if !length && percent.is_none() && !is_quantity(text) {
                    let message = format!("`{text}` is not understood: the kubelet ends at once");
                    faults.push(value.error(message, "write e.g. 500Mi or 10%"));
                }
            }
        }
    }

    /// Each soft threshold has a grace period.
    fn check_grace(&self, faults: &mut Vec<Fault>) {
        let grace = self.find("evictionSoftGracePeriod");
        for (key, value) in self
            .find("evictionSoft")
            .map_or_else(Vec::new, |at| at.entries())
        {
            if grace
                .as_ref()
                .and_then(|grace| grace.get(&key.name))
                .is_none()
            {
                let message = "has no grace period: the kubelet ends at once";
                let help = format!(
                    "write `evictionSoftGracePeriod: {{{}: 1m30s}}` too",
                    key.name
                );
                faults.push(value.error(message, help));
            }
        }
    }

    fn check_reserved(&self, faults: &mut Vec<Fault>) {
        for map in ["systemReserved", "kubeReserved"] {
            for (key, value) in self.find(map).map_or_else(Vec::new, |at| at.entries()) {
                if !RESERVABLE.contains(&key.name.as_str()) {
                    let meant = did_you_mean(&key.name, RESERVABLE);
                    let message = format!("cannot be reserved{meant}: the kubelet ends at once");
                    let fault =
                        value.error(message, format!("write one of {}", RESERVABLE.join(", ")));
                    faults.push(Fault {
                        place: key.place,
                        ..fault
                    });
                } else if let Some(text) = value.text().filter(|text| !is_quantity(text)) {
                    let message = format!("`{text}` is not a quantity: the kubelet ends at once");
                    faults.push(value.error(message, "write e.g. 500m for cpu, 1Gi for memory"));
                }
            }
        }
    }

    /// What the kubelet is told to hold others to, and to keep free.
    fn check_enforced(&self, faults: &mut Vec<Fault>) {
        let enforced = self
            .find("enforceNodeAllocatable")
            .map_or_else(Vec::new, |at| at.items());
        for (word, needed) in [
            ("system-reserved", "systemReservedCgroup"),
            ("kube-reserved", "kubeReservedCgroup"),
        ] {
            let named = enforced.iter().find(|item| item.text() == Some(word));
            if let Some(at) = named.filter(|_| self.find(needed).is_none()) {
                let message = format!("`{word}` needs {needed}: the kubelet ends at once");
                faults.push(at.error(
                    message,
                    format!("write `{needed}: /NAME.slice`, or leave it out"),
                ));
            }
        }
        let pinned = self
            .find("cpuManagerPolicy")
            .filter(|at| at.text() == Some("static"));
        let reserved = ["systemReserved", "kubeReserved"]
            .iter()
            .any(|map| self.find(map).is_some_and(|map| map.get("cpu").is_some()));
        if let Some(at) = pinned.filter(|_| !reserved && self.find("reservedSystemCPUs").is_none())
        {
            let message =
                "`static` needs processors that are kept for the system: the kubelet ends at once";
            faults.push(at.error(
                message,
                "write `reservedSystemCPUs: \"0\"` too, or `systemReserved: {cpu: 500m}`",
            ));
        }
    }

    fn check_images(&self, faults: &mut Vec<Fault>) {
        let percent = |key: &str| self.find(key).and_then(|at| Some((at.whole()?, at)));
        let high = percent("imageGCHighThresholdPercent");
        let low = percent("imageGCLowThresholdPercent");
        for (value, at) in high.iter().chain(&low) {
            if !(0..=100).contains(value) {
                faults.push(at.error(format!("{value} is not a percentage"), "write 0 to 100"));
            }
        }
        // The defaults, as documented.
        let (top, bottom) = (
            high.as_ref().map_or(85, |h| h.0),
            low.as_ref().map_or(80, |l| l.0),
        );
        if let Some((_, at)) = low.as_ref().or(high.as_ref()).filter(|_| bottom >= top) {
            let message = format!(
                "has images removed from {top} % down to {bottom} %: the kubelet ends at once"
            );
            faults.push(at.error(
                message,
                "imageGCLowThresholdPercent has to be the smaller one",
            ));
        }
        let parallel = percent("maxParallelImagePulls").filter(|(pulls, _)| *pulls > 1);
        if let Some((_, at)) = parallel.filter(|_| self.is("serializeImagePulls", false).is_none())
        {
            let message = "goes with `serializeImagePulls: false` only: the kubelet ends at once";
            faults.push(at.error(message, "write that too"));
        }
    }

    fn check_shutdown(&self, faults: &mut Vec<Fault>) {
        let whole = self.find("shutdownGracePeriod");
        let critical = self.find("shutdownGracePeriodCriticalPods");
        let by_priority = self.find("shutdownGracePeriodByPodPriority");
        if let (Some(at), Some(_)) = (&by_priority, whole.as_ref().or(critical.as_ref())) {
            let message = "goes with neither of the other two: the kubelet ends at once";
            faults.push(at.error(
                message,
                "keep this one, or shutdownGracePeriod and shutdownGracePeriodCriticalPods",
            ));
        }
        let value = |at: &Option<Given<'_>>| {
            at.as_ref()
                .map_or(Some(0.0), |at| parse_go_duration(at.text()?))
        };
        if let (Some(at), Some(all), Some(part)) = (&critical, value(&whole), value(&critical))
            && part > all
        {
            let message =
                "is a part of shutdownGracePeriod and cannot be longer: the kubelet ends at once";
            faults.push(at.error(message, "write a shorter time, e.g. a third of that"));
        }
    }

    /// What keeps a kubelet from starting on a machine like ours.
    fn check_start(&self, faults: &mut Vec<Fault>) {
        if let Some(at) = self.is("enableServer", false) {
            let message = "leaves no logs, no exec and no probes";
            faults.push(at.error(message, "leave it out"));
        }
        if let Some(at) = self.is("registerNode", false) {
            let message = "keeps the node out of the cluster: none ever joins";
            faults.push(at.error(message, "leave it out"));
        }
        let foreign = |at: &Given<'_>| at.text() != Some(CLUSTER_CA);
        let ca = self.find("authentication.x509.clientCAFile");
        if let Some(at) = ca.filter(foreign) {
            let message = "is not the cluster's CA, which the apiserver is known by";
            faults.push(at.error(message, "leave it out"));
        }
        if let Some(at) = self.is("runOnce", true) {
            let message = "is not supported by any kubelet any more: it ends at once";
            faults.push(at.error(message, "leave it out"));
        }
        if let Some(at) = self.is("protectKernelDefaults", true) {
            let message = "lets no kubelet start while the kernel's settings differ from those that it would make";
            let help = "set vm.overcommit_memory=1, vm.panic_on_oom=0, kernel.panic=10, kernel.panic_on_oops=1, kernel.keys.root_maxkeys=1000000 and kernel.keys.root_maxbytes=25000000 by a sysctl.d file of `ignition.merge`";
            faults.push(at.error(message, help).warning());
        }
        if let Some(at) = self.is("failSwapOn", true) {
            let message = "lets no kubelet start while the machine has swap on";
            faults.push(
                at.error(message, "leave it out unless your machines have none")
                    .warning(),
            );
        }
    }
}

/// Kubernetes' `resource.Quantity`, as people write it.
fn is_quantity(text: &str) -> bool {
    const SUFFIXES: [&str; 15] = [
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi",
    ];
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    number.parse::<f64>().is_ok() && SUFFIXES.contains(&suffix)
}

#[cfg(test)]
mod tests {
    use super::is_quantity;

    #[test]
    fn quantities_are_kubernetes() {
        for text in ["1", "0.5", "500m", "1Gi", "100k", "2.5G"] {
            assert!(is_quantity(text), "{text}");
        }
        for text in ["", "1GB", "1 Gi", "Gi", "1gi", "10%", "1GiB", "1.2.3"] {
            assert!(!is_quantity(text), "{text}");
        }
    }
}
