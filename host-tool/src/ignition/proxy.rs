//! `proxy`: Ignition's own, and a drop-in for each service that fetches. The kubelet and the static pods fetch nothing.

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, ProxyUrl, Updates};
use ha_wire::node::NodeFile;
use ha_wire::proxy::{self, CLUSTER_FILE, OWNER_VARIABLE};

use super::build::ConfigBuilder;
use super::updates;

/// Sorts before what people call theirs: a later drop-in of theirs wins.
const NAME: &str = "10-ha-host-proxy.conf";
/// Runs kubectl, the cilium CLI and hooks.
const AGENT: &str = "ha-agent.service";
/// Flatcar's own updates.
const UPDATE_ENGINE: &str = "update-engine.service";
const COMMENT: &str =
    "`proxy` of the cluster file. A drop-in whose name sorts after this one's wins.";

/// Writes it if the cluster file names a proxy. The URL may hold a password: the files are root's alone.
pub fn write_proxy(build: &mut ConfigBuilder, cluster: &Cluster, node: &NodeFile) -> Result<()> {
    let Some(proxy) = &cluster.proxy else {
        return Ok(());
    };
    let [http, https] = [&proxy.http, &proxy.https].map(|url| url.as_ref().map(ProxyUrl::expose));
    let exceptions = proxy::exceptions(proxy.except.iter().map(String::as_str), node);
    build.proxy(http, https, exceptions.split(','));
    let given = [("HTTP_PROXY", http), ("HTTPS_PROXY", https)];
    let given = given
        .into_iter()
        .filter_map(|(name, url)| Some((name, url?)));
    let mut variables: Vec<(&str, &str)> = given.collect();
    variables.push(("NO_PROXY", &exceptions));
    let mut write = |unit: &str, variables: &[(&str, &str)]| {
        let path = format!("/etc/systemd/system/{unit}.d/{NAME}");
        build.file(&path, 0o600, &proxy::drop_in(COMMENT, variables))
    };
    write(cluster.kubernetes.cri.unit(), &variables)?;
    write(UPDATE_ENGINE, &variables)?;
    if cluster.updates == Updates::Sysupdate {
        write(updates::SERVICE, &variables)?;
    }
    variables.push((OWNER_VARIABLE, CLUSTER_FILE));
    write(AGENT, &variables)
}
