//! Files that were accepted once, perhaps by other rules than today's: understood as far as they can be, judged by none.

use std::path::Path;

use super::build;
use crate::cluster::Cluster;
use crate::diagnostic::Fault;
use crate::file::{ClusterFile, ProviderFile};

/// The cluster of a file that was accepted before; the faults of one that says too little for today's reader.
pub fn read_accepted_file(text: &str, base: &Path) -> Result<Cluster, Vec<Fault>> {
    let (file, faults) = ClusterFile::read(text);
    build::build_cluster(file, base).ok_or(faults)
}

/// The name that a file gives its cluster, whatever else is in it.
pub fn read_cluster_name(text: &str) -> Option<String> {
    ClusterFile::read(text).0.name.map(|name| name.value)
}

/// A stand-in for a cluster of whose file this `text` only the provider can be read: what a provider made carries the cluster's
/// name, so name and provider are enough to remove it. All else in it is made up.
pub fn removable_cluster(name: &str, text: &str) -> Option<Cluster> {
    let provider = match ClusterFile::read(text).0.provider?.value {
        ProviderFile::Libvirt(_) => "libvirt",
        ProviderFile::Qemu(_) => "qemu",
        ProviderFile::Nspawn(_) => "{nspawn: {image: /}}",
        ProviderFile::None => "none",
    };
    let least = format!(
        "name: \"{name}\"\nkubernetes: {{version: 1.0.0, cni: none}}\nendpoint: {{vip: 192.0.2.1}}\nnetwork: {{prefix: 24}}\nnodes: []\n\
         sysexts: none\nprovider: {provider}\n"
    );
    read_accepted_file(&least, Path::new("/")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "name: old\nkubernetes: {version: 1.32.9, cni: none}\nendpoint: {vip: 10.0.0.30}\nnetwork: {prefix: 24}\n\
        nodes:\n  - {name: node1, role: control-plane, address: 10.0.0.11}\nsysexts: none\nprovider: none\n";

    #[test]
    fn a_file_that_todays_rules_refuse_is_understood() {
        assert!(crate::check::check_cluster_file(OLD, Path::new("/")).is_err());
        let cluster = read_accepted_file(OLD, Path::new("/")).unwrap();
        assert_eq!(cluster.kubernetes.version, "1.32.9");
        let with_a_key_of_another_version = format!("{OLD}telemetry: on\n");
        let same = read_accepted_file(&with_a_key_of_another_version, Path::new("/"));
        assert_eq!(same.unwrap(), cluster);
        assert!(
            !read_accepted_file("name: old\n", Path::new("/"))
                .unwrap_err()
                .is_empty()
        );
    }

    #[test]
    fn a_name_is_read_whatever_else_is_wrong() {
        assert_eq!(
            read_cluster_name("name: a\nnodes: 3\n").as_deref(),
            Some("a")
        );
        assert_eq!(read_cluster_name("nodes: 3\n"), None);
        assert_eq!(read_cluster_name("name: [\n"), None);
    }

    #[test]
    fn name_and_provider_are_enough_to_remove() {
        for provider in ["libvirt", "qemu", "nspawn", "none"] {
            for text in [
                format!("provider: {provider}\n"),
                format!("provider: {{{provider}: {{x: 1}}}}\n"),
            ] {
                let cluster = removable_cluster("demo", &text).unwrap_or_else(|| panic!("{text}"));
                assert_eq!(
                    (cluster.name.as_str(), cluster.provider.name()),
                    ("demo", provider)
                );
            }
        }
        assert_eq!(removable_cluster("demo", "provider: vmware\n"), None);
    }
}
