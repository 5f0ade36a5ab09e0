//! Somebody else's etcd: three members with TLS on the operator's machine, at addresses outside of the nodes' network.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use ha_kube::Identity;
use ha_kube::testing::{client_identity, server_certificate, test_authority};
use ha_test_support::real;

use crate::cluster::Cluster;
use crate::lab::workspace_root;
use crate::outside_address::OutsideAddress;
use crate::process::{RunningProcess, run_to_end};

/// Its members, as `examples/from-kubeadm-external.yaml` has them. The operator's machine is the nodes' router.
pub const MEMBERS: [&str; 3] = ["10.103.1.101", "10.103.1.102", "10.103.1.103"];
/// Where each listens for clients.
const PORT: u16 = 2379;
/// Where they meet.
const PEER_PORT: u16 = 2380;
/// etcd elects, or answers curl.
const SHORT: Duration = Duration::from_secs(20);

/// The members' files, and what clients need.
#[derive(Debug)]
pub struct ExternalEtcd {
    dir: PathBuf,
    program: PathBuf,
}

/// What runs; it ends with this.
#[derive(Debug)]
pub struct Members<'a> {
    _addresses: Vec<OutsideAddress<'a>>,
    /// One process a member, in their order.
    pub running: Vec<RunningProcess>,
}

impl ExternalEtcd {
    /// Makes its keys in `target/e2e/NAME`; starts nothing.
    pub fn make(name: &str) -> Result<Self> {
        let dir = workspace_root().join("target/e2e").join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let program = real::of_kubernetes("etcd").context("the lab has no etcd")?;
        let etcd = Self { dir, program };
        let ca = test_authority("their-etcd");
        let Identity { cert, key } = client_identity(&ca);
        etcd.write("ca.crt", ca.cert())?;
        etcd.write("client.crt", &cert)?;
        etcd.write("client.key", key.expose())?;
        for member in MEMBERS {
            let (cert, key) = server_certificate(&ca, member.parse()?);
            etcd.write(&format!("{member}.crt"), &cert.pem())?;
            etcd.write(&format!("{member}.key"), &key.serialize_pem())?;
        }
        Ok(etcd)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(fs::set_permissions(
            path,
            fs::Permissions::from_mode(0o600),
        )?)
    }

    /// One of its files: `ca.crt`, `client.crt`, `client.key`.
    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Where a member answers its clients.
    pub fn url(index: usize) -> String {
        format!("https://{}:{PORT}", MEMBERS[index])
    }

    /// Starts all members.
    pub fn start<'a>(&self, cluster: &'a Cluster) -> Result<Members<'a>> {
        let address = |member| OutsideAddress::new(cluster.operator(), member);
        let addresses: Result<_> = MEMBERS.into_iter().map(address).collect();
        let running = (0..MEMBERS.len()).map(|index| self.start_one(cluster, index));
        Ok(Members {
            _addresses: addresses?,
            running: running.collect::<Result<_>>()?,
        })
    }

    /// Starts one member.
    pub fn start_one(&self, cluster: &Cluster, index: usize) -> Result<RunningProcess> {
        let peer = |member: &str| format!("http://{member}:{PEER_PORT}");
        let all = MEMBERS.map(|member| format!("{member}={}", peer(member)));
        let (member, url) = (MEMBERS[index], Self::url(index));
        let mut etcd = cluster.operator().command(&self.program);
        etcd.args(["--name", member, "--data-dir", &self.path(member)])
            .args(["--listen-client-urls", &url])
            .args(["--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer(member)])
            .args(["--initial-advertise-peer-urls", &peer(member)])
            .args(["--initial-cluster", &all.join(",")])
            .args([
                "--client-cert-auth",
                "--trusted-ca-file",
                &self.path("ca.crt"),
            ])
            .args(["--cert-file", &self.path(&format!("{member}.crt"))])
            .args(["--key-file", &self.path(&format!("{member}.key"))]);
        RunningProcess::start(etcd)
    }

    /// What a client on the operator's machine gets of the first member; `body` is JSON.
    pub fn ask(&self, cluster: &Cluster, path: &str, body: &str) -> Result<String> {
        let mut curl = cluster.operator().command("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body"])
            .args(["--max-time", "5", "--data", body])
            .args(["--cacert", &self.path("ca.crt")])
            .args(["--cert", &self.path("client.crt")])
            .args(["--key", &self.path("client.key")])
            .arg(Self::url(0) + path);
        Ok(run_to_end(curl, SHORT)?.ok()?.stdout)
    }
}
