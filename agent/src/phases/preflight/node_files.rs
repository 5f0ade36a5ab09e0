//! The check of what kubeadm and the kubelet wrote on a node that is settled: kubeadm does not run there again by itself.

use super::check::{Check, Verdict, passing_check};
use crate::kube::{KUBELET_CONFIG, KUBELET_PEM};
use crate::phases::kubeadm_files::{INSTANCE_CONFIG, KUBELET_ARGUMENTS};

const KUBELET: &str = "run `kubeadm upgrade node phase kubelet-config` (on a worker with `--kubeconfig \
                       /etc/kubernetes/kubelet.conf`), then `systemctl restart kubelet`";
const LOST: &str = "what the kubelet was set up with is lost: make the machine anew";
const INSTANCE: &str = "`systemctl restart ha-agent`: it writes it anew";
const REST: &str = "remove them; `kubeadm init phase certs all`, `kubeconfig all` and `control-plane all` make them anew";

/// Only with something to say.
pub fn check_node_files(broken: &[String]) -> Option<Check> {
    let names = |all: &[&str]| broken.iter().any(|name| all.contains(&name.as_str()));
    let remedy = match () {
        () if broken.is_empty() => return None,
        () if names(&[KUBELET_PEM, KUBELET_ARGUMENTS]) => LOST,
        // The kubelet's configuration is made with it.
        () if names(&[INSTANCE_CONFIG]) => INSTANCE,
        () if names(&[KUBELET_CONFIG]) => KUBELET,
        () => REST,
    };
    let files = broken.join(" ");
    let check = passing_check("node files", &format!("ls -l {files}"));
    let reason = format!("empty or cut short, as after a power cut: {files}");
    Some(check.with(Verdict::Warn, reason, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_is_named_with_what_helps_most() {
        assert!(check_node_files(&[]).is_none());
        for (broken, remedy) in [
            (&["/etc/kubernetes/scheduler.conf"][..], REST),
            (&["/etc/kubernetes/scheduler.conf", KUBELET_CONFIG], KUBELET),
            (&[INSTANCE_CONFIG, KUBELET_CONFIG], INSTANCE),
            (&[KUBELET_PEM, KUBELET_CONFIG], LOST),
            (&[KUBELET_ARGUMENTS], LOST),
        ] {
            let broken: Vec<String> = broken.iter().map(|s| (*s).to_owned()).collect();
            let check = check_node_files(&broken).unwrap();
            assert_eq!(check.remedy, remedy);
            assert!(broken.iter().all(|name| check.reason.contains(name)));
        }
    }
}
