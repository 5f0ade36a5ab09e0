//! The provider on a real libvirtd, in the lab's operator machine. Most nodes here boot a single sector that says a word on the
//! serial port: what the provider does with a domain does not depend on what runs in it. One boots the lab's Flatcar stand-in.

use std::path::Path;

use ha_cluster_file::cluster::Cluster;

use super::*;
use crate::NEW;
use crate::machine_tests::Evidence;
use crate::vm::guest::{Agent, GuestTransport};
use crate::vm::operator_machine;

mod cuts;
mod interrupted;
mod lifecycle;
mod ownership;
mod stand_in;

/// Tests that cut off calls of virsh take some of them; with `HA_CUTS=2/4` every fourth of all from the second on, so that four
/// processes take every single one (`make test-libvirt-cuts`). Which share, of how many.
fn share_of_every_cut() -> Option<(usize, usize)> {
    let share = std::env::var("HA_CUTS").ok()?;
    let numbers = share.split_once('/').expect("HA_CUTS is like 2/4");
    Some((numbers.0.parse().unwrap(), numbers.1.parse().unwrap()))
}

/// A cluster of two and its provider. What a failed test leaves goes with the operator machine.
struct LibvirtFixture {
    dir: tempfile::TempDir,
    cluster: Cluster,
    provider: Libvirt,
}

impl LibvirtFixture {
    /// Starts libvirtd unless it runs.
    fn new(image: &str, more: &str) -> Self {
        start_libvirtd();
        let dir = tempfile::tempdir_in(operator_machine::shared_dir()).unwrap();
        let cluster = libvirt_cluster(image, more);
        let provider = libvirt_provider(&cluster, dir.path());
        Self {
            dir,
            cluster,
            provider,
        }
    }

    /// With the tiny image.
    fn with_tiny_image(more: &str) -> Self {
        Self::new(&format!("{{path: {}}}", write_tiny_image().display()), more)
    }

    fn node(&self, at: usize) -> &Node {
        &self.cluster.nodes[at]
    }

    fn ignition(&self) -> PathBuf {
        let path = self.dir.path().join("node.ign");
        std::fs::write(&path, r#"{"ignition":{"version":"3.3.0"}}"#).unwrap();
        path
    }

    fn ensure(&self, at: usize) -> Result<Made> {
        self.provider.ensure(self.node(at), &self.ignition())
    }

    fn wait(&self, what: &str, done: impl FnMut() -> bool) {
        self.evidence().wait(what, done);
    }

    fn evidence(&self) -> Evidence {
        let files = self.cluster.nodes.iter().flat_map(|node| {
            let log = format!("/var/log/libvirt/qemu/t-{}.log", node.name);
            [
                self.provider.console(node),
                self.provider.events(node),
                log.into(),
            ]
        });
        Evidence(files.collect())
    }

    fn console(&self, at: usize) -> String {
        std::fs::read_to_string(self.provider.console(self.node(at))).unwrap_or_default()
    }
}

impl Drop for LibvirtFixture {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.evidence().show();
        }
    }
}

fn libvirt_cluster(image: &str, more: &str) -> Cluster {
    let text = format!(
        "version: 1\nname: t\nkubernetes: {{version: 1.36.3}}\nendpoint: {{vip: 10.79.0.30}}\n\
         network: {{prefix: 24, gateway: 10.79.0.1}}\nsysexts: {{}}\nnodes:\n\
         - {{name: one, role: control-plane, address: 10.79.0.11}}\n\
         - {{name: two, role: worker, address: 10.79.0.12}}\n\
         provider: {{libvirt: {{memory: 2GiB, accel: tcg, cpu: max, image: {image}{more}}}}}\n"
    );
    ha_test_support::parse_cluster(&text, Path::new("/"))
}

fn libvirt_provider(cluster: &Cluster, dir: &Path) -> Libvirt {
    let cluster::ProviderOptions::Libvirt(options) = &cluster.provider else {
        panic!("provider libvirt")
    };
    Libvirt::new(cluster, options, dir).unwrap()
}

/// Writes "up" to the serial port for ever after: a domain whose console can be seen.
fn write_tiny_image() -> PathBuf {
    // mov dx, 0x3f8; mov al, 'u'; out dx, al; mov al, 'p'; out dx, al; mov al, 10; out dx, al; hlt; jmp to hlt
    let mut sector = vec![
        0xba, 0xf8, 0x03, 0xb0, b'u', 0xee, 0xb0, b'p', 0xee, 0xb0, 10, 0xee, 0xf4, 0xeb, 0xfd,
    ];
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector.resize(1 << 20, 0);
    let path = operator_machine::shared_dir().join("tiny.img");
    if !path.exists() {
        std::fs::write(&path, sector).unwrap();
    }
    path
}

impl Libvirt {
    /// With another deadline for each call.
    fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        let hosts = self.hosts.values().map(|host| {
            let uri = host.virsh.uri();
            (uri.to_owned(), self.host_at(uri, host.pool.name()))
        });
        self.hosts = hosts.collect();
        self
    }
}

fn start_libvirtd() {
    let script = "virsh() { /usr/bin/virsh \"$@\"; }; virsh -c qemu:///system list 2>/dev/null && exit; mkdir -p /var/log/libvirt /run/libvirt; [ -e /run/virtlogd.pid ] || virtlogd -d; libvirtd -d; \
                  while ! virsh -c qemu:///system list 2>/dev/null; do sleep 0.1; done";
    let done = Command::new("sh")
        .args(["-c", script])
        .stdout(std::process::Stdio::null())
        .status();
    assert!(done.unwrap().success());
}

fn run_virsh(line: &str) -> String {
    let output = Command::new("/usr/bin/virsh")
        .args(["-q", "-c", "qemu:///system"])
        .args(line.split(' '))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "virsh {line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().into()
}

fn define_foreign(what: &str, xml: &str) {
    let path = operator_machine::shared_dir().join("foreign.xml");
    std::fs::write(&path, xml).unwrap();
    run_virsh(&format!("{what} {}", path.display()));
}

/// Everything that libvirt has.
fn list_everything() -> String {
    let pools = run_virsh("pool-list --all --name");
    let volumes: Vec<String> = pools
        .split_whitespace()
        .map(|pool| run_virsh(&format!("vol-list {pool}")))
        .collect();
    format!(
        "{} {} {pools} {}",
        run_virsh("list --all --name"),
        run_virsh("net-list --all --name"),
        volumes.join(" ")
    )
    .trim()
    .into()
}

fn bad_findings(provider: &Libvirt) -> Vec<Finding> {
    provider
        .preflight()
        .unwrap()
        .into_iter()
        .filter(|finding| !finding.ok)
        .collect()
}
