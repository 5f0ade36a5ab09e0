//! The cables of QEMU's machines, by its own monitor: pulled and put back, which the guest sees at once, and listened to.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// QEMU answers at once unless it is starved.
const PATIENCE: Duration = Duration::from_secs(30);
/// The object that copies a cable's frames into a file.
const EAR: &str = "ear";
/// libpcap's file format: what stands before all frames, and before each, where the third number is its length.
const FILE_HEAD: usize = 24;
const FRAME_HEAD: usize = 16;

/// Both interfaces of each machine are on one segment, as on a switch. The provider gives the first and the second one each.
pub fn join_segments(cluster: &Cluster) -> Result<()> {
    let mut gateway = Monitor::open(&machines_dir(cluster).join("_gateway"))?;
    let port = |id: &str, hub: u8| json!({"type": "hubport", "id": id, "hubid": hub});
    gateway.execute("netdev_add", port("joint-0", 0))?;
    let mut other = port("joint-1", 1);
    other["netdev"] = json!("joint-0");
    gateway.execute("netdev_add", other)
}

/// The cable of a node's interface number `nic` is in, or out.
pub fn set_cable(cluster: &Cluster, node: &str, nic: u8, is_in: bool) -> Result<()> {
    let mut monitor = Monitor::open(&machines_dir(cluster).join(node))?;
    let link = json!({"name": format!("net{nic}"), "up": is_in});
    monitor.execute("set_link", link)
}

/// The frames that pass a node's interface number `nic` while `act` runs.
pub fn capture_frames(
    cluster: &Cluster,
    node: &str,
    nic: u8,
    act: impl FnOnce() -> Result<()>,
) -> Result<Vec<Vec<u8>>> {
    let dir = machines_dir(cluster).join(node);
    let file = format!("net{nic}.pcap");
    let ear =
        json!({"qom-type": "filter-dump", "id": EAR, "netdev": format!("net{nic}"), "file": file});
    Monitor::open(&dir)?.execute("object-add", ear)?;
    act()?;
    Monitor::open(&dir)?.execute("object-del", json!({"id": EAR}))?;
    let dump = fs::read(dir.join(&file)).with_context(|| format!("read {file}"))?;
    Ok(frames_in_dump(&dump).map(<[u8]>::to_vec).collect())
}

/// The number of the VLAN that a frame is tagged with.
pub fn vlan_of(frame: &[u8]) -> Option<u16> {
    let &[0x81, 0, high, low] = frame.get(12..16)? else {
        return None;
    };
    Some(u16::from_be_bytes([high & 0xf, low]))
}

/// The frames in a file of libpcap's.
fn frames_in_dump(dump: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = dump.get(FILE_HEAD..).unwrap_or_default();
    std::iter::from_fn(move || {
        let head = rest.get(..FRAME_HEAD)?;
        let length = u32::from_ne_bytes(head[8..12].try_into().ok()?) as usize;
        let frame = rest.get(FRAME_HEAD..FRAME_HEAD + length)?;
        rest = &rest[FRAME_HEAD + length..];
        Some(frame)
    })
}

fn machines_dir(cluster: &Cluster) -> PathBuf {
    let state = cluster.operator().state_of(cluster.name());
    state.join("machines")
}

/// A conversation with one QEMU, which has one at a time.
struct Monitor(BufReader<UnixStream>);

impl Monitor {
    fn open(dir: &Path) -> Result<Self> {
        // A socket's name is limited to 107 bytes, a test's directory is not.
        let short = tempfile::tempdir()?;
        let link = short.path().join("qmp");
        symlink(dir.join("qmp"), &link)?;
        let stream = UnixStream::connect(&link)
            .with_context(|| format!("reach the QEMU of {}", dir.display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self(BufReader::new(stream));
        monitor.execute("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// One command; greeting and events are passed over.
    fn execute(&mut self, command: &str, arguments: Value) -> Result<()> {
        let line = json!({"execute": command, "arguments": arguments});
        writeln!(self.0.get_mut(), "{line}")?;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let answer: Value = serde_json::from_str(&line)
                .with_context(|| format!("QEMU answered {line:?} to {command}"))?;
            if let Some(words) = answer["error"]["desc"].as_str() {
                bail!("{command}: {words}");
            }
            if answer.get("return").is_some() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
