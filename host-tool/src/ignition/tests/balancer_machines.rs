//! Machines of the load balancer's own: they have its two programs and the agent, and nothing of Kubernetes but whom to trust.

use ha_wire::settings::LbMode;

use super::*;

const SYSEXTS: &str = "sysexts:
  ha-agent: {path: /x/ha-agent.raw}
  kubernetes: {path: /x/kubernetes.raw}
  keepalived: {path: /x/keepalived.raw}
  haproxy: {path: /x/haproxy.raw}
  tools: {path: /x/tools.raw}
hooks: {beforeJoin: [\"true\"]}
loadBalancer: {mode: {machines: [{name: lb1, address: 10.77.0.21}, {name: lb2, address: 10.77.0.22}]}}
";

fn extension_links(config: &Value) -> Vec<String> {
    let links = config["storage"]["links"].as_array().unwrap().iter();
    let name = |link: &Value| {
        let path = link["path"].as_str().unwrap();
        let name = path.strip_prefix("/etc/extensions/").unwrap();
        name.trim_end_matches(".raw").to_owned()
    };
    let mut names: Vec<String> = links.map(name).collect();
    names.sort();
    names
}

#[test]
fn each_machine_has_what_its_role_needs_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let text = SYSEXTS.replace("/x", dir.path().to_str().unwrap());
    for name in ["ha-agent", "kubernetes", "keepalived", "haproxy", "tools"] {
        std::fs::write(dir.path().join(format!("{name}.raw")), "").unwrap();
    }
    let cluster = cluster_of_people(&format!("{DEMO}{text}"));
    let files = read_operator_files(&cluster).unwrap();
    let configs = render_all_nodes(&cluster, &files, None);
    assert_eq!(configs.len(), 7);
    for (config, node) in configs.iter().zip(&cluster.nodes) {
        let (has, files) = (extension_links(config), written_files(config));
        let told = node_file(&files);
        assert_eq!(told.load_balancer.mode, LbMode::Machines);
        assert_eq!((told.control_planes.len(), told.balancers.len()), (3, 2));
        if node.role != Role::LoadBalancer {
            assert_eq!(has, ["ha-agent", "kubernetes", "tools"], "{}", node.name);
            assert!(!told.runs_balancer());
            continue;
        }
        assert_eq!(has, ["ha-agent", "haproxy", "keepalived", "tools"]);
        assert!(told.runs_balancer() && told.hooks.is_empty());
        let secret = |(path, (_, text)): (&String, &(u64, String))| {
            path.contains("identity") || text.contains("PRIVATE KEY")
        };
        assert!(
            !files.iter().any(secret),
            "nobody can steal what is not there"
        );
        assert!(files.contains_key(&format!("{}/ca.crt", paths::PKI_DIR)));
    }
}
