//! `destroy CLUSTER`: removes everything that `launch` made, also after a half-made launch.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, ProviderOptions};
use ha_host_base::exit::Stop;
use ha_host_base::text::{count, home};

use crate::cli::Destroy;
use crate::source;
use crate::state::{ClusterLife, StateRoot, record_life};

/// Machines first, the state last: cut off anywhere, it can be run again.
pub fn run(args: &Destroy, root: &StateRoot) -> Result<()> {
    let dir = source::find_cluster(root, &args.cluster)?;
    let name = dir.record()?.map(|r| r.name).unwrap_or_default();
    if !args.yes && !is_confirmed(&name, dir.removable()?.as_ref())? {
        println!("nothing was removed");
        return Ok(());
    }
    let path = home(dir.path());
    let store = dir.lock()?;
    // Under the lock: a launch may have accepted another file meanwhile.
    let cluster = store.removable()?;
    record_life(&store, ClusterLife::Destroying)?;
    if let Some(cluster) = cluster.filter(|c| c.provider != ProviderOptions::None) {
        ha_providers::provider_of(&cluster, store.path())?.destroy()?;
    }
    store.remove()?;
    println!("{name} is gone: machines, disks, keys and {path}");
    Ok(())
}

fn is_confirmed(name: &str, cluster: Option<&Cluster>) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Stop::bad_input(format!(
            "destroy asks first, and nobody can answer here: ha-host destroy {name} --yes"
        )));
    }
    let nodes = cluster.map_or_else(String::new, |c| {
        format!(" with its {}", count(c.nodes.len(), "node"))
    });
    print!("Remove {name}{nodes}, their disks and the cluster's keys for good? Type the name: ");
    std::io::stdout().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == name)
}
