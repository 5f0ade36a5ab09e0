//! The fuzz target's corpus once more, in every run of the tests.

#[test]
fn cluster_files() {
    ha_test_support::corpus::replay_corpus("cluster_file", ha_cluster_file::fuzzing::cluster_file);
}
