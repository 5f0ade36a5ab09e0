//! etcd's write-ahead log: whether anything was ever written to it. An etcd that ends between making its log and its first entry,
//! which names its members, finds a log without members at its next start and waits for a leader for ever (seen with 3.6 and
//! 3.7: it neither ends nor says so as an error; one that joins others hears from them, and goes on). Such a log holds nothing
//! that anybody was ever promised.

use std::io::Read as _;

use anyhow::Result;

use crate::sys::files::Files;

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
    Ok(has_only_first_records(&head))
}

/// Whether a segment has the records of its making, whole, and zeros after them.
fn has_only_first_records(head: &[u8]) -> bool {
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

#[cfg(test)]
mod tests;
