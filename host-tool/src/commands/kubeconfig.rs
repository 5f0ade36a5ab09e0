//! `kubeconfig CLUSTER`: the administrator's, to standard output.

use anyhow::Result;
use ha_host_base::files;

use crate::cli::Kubeconfig;
use crate::pki::kubeconfig::{Server, is_current};
use crate::source;
use crate::state::StateRoot;

/// Renews it first if it is about to end.
pub fn run(args: &Kubeconfig, root: &StateRoot) -> Result<()> {
    let dir = source::find_cluster(root, &args.cluster)?;
    let cluster = dir.cluster()?;
    let pki = dir.keys()?;
    let provider = ha_providers::provider_of(&cluster, dir.path())?;
    let server = Server::of(&cluster, &*provider);
    let current = files::read(&dir.kubeconfig())?;
    let current = current.filter(|text| is_current(text, &server, &pki));
    if let Some(text) = current {
        print!("{text}");
        return Ok(());
    }
    let path = dir
        .lock_known()?
        .ensure_kubeconfig(&cluster, &pki, &server)?;
    print!("{}", files::read(&path)?.unwrap_or_default());
    Ok(())
}
