//! The first control plane made anew beside a cluster that stands, with a permission to found that has not ended: whatever
//! hides the cluster from it, it must not found a second one.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use ha_wire::paths;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::eventually::wait_until;
use crate::ignition::{file_in_config, with_file};
use crate::kube::all_voters;
use crate::node::{ADMIN_KUBECTL, ClusterNode};

/// Who may found.
pub const FOUNDER: &str = "node1";
/// The other control planes.
pub const PEERS: [&str; 2] = ["node2", "node3"];
/// How long a founder is kept from seeing the cluster: longer than any look of today's guides.
const HIDDEN: Duration = Duration::from_secs(40);
/// Longer than the longest look of a founder, which ends after 90 s.
const LONGER_THAN_ITS_LOOK: Duration = Duration::from_secs(110);
/// From a fault's end to a whole cluster, on two busy cores.
const RECOVERY: Duration = Duration::from_secs(420);
/// A machine's boot to its agent's first word.
const BOOT: Duration = Duration::from_secs(60);
/// What `ha-host render` and a first launch permit.
const PERMITTED: Duration = Duration::from_secs(3600);

/// What hides the cluster from its founder, or takes its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// Nothing: it is made anew beside living peers.
    Nothing,
    /// It is cut off from its first second on, its own link up.
    CutOff,
    /// Its peers reboot while it boots.
    PeersReboot,
    /// One peer is off: etcd has no quorum.
    NoQuorum,
    /// The peers' serving certificates have ended; a founder whose clock is far ahead sees them so.
    CertificatesEnded,
    /// They begin in two hours; a founder whose clock is two hours behind sees them so.
    CertificatesToCome,
    /// Its join was cut off by a power cut that left an empty etcd manifest and no data.
    EmptyManifest,
    /// Its etcd's data are lost, and it boots first after a power cut of the whole site.
    LostData,
}

impl Hidden {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Nothing,
        Self::CutOff,
        Self::PeersReboot,
        Self::NoQuorum,
        Self::CertificatesEnded,
        Self::CertificatesToCome,
        Self::EmptyManifest,
        Self::LostData,
    ];

    /// As a step of a story.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Nothing => "made anew beside living peers",
            Self::CutOff => "made anew, cut off for 40 s, let back",
            Self::PeersReboot => "made anew while its peers reboot",
            Self::NoQuorum => "made anew beside peers without quorum",
            Self::CertificatesEnded => "made anew while its peers' certificates have ended",
            Self::CertificatesToCome => "made anew while its peers' certificates are to come",
            Self::EmptyManifest => "an empty etcd manifest and no data after a cut of its join",
            Self::LostData => "its etcd's data lost, booted alone after a cut of the whole site",
        }
    }

    /// Lets it happen to a whole cluster; the cluster is whole again some time after this returns.
    pub fn happen(self, cluster: &Cluster) -> Result<()> {
        match self {
            Self::Nothing => remake_founder(cluster),
            Self::CutOff => cut_off(cluster),
            Self::PeersReboot => peers_reboot(cluster),
            Self::NoQuorum => no_quorum(cluster),
            Self::CertificatesEnded => certificates_of(cluster, ENDED),
            Self::CertificatesToCome => certificates_of(cluster, TO_COME),
            Self::EmptyManifest => empty_manifest(cluster),
            Self::LostData => lost_data(cluster),
        }
    }
}

/// How often each way is to happen: `HA_FOUNDINGS=N`; none: the slice of `make test`.
///
/// # Panics
/// If it is not a number.
pub fn wanted_rounds() -> Option<usize> {
    let rounds = std::env::var("HA_FOUNDINGS").ok()?;
    Some(rounds.parse().expect("HA_FOUNDINGS is a number of rounds"))
}

/// Three voters, every node Ready, every agent steady, and every apiserver shows this one cluster.
pub fn is_whole(cluster: &Cluster, identity: &str) -> Result<()> {
    let planes = cluster.control_planes();
    wait_until("three voters", RECOVERY, || {
        all_voters(cluster, PEERS[0], &planes)
    })?;
    wait_until("every node is Ready", RECOVERY, || {
        cluster.kube().all_ready()
    })?;
    cluster.all_steady(RECOVERY)?;
    for (name, server) in planes.iter().zip(cluster.apiservers()) {
        let seen = wait_until("its own apiserver answers", BOOT, || {
            cluster.node(name).identity_at(server)
        })?;
        ensure!(
            seen == identity,
            "{name}'s apiserver shows {seen}, the cluster is {identity}"
        );
    }
    Ok(())
}

/// The founder's stored config, with a permission to found that begins now.
fn config_with_permission(cluster: &Cluster) -> Result<PathBuf> {
    let stored = cluster.ignition_of(FOUNDER);
    let config =
        std::fs::read_to_string(&stored).with_context(|| format!("read {}", stored.display()))?;
    let path = cluster.dir().join(format!("{FOUNDER}-permitted.ign"));
    std::fs::write(&path, with_permission(&config, SystemTime::now())?)?;
    Ok(path)
}

/// A founder's config with a permission to found that begins now, by this clock.
pub(crate) fn with_permission(config: &str, now: SystemTime) -> Result<String> {
    let mut node: Value = serde_json::from_str(&file_in_config(config, paths::NODE_FILE)?)?;
    let until = now.duration_since(UNIX_EPOCH)? + PERMITTED;
    node["founder"] = json!({"until": until.as_secs()});
    with_file(config, paths::NODE_FILE, &node.to_string())
}

