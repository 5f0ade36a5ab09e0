//! The fuzz targets' corpora once more, in every run of the tests.

use ha_providers::fuzzing;
use ha_test_support::corpus::replay;

#[test]
fn qmp() {
    replay("qmp", fuzzing::qmp);
}

#[test]
fn guest_agents() {
    replay("guest_agent", fuzzing::guest_agent);
}
