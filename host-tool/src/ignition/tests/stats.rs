//! The statistics page's password: in one file of root's, on control planes alone.

use super::*;

#[test]
fn its_password_is_in_haproxys_environment_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stats.password");
    std::fs::write(&file, "hush\"$1\n").unwrap();
    let stats = format!(
        "loadBalancer: {{routerId: 51, stats: {{port: 9000, user: admin, passwordFile: {}}}}}\n",
        file.display()
    );
    let cluster = cluster_of_people(&format!("{DEMO}{stats}"));
    let files = read_operator_files(&cluster).unwrap();
    assert!(!format!("{files:?}").contains("hush"));
    let configs = render_all_nodes(&cluster, &files, None);
    for (config, node) in configs.iter().zip(&cluster.nodes) {
        let mut written = written_files(config);
        let told = node_file(&written);
        let stats = told.load_balancer.stats.unwrap();
        assert_eq!(
            (stats.user.as_deref(), stats.password_file),
            (Some("admin"), None)
        );
        assert_eq!((told.vrid, told.load_balancer.router_id), (51, None));
        let environment = written.remove(paths::HAPROXY_ENV);
        let line = "HA_STATS_PASSWORD=\"hush\\\"\\$1\"\n".to_owned();
        let wanted = (node.role == Role::ControlPlane).then_some((0o600, line));
        assert_eq!(environment, wanted, "{}", node.name);
        assert!(written.values().all(|(_, text)| !text.contains("hush")));
    }
}
