//! Every combination of what a config can hold, each read back through the types, and each distinct one through the real
//! `ignition-validate` (which does not look into the files: configs that differ there alone are one).

use std::collections::BTreeSet;

use super::*;

/// Name servers: none is written, one, as many as a resolver looks at.
const DNS: [&[&str]; 3] = [&[], &["10.77.0.1"], &["10.77.0.1", "1.1.1.1", "9.9.9.9"]];
/// No key; two, one of them written twice.
const SSH_KEYS: [&[&str]; 2] = [&[], &[BLUE, GREEN, BLUE]];
const BLUE: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMmC5mB0mB0mB0mB0mB0mB0mB0mB0mB0mB0mB0mB0mB0 blue";
const GREEN: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGmC5mB0mB0mB0mB0mB0mB0mB0mB0mB0mB0mB0mB0mB0 green";
/// Local files small and large (compressed), and a URL.
const MANIFESTS: [&[&str]; 3] = [
    &[],
    &["small.yaml"],
    &["large.yaml", "https://example.org/net.yaml"],
];
const MERGES: [&[&str]; 2] = [&[], &["old.ign", "new.ign"]];
/// Images on this machine, and fetched ones.
const SYSEXTS: [(usize, usize); 4] = [(0, 0), (1, 0), (0, 1), (1, 2)];
const FILE_SYSEXT: &str = "kubernetes: {path: kubernetes.raw}";
const URL_SYSEXTS: [&str; 2] = [
    "haproxy: {url: \"https://example.org/haproxy-3.2.4-x86-64.raw\"",
    "keepalived: {url: \"http://10.77.0.1:8080/keepalived.raw?token=a%20b#part\"",
];

/// What one cluster's nodes are told.
#[derive(Debug, Clone, Copy)]
struct Case {
    dns: &'static [&'static str],
    ssh_keys: &'static [&'static str],
    manifests: &'static [&'static str],
    merges: &'static [&'static str],
    files: usize,
    urls: usize,
    /// Virtual machines with an assets disk.
    disk: bool,
}

/// Every choice of sysexts, fetched by each node and on a disk.
fn all_transports() -> impl Iterator<Item = ((usize, usize), bool)> {
    SYSEXTS.into_iter().flat_map(|s| [(s, false), (s, true)])
}

fn all_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dns in DNS {
        for ssh_keys in SSH_KEYS {
            for manifests in MANIFESTS {
                for merges in MERGES {
                    for ((files, urls), disk) in all_transports() {
                        cases.push(Case {
                            dns,
                            ssh_keys,
                            manifests,
                            merges,
                            files,
                            urls,
                            disk,
                        });
                    }
                }
            }
        }
    }
    cases
}

impl Case {
    /// The cluster file, a founder, a follower and a worker in it.
    fn text(&self) -> String {
        let list = |words: &[&str]| format!("[{}]", words.join(", "));
        let cni = match self.manifests {
            [] => "none".to_owned(),
            some => format!("{{manifests: {}}}", list(some)),
        };
        let mut text = DEMO
            .replace("cni: none", &format!("cni: {cni}"))
            .replace("dns: [10.77.0.1]", &format!("dns: {}", list(self.dns)));
        let _ = writeln!(text, "ssh: {{authorizedKeys: {}}}", list(self.ssh_keys));
        let _ = writeln!(text, "ignition: {{merge: {}}}", list(self.merges));
        let _ = writeln!(
            text,
            "provider: {}",
            if self.disk { "qemu" } else { "none" }
        );
        text += match self.files + self.urls {
            0 => "sysexts: none\n",
            _ => "sysexts:\n",
        };
        if self.files > 0 {
            let _ = writeln!(text, "  {FILE_SYSEXT}");
        }
        for url in &URL_SYSEXTS[..self.urls] {
            let _ = writeln!(text, "  {url}, sha256: {}}}", "ab".repeat(32));
        }
        text
    }

    fn check(&self, pki: &Pki, dir: &Path, known: &mut BTreeSet<String>) {
        let cluster = parse_cluster(&self.text(), dir);
        let files = read_operator_files(&cluster).unwrap();
        let permission = Some(founder_permission(1_000_000));
        let seats = [(0, permission), (0, None), (1, permission), (4, permission)];
        for (at, founder) in seats {
            let (cluster, files, node) = (&cluster, &files, &cluster.nodes[at]);
            let material = ConfigRenderer {
                cluster,
                pki,
                files,
                founder,
            };
            let text = material.render(node).unwrap();
            let config = parsed_config(text.text.expose());
            if known.insert(shape_of(&config)) {
                assert_valid(text.text.expose());
            }
            let founds = at == 0 && founder.is_some();
            self.is_held_by(&config, node, founds);
        }
    }

    fn is_held_by(&self, config: &Value, node: &Node, founds: bool) {
        let count = |pointer: &str| {
            config
                .pointer(pointer)
                .map_or(0, |v| v.as_array().unwrap().len())
        };
        let keys = self.ssh_keys.len().min(2);
        assert_eq!(count("/passwd/users/0/sshAuthorizedKeys"), keys);
        assert_eq!(config.get("passwd").is_some(), keys > 0);
        assert_eq!(count("/ignition/config/merge"), self.merges.len());
        assert_eq!(count("/storage/links"), self.files + self.urls);
        let fetched = config["storage"]["files"].as_array().unwrap().iter();
        let fetched = fetched.filter(|f| f["contents"]["verification"]["hash"].is_string());
        assert_eq!(fetched.count(), if self.disk { 0 } else { self.urls });
        let merged = self.files + self.urls > 0;
        // The masked reboot manager is in every config.
        let units = 1 + usize::from(merged) + usize::from(merged && self.disk);
        assert_eq!(count("/systemd/units"), units);
        let files = written_files(config);
        let network = &files["/etc/systemd/network/10-eth0.network"].1;
        assert_eq!(network.matches("\nDNS=").count(), self.dns.len());
        let local = self.manifests.iter().filter(|m| !m.contains("://")).count();
        let brought = files.keys().filter(|p| p.starts_with(paths::MANIFESTS_DIR));
        let is_worker = node.role == Role::Worker;
        assert_eq!(brought.count(), if is_worker { 0 } else { local });
        let told = node_file(&files);
        assert_eq!((&told.name, told.role), (&node.name, node.role));
        assert_eq!(told.founder.is_some(), founds, "{self:?}");
    }
}

#[test]
fn ignition_takes_every_config() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let object = "{apiVersion: v1, kind: Namespace}\n";
    write("small.yaml", object);
    write("large.yaml", &("# a long manifest\n".repeat(1000) + object));
    write("old.ign", r#"{"ignition":{"version":"3.0.0"}}"#);
    write("new.ign", r#"{"ignition":{"version":"3.3.0"}}"#);
    write("kubernetes.raw", "image");
    let (pki, mut known) = (Pki::create().unwrap(), BTreeSet::new());
    for case in all_cases() {
        case.check(&pki, dir.path(), &mut known);
    }
    // Control planes with each choice of manifests, and workers, which get none.
    let roles = MANIFESTS.len() + 1;
    let want = roles * SSH_KEYS.len() * MERGES.len() * all_transports().count();
    assert_eq!(known.len(), want);
}

/// The config without the files' contents.
fn shape_of(config: &Value) -> String {
    let mut config = config.clone();
    for file in config["storage"]["files"].as_array_mut().unwrap() {
        let source = &mut file["contents"]["source"];
        if source.as_str().is_some_and(|s| s.starts_with("data:")) {
            *source = "data:".into();
        }
    }
    config.to_string()
}