fn remake_founder(cluster: &Cluster) -> Result<()> {
    cluster.remake(FOUNDER, &config_with_permission(cluster)?)
}

fn founder_node(cluster: &Cluster) -> ClusterNode<'_> {
    cluster.node(FOUNDER)
}

fn cut_off(cluster: &Cluster) -> Result<()> {
    remake_founder(cluster)?;
    founder_node(cluster).cut(true)?;
    std::thread::sleep(HIDDEN);
    let founded = has_founded(cluster);
    founder_node(cluster).cut(false)?;
    ensure!(!founded?, "{FOUNDER} founded while it was cut off");
    Ok(())
}

fn peers_reboot(cluster: &Cluster) -> Result<()> {
    for peer in PEERS {
        cluster.node(peer).power("off")?;
    }
    remake_founder(cluster)?;
    for peer in PEERS {
        cluster.node(peer).power("on")?;
    }
    Ok(())
}

fn no_quorum(cluster: &Cluster) -> Result<()> {
    founder_node(cluster).power("off")?;
    cluster.node(PEERS[1]).power("off")?;
    remake_founder(cluster)?;
    std::thread::sleep(LONGER_THAN_ITS_LOOK);
    let founded = has_founded(cluster);
    cluster.node(PEERS[1]).power("on")?;
    ensure!(
        !founded?,
        "{FOUNDER} founded beside a member without quorum"
    );
    Ok(())
}

/// The certificates of apiserver and etcd, issued again by the cluster's own CAs: `$dates` say when they are valid.
const ISSUE_AGAIN: &str = r#"
set -eu; cd /etc/kubernetes/pki; rm -rf /root/pki-before; cp -a . /root/pki-before
issue() { # CERTIFICATE CA
  openssl x509 -x509toreq -in $1.crt -signkey $1.key -copy_extensions copyall -out /run/again.csr
  openssl x509 -req -in /run/again.csr -CA $2.crt -CAkey $2.key -set_serial 4711 -copy_extensions copyall $dates -out $1.crt
}
issue apiserver ca; issue etcd/server etcd/ca
"#;
/// Over at once.
const ENDED: &str = "dates='-days 0'";
/// Valid from two hours ahead on.
const TO_COME: &str = "in_hours() { date --utc --date=\"+$1 hours\" +%Y%m%d%H%M%SZ; }; \
    dates=\"-not_before $(in_hours 2) -not_after $(in_hours 26)\"";
const BRING_CERTIFICATES_BACK: &str = "cp -a /root/pki-before/. /etc/kubernetes/pki/";

fn certificates_of(cluster: &Cluster, dates: &str) -> Result<()> {
    for peer in PEERS {
        cluster.node(peer).sh(&format!("{dates}\n{ISSUE_AGAIN}"))?;
    }
    // The apiserver notices by itself that its file has changed.
    let client = cluster.client()?;
    for server in &cluster.apiservers()[1..] {
        wait_until(
            "its certificate is not valid",
            Duration::from_secs(90),
            || {
                ensure!(client.ready(*server).is_err(), "{server} is trusted still");
                Ok(())
            },
        )?;
    }
    remake_founder(cluster)?;
    std::thread::sleep(LONGER_THAN_ITS_LOOK);
    let founded = has_founded(cluster);
    for peer in PEERS {
        cluster.node(peer).sh(BRING_CERTIFICATES_BACK)?;
    }
    ensure!(
        !founded?,
        "{FOUNDER} founded beside certificates that are not valid"
    );
    Ok(())
}

fn empty_manifest(cluster: &Cluster) -> Result<()> {
    remake_founder(cluster)?;
    wait_until("kubeadm writes etcd's manifest", RECOVERY, || {
        founder_node(cluster).sh("test -s /etc/kubernetes/manifests/etcd.yaml")
    })?;
    founder_node(cluster).sh("systemctl kill --signal=KILL ha-agent kubelet; \
         : > /etc/kubernetes/manifests/etcd.yaml; rm -rf /var/lib/etcd/member")?;
    founder_node(cluster).power("off")?;
    founder_node(cluster).power("on")
}

/// The founder boots alone; nothing on its disk may make an empty cluster of it. It is then made anew, as a person would.
fn lost_data(cluster: &Cluster) -> Result<()> {
    for name in cluster.control_planes() {
        let lost = if name == FOUNDER {
            "rm -rf /var/lib/etcd/member"
        } else {
            "true"
        };
        cluster.node(&name).sh(lost)?;
        cluster.node(&name).power("off")?;
    }
    founder_node(cluster).power("on")?;
    std::thread::sleep(HIDDEN);
    let own = cluster.apiservers()[0];
    let empty = founder_node(cluster).sh(&format!(
        "{ADMIN_KUBECTL} --request-timeout=5s --server https://{own} get --raw /readyz"
    ));
    for peer in PEERS {
        cluster.node(peer).power("on")?;
    }
    ensure!(
        empty.is_err(),
        "{FOUNDER} serves an empty cluster of its own"
    );
    remake_founder(cluster)
}

/// Whether its etcd was told of nobody else. One that joined knows the others: the peers' agents may have mended meanwhile what
/// hid the cluster, ended certificates for one.
fn has_founded(cluster: &Cluster) -> Result<bool> {
    const ASK: &str = "cat /etc/kubernetes/manifests/etcd.yaml 2>/dev/null; echo end";
    let manifest = founder_node(cluster).sh(ASK)?;
    Ok(manifest.contains("--initial-cluster=") && !manifest.contains(&format!("{}=", PEERS[0])))
}
