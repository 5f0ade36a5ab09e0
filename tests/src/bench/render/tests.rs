#[test]
fn addresses_stay_in_their_network_and_differ() {
    let text = super::cluster_file_of(5000);
    let all: std::collections::BTreeSet<&str> = text
        .lines()
        .filter_map(|l| l.split("address: ").nth(1))
        .collect();
    assert_eq!(all.len(), 5000);
    assert!(all.contains("10.64.20.250}"));
}

#[test]
fn the_large_cluster_is_valid() {
    let (cluster, warnings) = ha_cluster_file::check::check_cluster_file(
        &super::cluster_file_of(5000),
        std::path::Path::new("/"),
    )
    .expect("valid");
    assert_eq!((cluster.nodes.len(), warnings), (5000, Vec::new()));
}
