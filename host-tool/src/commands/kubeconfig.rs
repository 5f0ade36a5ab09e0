//! `kubeconfig CLUSTER`: the administrator's, to standard output.

use std::net::ToSocketAddrs;

use anyhow::Result;
use ha_host_base::files;
use ha_wire::settings::Endpoint;

use crate::cli::KubeconfigArgs;
use crate::pki::kubeconfig::{Server, is_current};
use crate::progress::warning_line;
use crate::source;
use crate::state::StateRoot;

/// Renews it first if it is about to end.
pub fn run(args: &KubeconfigArgs, root: &StateRoot) -> Result<()> {
    let dir = source::find_cluster(root, &args.cluster)?;
    let cluster = dir.cluster()?;
    let pki = dir.keys()?;
    let provider = ha_providers::provider_of(&cluster, dir.path())?;
    let server = Server::of(&cluster, &*provider);
    let current = files::read_optional(&dir.kubeconfig())?;
    let current = current.filter(|text| is_current(text, &server, &pki));
    let text = match current {
        Some(text) => text,
        None => {
            let store = dir.lock_known()?;
            let path = store.ensure_kubeconfig(&cluster, &pki, &server)?;
            files::read_optional(&path)?.unwrap_or_default()
        }
    };
    print!("{text}");
    let endpoint = &cluster.endpoint;
    if provider.reach(endpoint.socket()) == endpoint.socket() {
        warn_of_unknown_name(endpoint);
    }
    Ok(())
}

/// kubectl asks this machine's name servers.
#[expect(
    clippy::disallowed_methods,
    reason = "ha-host is not a static program, and asks for the operator's kubectl"
)]
fn warn_of_unknown_name(endpoint: &Endpoint) {
    let Some(name) = &endpoint.name else {
        return;
    };
    if (name.as_str(), endpoint.port).to_socket_addrs().is_err() {
        let (address, url) = (endpoint.vip, ha_kube::url_of(endpoint.socket()));
        let message = format!(
            "this machine does not know {name}: give it a line `{address} {name}` in /etc/hosts, or call kubectl with --server {url}"
        );
        eprintln!("{}", warning_line(&message));
    }
}
