//! What a node says, where its host cannot write into our state directory (it is remote, or SELinux forbids it): the host
//! writes into volumes, and a thread brings home what is new in them.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Node;
use ha_host_base::files;

use super::Libvirt;
use super::host::{Found, Host};
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
    let Some(relay) = Relay::new(provider, node, events, console)? else {
        return Ok(());
    };
    if !provider.claim_relay(&node.name) {
        return Ok(());
    }
    std::thread::spawn(move || {
        loop {
            // The next look finds what this one could not; a host that is gone is told of by who asks for the node's state.
            let _ = relay.look();
            std::thread::sleep(PAUSE);
        }
    });
    Ok(())
}

/// Our files are there before the daemon's: one that it makes itself is root's alone.
pub fn open_output_files(provider: &Libvirt, node: &Node) -> Result<()> {
    files::make_dir(&provider.dir(node))?;
    for path in [provider.events_file(node), provider.console_file(node)] {
        let open = || {
            OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&path)
        };
        let opened = open().or_else(|error| {
            if error.kind() != ErrorKind::PermissionDenied {
                return Err(error);
            }
            // virtlogd began a new file when ours was full. The node does not run: nobody writes into it.
            std::fs::remove_file(&path).and_then(|()| open())
        });
        opened.with_context(|| format!("cannot make {}", path.display()))?;
    }
    Ok(())
}

/// Brings home, once, what a node has said up to now. Nothing to do where its host writes into our files, or a relay does.
pub fn fetch_output(provider: &Libvirt, node: &Node) -> Result<()> {
    let Found::Ours(domain) = provider.host(node)?.find(&node.name)? else {
        return Ok(());
    };
    let (events, console) = (domain.events.as_deref(), domain.console.as_deref());
    let relay = Relay::new(provider, node, events, console)?;
    let Some(relay) = relay.filter(|_| !provider.is_relayed(&node.name)) else {
        return Ok(());
    };
    open_output_files(provider, node)?;
    relay.look()
}

#[derive(Debug)]
struct Relay {
    host: Host,
    node: String,
    files: [(VolumeRole, PathBuf); 2],
}

impl Relay {
    /// None: the host writes into our files.
    fn new(
        provider: &Libvirt,
        node: &Node,
        events: Option<&str>,
        console: Option<&str>,
    ) -> Result<Option<Self>> {
        let host = provider.host(node)?;
        let files = [provider.events_file(node), provider.console_file(node)];
        let theirs = [events, console].map(|path| path.map(Path::new));
        if theirs == [Some(&*files[0]), Some(&*files[1])] {
            return Ok(None);
        }
        let [events, console] = files;
        Ok(Some(Self {
            host: provider.host_at(host.virsh.uri(), host.pool.name()),
            node: node.name.clone(),
            files: [(VolumeRole::Events, events), (VolumeRole::Console, console)],
        }))
    }

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
