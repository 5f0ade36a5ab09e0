//! Links in a node's root are the node's: to the host they lead nowhere but into that root.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::super::{extensions, ignition, root};
use super::NodeRoot;

/// A root beside a directory of the host's.
struct RootFixture {
    dir: tempfile::TempDir,
}

impl RootFixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["root", "host"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn host(&self) -> PathBuf {
        self.dir.path().join("host")
    }

    /// Everything that the host side writes into a new disk.
    fn write_all(&self) -> Vec<anyhow::Result<()>> {
        let root = &NodeRoot::open(&self.root()).unwrap();
        let names = ["a".to_owned()];
        vec![
            root::settle_resolv_conf(root, &["10.0.0.1".into()]),
            extensions::link_extension_dirs(root, &names),
            extensions::link_directories(root, &names),
            root.remove_file("etc/machine-id"),
            ignition::Selinux::pretend(root).and_then(ignition::Selinux::done),
        ]
    }
}

/// The files below a directory, and what is in them or where they lead.
fn list_contents(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let what = match () {
            () if meta.is_dir() => list_contents(&path).len().to_string(),
            () if meta.is_symlink() => path.read_link().unwrap().display().to_string(),
            () => std::fs::read_to_string(&path).unwrap(),
        };
        found.push((path, what));
    }
    found.sort();
    found
}

#[test]
fn an_absolute_link_does_not_lead_to_the_host() {
    for link in ["opt", "etc"] {
        let fixture = RootFixture::new();
        let (root, host) = (fixture.root(), fixture.host());
        std::fs::create_dir(host.join("extensions")).unwrap();
        symlink("/opt/extensions/a/a.raw", host.join("extensions/a.raw")).unwrap();
        std::fs::write(host.join("machine-id"), "the host's").unwrap();
        for name in ["opt", "etc"] {
            match name == link {
                true => symlink(&host, root.join(name)).unwrap(),
                false => std::fs::create_dir(root.join(name)).unwrap(),
            }
        }
        let before = list_contents(&host);
        let errors: Vec<String> = fixture
            .write_all()
            .into_iter()
            .filter_map(|done| Some(format!("{:#}", done.err()?)))
            .collect();
        assert_eq!(list_contents(&host), before, "{link}");
        assert!(
            !errors.is_empty() && errors.iter().all(|e| e.contains(link)),
            "{errors:?}"
        );
    }
}

#[test]
fn a_link_of_the_node_s_own_is_followed_inside() {
    let fixture = RootFixture::new();
    let root = fixture.root();
    for dir in ["usr/etc/extensions", "var/opt"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    symlink("/var/opt", root.join("opt")).unwrap();
    symlink("../usr/../usr/etc", root.join("var/etc")).unwrap();
    symlink("var/etc", root.join("etc")).unwrap();
    std::fs::write(root.join("usr/etc/machine-id"), "").unwrap();
    symlink("/x.raw", root.join("usr/etc/extensions/a.raw")).unwrap();
    for done in fixture.write_all() {
        done.unwrap();
    }
    assert_eq!(
        root.join("var/opt/extensions/a").read_link().unwrap(),
        Path::new("/run/ha-host-extensions/a")
    );
    assert_eq!(
        std::fs::read_to_string(root.join("usr/etc/resolv.conf")).unwrap(),
        "nameserver 10.0.0.1\n"
    );
    let etc: Vec<_> = list_contents(&root.join("usr/etc/extensions"));
    assert_eq!(
        etc,
        [(
            root.join("usr/etc/extensions/a"),
            "/opt/extensions/a/a".to_owned()
        )]
    );
    assert!(!root.join("usr/etc/machine-id").exists());
    assert!(!root.join("usr/etc/selinux").exists());
}

#[test]
fn what_is_there_stays() {
    let fixture = RootFixture::new();
    let root = fixture.root();
    std::fs::create_dir_all(root.join("etc/selinux")).unwrap();
    std::fs::write(root.join("etc/selinux/config"), "SELINUXTYPE=mine\n").unwrap();
    symlink("/run/resolv.conf", root.join("etc/resolv.conf")).unwrap();
    for done in fixture.write_all() {
        done.unwrap();
    }
    assert_eq!(
        root.join("etc/resolv.conf").read_link().unwrap(),
        Path::new("/run/resolv.conf")
    );
    let config = std::fs::read_to_string(root.join("etc/selinux/config"));
    assert_eq!(config.unwrap(), "SELINUXTYPE=mine\n");
}
