//! `proxy`: who gets it, with which exceptions, and that its password is root's alone.

use super::*;

const PROXY: &str = "proxy: {http: \"http://10.77.0.5:3128\", https: \"http://me:hu%40sh@10.77.0.5:3128\", \
                     except: [registry.example.com, 10.77.0.30]}\n";
/// As the file's own come first, and each once.
const EXCEPTIONS: &str = "registry.example.com,10.77.0.30,localhost,127.0.0.0/8,::1,10.77.0.0/24,10.77.0.11,10.77.0.12,10.77.0.13";
const DROP_IN: &str = "10-ha-host-proxy.conf";

/// The config of one of its nodes, unread.
fn config_text(cluster: &Cluster, node: usize) -> String {
    let (pki, files) = (Pki::create().unwrap(), OperatorFiles::default());
    let renderer = ConfigRenderer {
        cluster,
        pki: &pki,
        files: &files,
        founder: None,
    };
    let config = renderer.render(&cluster.nodes[node]).unwrap();
    config.text.expose().to_owned()
}

/// A worker's config. Ignition warns of every proxy of `https://` that itself is asked by `http://`, as nearly all are.
fn worker_config(text: &str) -> Value {
    let text = config_text(&cluster_of_people(&format!("{DEMO}{text}")), 4);
    if let Some(mut validate) = real::require_command("ignition-validate", "ignition") {
        validate.arg("-");
        let output = real::output_for_stdin(validate, &text);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let other = |line: &&str| !line.contains("insecure plaintext HTTP proxy");
        assert_eq!(
            said.lines().filter(other).collect::<Vec<_>>(),
            [""; 0],
            "{said}"
        );
    }
    parsed_config(&text)
}

#[test]
fn what_fetches_gets_the_proxy_with_the_clusters_exceptions() {
    let config = worker_config(PROXY);
    let given = &config["ignition"]["proxy"];
    assert_eq!(given["httpProxy"], "http://10.77.0.5:3128");
    assert_eq!(given["httpsProxy"], "http://me:hu%40sh@10.77.0.5:3128");
    let list = given["noProxy"].as_array().unwrap();
    let list: Vec<&str> = list.iter().map(|one| one.as_str().unwrap()).collect();
    let list = list.join(",");
    assert!(
        list.starts_with(EXCEPTIONS) && list.ends_with(",.svc,.cluster.local"),
        "{list}"
    );
    let files = written_files(&config);
    let (_, text) = &files[&format!("/etc/systemd/system/containerd.service.d/{DROP_IN}")];
    let expected = format!(
        "[Service]\nEnvironment=\"HTTP_PROXY=http://10.77.0.5:3128\" \"http_proxy=http://10.77.0.5:3128\"\n\
         Environment=\"HTTPS_PROXY=http://me:hu%%40sh@10.77.0.5:3128\" \"https_proxy=http://me:hu%%40sh@10.77.0.5:3128\"\n\
         Environment=\"NO_PROXY={list}\" \"no_proxy={list}\"\n"
    );
    assert_eq!(text.split_once('\n').unwrap().1, expected);
    let (_, agents) = &files[&format!("/etc/systemd/system/ha-agent.service.d/{DROP_IN}")];
    let own = "Environment=\"HA_PROXY_OWNER=cluster-file\"\n";
    assert_eq!(agents.strip_suffix(own).unwrap(), text);
}

#[test]
fn its_password_is_in_files_of_root_alone() {
    let config = worker_config(PROXY);
    let mut units = Vec::new();
    for (path, (mode, text)) in written_files(&config) {
        if text.contains("hu%") {
            assert_eq!(mode, 0o600, "{path}");
            let unit = path.strip_prefix("/etc/systemd/system/").unwrap();
            units.push(
                unit.strip_suffix(&format!(".d/{DROP_IN}"))
                    .unwrap()
                    .to_owned(),
            );
        }
    }
    assert_eq!(
        units,
        [
            "containerd.service",
            "ha-agent.service",
            "update-engine.service"
        ]
    );
    assert!(!config["systemd"].to_string().contains("hu%"));
}

#[test]
fn each_runtime_and_the_updates_get_it_and_without_the_key_nobody_does() {
    let with = |text: &str| -> Vec<String> {
        let files = written_files(&worker_config(text));
        files
            .into_keys()
            .filter(|path| path.ends_with(DROP_IN))
            .collect()
    };
    let all = with(&format!("{PROXY}updates: sysupdate\n"));
    let sysupdate = format!("/etc/systemd/system/systemd-sysupdate.service.d/{DROP_IN}");
    assert!(all.contains(&sysupdate), "{all:?}");
    assert_eq!(with(""), [""; 0]);
    assert_eq!(worker_config("")["ignition"]["proxy"], Value::Null);
    let mut cluster = cluster_of_people(&format!("{DEMO}{PROXY}"));
    cluster.kubernetes.cri = ha_wire::settings::Cri::Crio;
    let files = written_files(&parsed_config(&config_text(&cluster, 0)));
    assert!(files.contains_key(&format!("/etc/systemd/system/crio.service.d/{DROP_IN}")));
}

/// The domain of the cluster's own names, where it is another.
#[test]
fn the_clusters_domain_is_excepted() {
    let mut cluster = cluster_of_people(&format!("{DEMO}{PROXY}"));
    let networking = serde_json::json!({"dnsDomain": "k8s.example.com"});
    let settings = &mut cluster.kubernetes.cluster_configuration;
    settings.insert("networking".to_owned(), networking);
    let config = parsed_config(&config_text(&cluster, 0));
    let list = config["ignition"]["proxy"]["noProxy"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(list.last().unwrap(), ".k8s.example.com");
}
