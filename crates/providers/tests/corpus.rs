//! The fuzz targets' corpora once more, in every run of the tests.

use ha_providers::fuzzing;
use ha_test_support::corpus::replay_corpus;

#[test]
fn qmp_corpus() {
    replay_corpus("qmp", fuzzing::qmp_monitor);
}

#[test]
fn guest_agents() {
    replay_corpus("guest_agent", fuzzing::guest_agent);
}
