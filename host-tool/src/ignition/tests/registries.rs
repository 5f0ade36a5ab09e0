//! What containerd, CRI-O and the kubelet are told of registries.

use super::*;

const REGISTRIES: &str = "registries:
  - host: docker.io
    mirrors: [https://mirror.example.org, \"https://harbor.example.org:8443/docker/hub/\", \"http://10.77.0.1:5000\"]
    ca: CA
  - {host: \"registry.example.org:5000\", skipVerify: true, auth: {user: me, passwordFile: PASSWORD}}
";

/// The files of a worker whose runtime is this one.
fn files_with(cri: &str, pem: &str) -> (Files, Value) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("CA"), pem).unwrap();
    std::fs::write(dir.path().join("PASSWORD"), "hush\n").unwrap();
    let text = DEMO.replace("cni: none", &format!("cni: none, cri: {cri}"));
    let cluster = parse_cluster(&format!("{text}provider: none\n{REGISTRIES}"), dir.path());
    let files = read_operator_files(&cluster).unwrap();
    assert!(!format!("{files:?}").contains("hush"));
    let config = render_all_nodes(&cluster, &files, None).remove(4);
    (written_files(&config), config)
}

fn ca_pem() -> String {
    Pki::create().unwrap().cluster.cert().to_owned()
}

#[test]
fn containerd_finds_mirrors_and_their_ca_by_the_images_host() {
    let pem = ca_pem();
    let (files, config) = files_with("containerd", &pem);
    let docker = "server = \"https://registry-1.docker.io\"
ca = \"/etc/containerd/certs.d/docker.io/ca.crt\"

[host.\"https://mirror.example.org\"]
capabilities = [\"pull\", \"resolve\"]
ca = \"/etc/containerd/certs.d/docker.io/ca.crt\"

[host.\"https://harbor.example.org:8443/v2/docker/hub\"]
capabilities = [\"pull\", \"resolve\"]
override_path = true
ca = \"/etc/containerd/certs.d/docker.io/ca.crt\"

[host.\"http://10.77.0.1:5000\"]
capabilities = [\"pull\", \"resolve\"]
ca = \"/etc/containerd/certs.d/docker.io/ca.crt\"
";
    let dir = "/etc/containerd/certs.d";
    let text = |path: &str| files[&format!("{dir}/{path}")].1.trim_end().to_owned();
    assert_eq!(text("docker.io/hosts.toml"), docker.trim_end());
    assert_eq!(text("docker.io/ca.crt"), pem.trim_end());
    assert_eq!(
        text("registry.example.org:5000/hosts.toml"),
        "server = \"https://registry.example.org:5000\"\nskip_verify = true"
    );
    let units = config["systemd"]["units"].as_array().unwrap();
    let unit = units
        .iter()
        .find(|unit| unit["name"] == "containerd.service");
    let drop_in = unit.unwrap()["dropins"][0]["contents"].as_str().unwrap();
    assert!(
        drop_in.contains("\nExecStart=\nExecStart=/bin/sh /etc/containerd/ha-host-registries.sh\n"),
        "{drop_in}"
    );
    assert!(
        !files
            .keys()
            .any(|path| path.contains("crio") || path.contains("/containers/"))
    );
}

#[test]
fn crio_has_the_same_in_its_own_words() {
    let pem = ca_pem();
    let (files, _) = files_with("crio", &pem);
    let conf = "[[registry]]
prefix = \"docker.io\"
location = \"docker.io\"

[[registry.mirror]]
location = \"mirror.example.org\"

[[registry.mirror]]
location = \"harbor.example.org:8443/docker/hub\"

[[registry.mirror]]
location = \"10.77.0.1:5000\"
insecure = true

[[registry]]
prefix = \"registry.example.org:5000\"
location = \"registry.example.org:5000\"
insecure = true
";
    assert_eq!(
        files["/etc/containers/registries.conf.d/50-ha-host.conf"].1,
        conf
    );
    for host in [
        "docker.io",
        "mirror.example.org",
        "harbor.example.org:8443",
        "10.77.0.1:5000",
    ] {
        let path = format!("/etc/containers/certs.d/{host}/docker.io.crt");
        assert_eq!(files[&path].1.trim_end(), pem.trim_end(), "{host}");
    }
    let logins = &files["/etc/crio/crio.conf.d/20-ha-host-registries.conf"].1;
    assert_eq!(
        logins,
        "[crio.image]\nglobal_auth_file = \"/etc/ha-agent/registries.json\"\n"
    );
    assert!(!files.keys().any(|path| path.contains("containerd")));
}

#[test]
fn a_registrys_password_is_in_one_file_of_roots() {
    for cri in ["containerd", "crio"] {
        let (mut files, _) = files_with(cri, &ca_pem());
        let (mode, text) = files.remove("/etc/ha-agent/registries.json").unwrap();
        let logins: Value = serde_json::from_str(&text).unwrap();
        let auth = STANDARD.encode("me:hush");
        assert_eq!(mode, 0o600);
        let wanted = serde_json::json!({"auths": {"registry.example.org:5000": {"auth": auth}}});
        assert_eq!(logins, wanted);
        let elsewhere = |text: &String| text.contains("hush") || text.contains(&auth);
        assert!(!files.values().any(|(_, text)| elsewhere(text)));
    }
}
