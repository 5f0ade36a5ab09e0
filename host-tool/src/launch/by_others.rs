//! Machines that others make (`provider: none`): what a launch cannot see of them, a person has to say.

use anyhow::Result;
use ha_cluster_file::cluster::Cluster;
use ha_host_base::block_on;
use ha_host_base::exit::Stop;

use super::founding::{self, Founding};
use super::inspection::Inspection;

/// Machines may have been made from any config that was written with these keys. Unless the keys are new, somebody has to say
/// (`--found`) that none founded the cluster, and be right as far as can be seen.
pub fn judge_founding(
    see: &Inspection<'_>,
    seen: Founding,
    new_keys: bool,
    asked_for: bool,
) -> Result<Founding> {
    let external = see.cluster.kubernetes.external_etcd().is_some();
    let refuse = |why: &str| refuse_found(&see.cluster.name, why);
    match seen {
        Founding::Closed if asked_for && !external => return Err(refuse("was founded")),
        // Whose the external etcd is, the founder asks that itself.
        Founding::Closed if asked_for => {}
        Founding::Begun(node) if asked_for => {
            return Err(refuse(&format!("was begun: {node} holds data of etcd's")));
        }
        Founding::Nothing if new_keys => return Ok(seen),
        Founding::Pending if !asked_for => return Ok(seen),
        Founding::Closed | Founding::Begun(_) | Founding::OnlyItsEtcd | Founding::Lost => {
            return Ok(seen);
        }
        Founding::Nothing | Founding::Pending | Founding::Unknown(_) | Founding::UpToAPerson => {}
    }
    match block_on(see.api()?.find_answer())? {
        Ok(place) if asked_for => {
            founding::close_founding(see.store, see.cluster)?;
            Err(refuse(&format!("answers at {place}")))
        }
        Ok(_) => Ok(Founding::Closed),
        Err(_) if asked_for => Ok(Founding::Nothing),
        Err(_) => Ok(Founding::UpToAPerson),
    }
}

/// An error: somebody asked for a founding beside a cluster that is there; why it is.
pub fn refuse_found(name: &str, why: &str) -> anyhow::Error {
    Stop::bad_input(format!(
        "--found: {name} {why}: a second cluster is not founded beside it; leave --found out, and its machines join"
    ))
}

/// What a person should know of it; none: nothing.
pub fn founding_words(founding: &Founding, cluster: &Cluster, file: &str) -> Option<String> {
    let founder = &cluster.founder()?.name;
    (*founding == Founding::UpToAPerson).then(|| {
        format!(
            "no machine may found {name}: configs were given out with these keys before, no apiserver answers here, and \
             whether a cluster stands is not known. If none ever did: `ha-host launch {file} --found`, and boot {founder} \
             with its new config",
            name = cluster.name
        )
    })
}
