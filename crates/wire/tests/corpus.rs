//! The fuzz targets' corpora once more, in every run of the tests.

use ha_test_support::corpus::replay;
use ha_wire::fuzzing;

#[test]
fn node_files() {
    replay("node_file", fuzzing::node_file);
}

#[test]
fn statuses() {
    replay("status", fuzzing::status);
}

#[test]
fn events() {
    replay("event", fuzzing::event);
}
