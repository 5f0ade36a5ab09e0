//! What a node says, where its host cannot write into our state directory (it is remote, or SELinux forbids it): the host
//! writes into volumes, and a thread brings home what is new in them.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Node;

use super::Libvirt;
use super::host::Host;
use super::names::VolumeRole;

/// Events are to be seen soon; each look is a connection to the host.
const PAUSE: Duration = Duration::from_secs(1);

/// Brings home a node's words for as long as this process lives, if its host keeps them: events and console are the files at the
/// host that they go to. Once for each node.
pub fn begin_relay(
    provider: &Libvirt,
    node: &Node,
    events: Option<&str>,
    console: Option<&str>,
) -> Result<()> {
    let host = provider.host(node)?;
    let local = |path: Option<&str>, ours: &Path| path.map(Path::new) == Some(ours);
    if local(events, &provider.events_file(node)) && local(console, &provider.console_file(node)) {
        return Ok(());
    }
    if !provider.relayed(&node.name) {
        return Ok(());
    }
    let relay = Relay {
        host: provider.host_at(host.virsh.uri(), host.pool.name()),
        node: node.name.clone(),
        files: [
            (VolumeRole::Events, provider.events_file(node)),
            (VolumeRole::Console, provider.console_file(node)),
        ],
    };
    std::thread::spawn(move || {
        loop {
            // The next look finds what this one could not; a host that is gone is told of by who asks for the node's state.
            let _ = relay.look();
            std::thread::sleep(PAUSE);
        }
    });
    Ok(())
}

#[derive(Debug)]
struct Relay {
    host: Host,
    node: String,
    files: [(VolumeRole, PathBuf); 2],
}

impl Relay {
    fn look(&self) -> Result<()> {
        for (part, file) in &self.files {
            let mut to = File::options()
                .append(true)
                .open(file)
                .with_context(|| format!("cannot open {}", file.display()))?;
            let have = to.metadata()?.len();
            let news = tempfile::NamedTempFile::new()?;
            self.host.pool.read(
                &self.host.names.volume(&self.node, *part),
                have,
                news.path(),
            )?;
            to.write_all(&std::fs::read(news.path())?)?;
        }
        Ok(())
    }
}
