//! From text to [`Cluster`]: every fault at once, each with its place, what is wrong and what would be right.

use std::collections::HashSet;
use std::path::Path;

use crate::cluster::Cluster;
use crate::diagnostic::{Fault, Place, Severity};
use crate::file::ClusterFile;
use crate::passwords::hide_passwords;
use crate::unseen::name_in_faults;

mod accepted;
mod build;
mod cidrs;
mod cilium;
mod dual_stack;
mod endpoint;
mod etcd;
mod families;
mod files;
mod hashed_url;
mod interfaces;
mod kubeadm;
mod kubernetes;
mod links;
mod load_balancer;
mod machines;
mod name_syntax;
mod named_files;
mod names;
mod network;
mod nodes;
mod ports;
mod provider;
mod proxy;
mod proxy_url;
mod registries;
mod render;
mod runners;
mod sysexts;

pub use crate::yaml::MAX_FILE_BYTES;
pub use accepted::{read_accepted_file, read_cluster_name, removable_cluster};
pub use named_files::{FileKind, NamedFile, named_files};
pub use render::render_faults;

/// Nobody mends more at once, and showing one takes time.
const MAX_FAULTS: usize = 1000;

/// One concern's look at the file.
type Rule = fn(&ClusterFile, &mut Vec<Fault>);

/// Every rule, one function a concern.
const RULES: [Rule; 21] = [
    names::check_version_and_names,
    endpoint::check_endpoint,
    network::check_network,
    dual_stack::check_dual_stack,
    cidrs::check_cidrs,
    interfaces::check_interfaces,
    links::check_links,
    nodes::check_nodes,
    ports::check_ports,
    load_balancer::check_load_balancer,
    runners::check_runners,
    kubernetes::check_kubernetes,
    etcd::check_etcd,
    cilium::check_cilium,
    kubeadm::check_kubeadm,
    provider::check_provider,
    provider::check_node_options,
    sysexts::check_sysexts,
    proxy::check_proxy,
    registries::check_registries,
    files::check_files,
];

/// A cluster with its warnings, or all that is wrong, ordered by place. `base` is the absolute directory that relative
/// paths in the file start from; nothing is read from disk.
pub fn check_cluster_file(text: &str, base: &Path) -> Result<(Cluster, Vec<Fault>), Vec<Fault>> {
    check_file_of_cluster(text, base, None)
}

/// The same of a file whose cluster may stand: `standing` is the Kubernetes version that it was accepted with. It may keep a
/// minor that new clusters cannot have any more.
pub fn check_file_of_cluster(
    text: &str,
    base: &Path,
    standing: Option<&str>,
) -> Result<(Cluster, Vec<Fault>), Vec<Fault>> {
    let (file, mut faults) = ClusterFile::read(text);
    for rule in RULES {
        rule(&file, &mut faults);
    }
    kubernetes::check_newness(&file, standing, &mut faults);
    name_in_faults(text, &mut faults);
    add_unseen(&file, &mut faults);
    hide_in_faults(&mut faults);
    shorten_list(&mut faults);
    if faults.iter().any(|f| f.severity == Severity::Error) {
        return Err(faults);
    }
    match build::build_cluster(file, base) {
        Some(cluster) => Ok((cluster, faults)),
        None => {
            let message = "this file passed every check and is still incomplete: a bug in ha-host";
            faults.push(Fault::error(
                Place::START,
                "",
                message,
                "please report it with the file",
            ));
            Err(faults)
        }
    }
}

/// Warnings of values with characters that nobody sees, where no fault names them already.
fn add_unseen(file: &ClusterFile, faults: &mut Vec<Fault>) {
    let named: HashSet<String> = faults.iter().map(|fault| fault.path.clone()).collect();
    let new = |warning: &&Fault| !named.contains(&warning.path);
    faults.extend(file.unseen.iter().filter(new).cloned());
}

/// A message may quote what was written.
fn hide_in_faults(faults: &mut [Fault]) {
    for fault in faults {
        fault.message = hide_passwords(&fault.message).into_owned();
        fault.help = hide_passwords(&fault.help).into_owned();
    }
}

/// Puts the faults in the order of their places. Of very many the first ones are kept, errors before warnings.
fn shorten_list(faults: &mut Vec<Fault>) {
    let place = |fault: &Fault| (fault.place.line, fault.place.column);
    faults.sort_by_key(place);
    let Some(more) = faults.len().checked_sub(MAX_FAULTS).filter(|n| *n > 0) else {
        return;
    };
    faults.sort_by_key(|fault| fault.severity == Severity::Warning);
    let error = faults[0].severity == Severity::Error;
    faults.truncate(MAX_FAULTS);
    faults.sort_by_key(place);
    let at = faults[MAX_FAULTS - 1].place;
    let last = Fault::error(
        at,
        "",
        format!("{more} more faults are not shown"),
        "mend these first",
    );
    faults.push(if error { last } else { last.warning() });
}
