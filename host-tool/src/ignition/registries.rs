//! `registries`: containerd's certs.d, CRI-O's registries.conf.d, and who pulls, in the file where the kubelet looks.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ha_cluster_file::cluster::{Cluster, Registry};
use ha_kube::Secret;
use ha_wire::settings::Cri;
use serde_json::{Map, json};

use super::build::ConfigBuilder;
use crate::inputs::RegistryTexts;

const LOGINS: &str = "/etc/ha-agent/registries.json";
/// The kubelet looks there by itself, and hands on what it finds to any runtime, whatever way of login the registry asks for. A
/// link, made at each boot: the directory may be a disk of its own.
const LINK: &str = "L+ /var/lib/kubelet/config.json - - - - /etc/ha-agent/registries.json\n";
/// Also what the agent's own pulls are told.
const CONTAINERD_DIR: &str = "/etc/containerd/certs.d";
const CONTAINERD_SCRIPT: &str = "/etc/containerd/ha-host-registries.sh";
/// Flatcar's configuration names no directory of registries, and a file that imports another replaces whole sections of it (1.7): so
/// what containerd makes of its own configuration, whichever that is, is completed. One that names a directory is the user's. In
/// `ExecStart=`, since images have drop-ins that empty `ExecStartPre=`. What was imported is in the dump; imported again it would win
/// (1.7 names the file itself there).
const COMPLETE_CONFIG: &str = r#"# Written by ha-host for `registries` of the cluster file.
set -eu
(
umask 077
containerd --config "${CONTAINERD_CONFIG:-/etc/containerd/config.toml}" config dump > /run/ha-host-containerd.dump
sed -e "s/^imports = .*/imports = []/" -e "s|^\( *config_path = \)['\"]\{2\}$|\1'/etc/containerd/certs.d'|" /run/ha-host-containerd.dump > /run/ha-host-containerd.toml
)
exec containerd --config /run/ha-host-containerd.toml
"#;
const CONTAINERD_DROP_IN: &str =
    "# `registries` of the cluster file. A drop-in whose name sorts after this one's wins.
[Service]
SyslogIdentifier=containerd
ExecStart=
ExecStart=/bin/sh /etc/containerd/ha-host-registries.sh
";
const CRIO_LOGINS: &str = "[crio.image]\nglobal_auth_file = \"/etc/ha-agent/registries.json\"\n";
/// What images of Docker's registry are called by, where it answers, and what its login is kept under.
const DOCKER: [&str; 3] = [
    "docker.io",
    "registry-1.docker.io",
    "https://index.docker.io/v1/",
];

/// `texts` are those of the cluster's registries, in the same order.
pub fn write_registries(
    build: &mut ConfigBuilder,
    cluster: &Cluster,
    texts: &[RegistryTexts],
) -> Result<()> {
    let registries = &cluster.registries;
    if registries.is_empty() {
        return Ok(());
    }
    match cluster.kubernetes.cri {
        Cri::Containerd => write_containerd(build, registries, texts)?,
        Cri::Crio => write_crio(build, registries, texts)?,
    }
    if registries.iter().any(|registry| registry.auth.is_some()) {
        build.file(LOGINS, 0o600, docker_logins(registries, texts).expose())?;
        build.file("/etc/tmpfiles.d/ha-host-registries.conf", 0o644, LINK)?;
    }
    Ok(())
}

fn write_containerd(
    build: &mut ConfigBuilder,
    registries: &[Registry],
    texts: &[RegistryTexts],
) -> Result<()> {
    for (registry, texts) in registries.iter().zip(texts) {
        let dir = format!("{CONTAINERD_DIR}/{}", registry.host);
        build.file(&format!("{dir}/hosts.toml"), 0o644, &hosts_toml(registry))?;
        if let Some(ca) = &texts.ca {
            build.file(&format!("{dir}/ca.crt"), 0o644, ca)?;
        }
    }
    build.file(CONTAINERD_SCRIPT, 0o644, COMPLETE_CONFIG)?;
    let unit = Cri::Containerd.unit();
    build.dropin(unit, "10-ha-host-registries.conf", CONTAINERD_DROP_IN);
    Ok(())
}

