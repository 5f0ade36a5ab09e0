//! The fuzz targets' corpora once more, in every run of the tests.

use ha_test_support::corpus::replay;
use ha_wire::fuzzing;

#[test]
fn replays_node_files() {
    replay("node_file", fuzzing::node_file);
}

#[test]
fn replays_statuses() {
    replay("status", fuzzing::status);
}

#[test]
fn replays_events() {
    replay("event", fuzzing::event);
}
