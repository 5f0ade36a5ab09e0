//! etcd's write-ahead log: whether anything was ever written to it. An etcd that ends between making its log and its first entry,
//! which names its members, finds a log without members at its next start and waits for a leader for ever (seen with 3.6: it
//! neither ends nor says so as an error; one that joins others hears from them, and goes on). Such a log holds nothing that
//! anybody was ever promised.

use std::io::Read as _;
use std::time::Duration;

use anyhow::Result;
use ha_kube::ETCD_CLIENT_PORT;
use ha_wire::phase::Phase;
use tracing::warn;

use super::etcd_manifest::{data_directory, log_directory, read_manifest};
use crate::context::Context;
use crate::kube::pod_manifest;
use crate::sys::files::Files;
use crate::sys::listeners::find_listeners;

/// The first segment, which a log of one that never wrote is.
const FIRST: &str = "0000000000000000-0000000000000000.wal";
/// What etcd writes as it makes a log (etcd, server/storage/wal/wal.go): metadata, a checksum, an empty snapshot.
const AT_BIRTH: [u8; 3] = [1, 4, 5];
/// Records at birth take less than a third of it.
const HEAD_BYTES: u64 = 1024;
/// A record's length, little endian; its highest byte counts what it was padded by, with the sign bit set.
const FRAME: usize = 8;
/// A protobuf's first field, of the kind varint: the record's type.
const TYPE_FIELD: u8 = 0x08;
/// The kubelet ends a pod whose manifest is gone within its grace period of 30 s.
const END: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(500);

/// Whether this log was made and then never written to. What does not read as exactly that is not.
pub fn is_unwritten(files: &Files, log: &str) -> Result<bool> {
    let names = files.names(log)?;
    let mut segments = names.iter().filter(|name| name.ends_with(".wal"));
    if (segments.next().map(String::as_str), segments.next()) != (Some(FIRST), None) {
        return Ok(false);
    }
    let mut head = Vec::new();
    files
        .open(&format!("{log}/{FIRST}"))?
        .take(HEAD_BYTES)
        .read_to_end(&mut head)?;
    Ok(ends_at_birth(&head))
}

/// Whether a segment has the records of its making, whole, and zeros after them.
fn ends_at_birth(head: &[u8]) -> bool {
    let (mut rest, mut types) = (head, Vec::new());
    while let Some((frame, after)) = rest.split_first_chunk::<FRAME>() {
        if *frame == [0; FRAME] {
            types.sort_unstable();
            return types == AT_BIRTH && after.iter().all(|byte| *byte == 0);
        }
        let Some((kind, next)) = read_record(*frame, after) else {
            return false;
        };
        types.push(kind);
        rest = next;
    }
    false
}

/// A record's type, and what comes after it.
fn read_record(frame: [u8; FRAME], after: &[u8]) -> Option<(u8, &[u8])> {
    let [length @ .., padding] = frame;
    let mut wide = [0; FRAME];
    wide[..FRAME - 1].copy_from_slice(&length);
    let length = usize::try_from(u64::from_le_bytes(wide)).ok()?;
    let padding = usize::from(padding & 0x07);
    let record = after.get(..length)?;
    let next = after.get(length.checked_add(padding)?..)?;
    match record {
        [TYPE_FIELD, kind, ..] => Some((*kind, next)),
        _ => None,
    }
}

/// Before a cluster is founded: takes a log that was never written to away, with all that was made beside it, once no etcd
/// has it open. Its manifest goes first, or the kubelet would start it again; kubeadm writes it anew.
pub async fn remove_unwritten(cx: &Context) -> Result<()> {
    let manifest = read_manifest(cx)?;
    let log = log_directory(cx, &manifest);
    let files = &cx.sys.files;
    if !is_unwritten(files, &log)? {
        return Ok(());
    }
    warn!(
        "{log} has no entry: etcd ended before its first one, and would wait for ever; it begins anew"
    );
    files.remove_file(&pod_manifest("etcd"))?;
    if !etcd_has_ended(cx).await {
        warn!("an etcd runs on: its log stays until the next attempt");
        return Ok(());
    }
    // Who ran until now may have written after all.
    if is_unwritten(files, &log)? {
        files.remove_dir(&log)?;
        files.remove_dir(&format!("{}/member", data_directory(cx, &manifest)))?;
    }
    Ok(())
}

async fn etcd_has_ended(cx: &Context) -> bool {
    let begin = cx.sys.clock.monotonic();
    loop {
        if find_listeners(&cx.sys.files, &[ETCD_CLIENT_PORT])
            .holders
            .is_empty()
        {
            return true;
        }
        if cx.sys.clock.monotonic().saturating_sub(begin) >= END {
            return false;
        }
        let what = "an etcd that never wrote anything to end";
        cx.report.waiting(Phase::Init, what, "");
        cx.sys.clock.sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests;