/// Names and URLs were checked: none holds what TOML would take for more than a letter.
fn hosts_toml(registry: &Registry) -> String {
    let host = registry.host.as_str();
    let server = if host == DOCKER[0] { DOCKER[1] } else { host };
    let mut trust = String::new();
    if registry.ca.is_some() {
        trust += &format!("ca = \"{CONTAINERD_DIR}/{host}/ca.crt\"\n");
    }
    if registry.skip_verify {
        trust += "skip_verify = true\n";
    }
    let mut text = format!("server = \"https://{server}\"\n{trust}");
    for mirror in &registry.mirrors {
        let (at, path) = Registry::split_mirror(mirror);
        let scheme = mirror.split("://").next().unwrap_or_default();
        // containerd writes /v2 behind the path; registries have it before.
        let (url, own_path) = match path {
            "" => (format!("{scheme}://{at}"), ""),
            path => (
                format!("{scheme}://{at}/v2/{path}"),
                "override_path = true\n",
            ),
        };
        text += &format!(
            "\n[host.\"{url}\"]\ncapabilities = [\"pull\", \"resolve\"]\n{own_path}{trust}"
        );
    }
    text
}

fn write_crio(
    build: &mut ConfigBuilder,
    registries: &[Registry],
    texts: &[RegistryTexts],
) -> Result<()> {
    let conf: Vec<String> = registries.iter().map(registries_conf).collect();
    build.file(
        "/etc/containers/registries.conf.d/50-ha-host.conf",
        0o644,
        &conf.join("\n"),
    )?;
    for (registry, texts) in registries.iter().zip(texts) {
        let Some(ca) = &texts.ca else { continue };
        let mirrors = registry
            .mirrors
            .iter()
            .map(|mirror| Registry::split_mirror(mirror).0);
        let mut hosts: Vec<&str> = mirrors.chain([registry.host.as_str()]).collect();
        hosts.sort_unstable();
        hosts.dedup();
        for host in hosts {
            // Two registries may share a mirror, and have a CA each.
            let path = format!("/etc/containers/certs.d/{host}/{}.crt", registry.host);
            build.file(&path, 0o644, ca)?;
        }
    }
    if registries.iter().any(|registry| registry.auth.is_some()) {
        build.file(
            "/etc/crio/crio.conf.d/20-ha-host-registries.conf",
            0o644,
            CRIO_LOGINS,
        )?;
    }
    Ok(())
}

fn registries_conf(registry: &Registry) -> String {
    let Registry {
        host, skip_verify, ..
    } = registry;
    let insecure = |is: bool| if is { "insecure = true\n" } else { "" };
    let mut text = format!(
        "[[registry]]\nprefix = \"{host}\"\nlocation = \"{host}\"\n{}",
        insecure(*skip_verify)
    );
    for mirror in &registry.mirrors {
        let (at, path) = Registry::split_mirror(mirror);
        let slash = if path.is_empty() { "" } else { "/" };
        let insecure = insecure(*skip_verify || mirror.starts_with("http://"));
        text += &format!("\n[[registry.mirror]]\nlocation = \"{at}{slash}{path}\"\n{insecure}");
    }
    text
}

/// As `docker login` keeps them.
fn docker_logins(registries: &[Registry], texts: &[RegistryTexts]) -> Secret {
    let mut auths = Map::new();
    for (registry, texts) in registries.iter().zip(texts) {
        let (Some(auth), Some(password)) = (&registry.auth, &texts.password) else {
            continue;
        };
        let both = format!("{}:{}", auth.user, password.expose());
        let host = registry.host.as_str();
        let key = if host == DOCKER[0] { DOCKER[2] } else { host };
        auths.insert(key.to_owned(), json!({"auth": STANDARD.encode(both)}));
    }
    Secret::new(format!("{:#}\n", json!({"auths": auths})))
}
