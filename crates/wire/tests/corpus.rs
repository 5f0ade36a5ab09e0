//! The fuzz targets' corpora once more, in every run of the tests.

use ha_test_support::corpus::replay_corpus;
use ha_wire::fuzzing;

#[test]
fn replays_node_files() {
    replay_corpus("node_file", fuzzing::node_file);
}

#[test]
fn replays_statuses() {
    replay_corpus("status", fuzzing::status);
}

#[test]
fn replays_events() {
    replay_corpus("event", fuzzing::event);
}
