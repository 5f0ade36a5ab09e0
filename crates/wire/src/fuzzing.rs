//! What the fuzz targets `node_file`, `status` and `event` and the replay of their corpora hold true of all bytes. Not for programs.

use serde::Serialize;

use crate::event::Event;
use crate::format::FormatError;
use crate::node::NodeFile;
use crate::status::Status;

/// A node file, or an error.
///
/// # Panics
/// If what was read is not read again from what is written.
pub fn node_file(bytes: &[u8]) {
    assert_round_trip(bytes, NodeFile::parse);
}

/// A status file, or an error.
///
/// # Panics
/// If what was read is not read again from what is written.
pub fn status(bytes: &[u8]) {
    assert_round_trip(bytes, Status::parse);
}

/// Lines of the stream of events, each one or an error.
///
/// # Panics
/// If what was read is not read again from what is written.
pub fn event(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        assert_round_trip(line, Event::parse);
    }
}

fn assert_round_trip<T: Serialize + PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    parse: impl Fn(&str) -> Result<T, FormatError>,
) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match parse(text) {
        Ok(read) => {
            let written =
                serde_json::to_string(&read).expect("everything here can be written as JSON");
            assert_eq!(parse(&written).expect("it was written by us"), read);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
