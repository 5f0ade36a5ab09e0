//! Whether a cluster stands: every other control plane is asked at its apiserver's, etcd's and load balancer's port, and the
//! VIP, until it is plain that there is none or the time for it is over.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::join_all;
use ha_kube::handshake::HandshakeProbe;
use ha_kube::{APISERVER_NAME, APISERVER_PORT, ApiError, ETCD_CLIENT_PORT};
use ha_wire::phase::Phase;

use super::permission::keys_made_ms;
use crate::context::Context;
use crate::kube::error::ErrorKind;
use crate::kube::{certs, cluster_ca, pki_file};

/// Nothing is founded earlier beside a control plane that does not answer: a switch lets a new link wait for 30 s, and a
/// machine boots in less.
const SEARCH: Duration = Duration::from_secs(75);
/// A control plane that reboots refuses connections from its network's first second until etcd's: for so long without a
/// break one must do so that is taken for no member.
const REFUSED: Duration = Duration::from_secs(30);
/// No cluster can have been founded, joined and rebooted so soon after its keys were made: who refuses then has not begun.
const KEYS_ARE_NEW_MS: u64 = 45_000;
/// Looks in a row that find somebody who accepts connections and is nobody: the next attempt begins with all of them.
const UNDECIDED_LOOKS: u32 = 3;
/// Between two looks. A machine that comes up is met by the next.
const PAUSE: Duration = Duration::from_millis(250);
/// A name in the certificate of every etcd that kubeadm sets up.
const ETCD_NAME: &str = "localhost";

/// Who answers under this cluster's CA; none: no cluster stands, as far as can be known.
pub async fn find_cluster(cx: &Context) -> Result<Option<String>> {
    let mut search = Search::begin(cx)?;
    let mut undecided_looks = 0;
    loop {
        let found = search.look().await?;
        let stands = found.iter().position(|p| matches!(p, Presence::Stands));
        if let Some(who) = stands {
            return Ok(Some(search.doors[who].to_string()));
        }
        let open = search.still_open(&found);
        if open.is_empty() {
            return Ok(None);
        }
        let is_undecided = found.iter().any(|p| matches!(p, Presence::Undecided(_)));
        undecided_looks = if is_undecided { undecided_looks + 1 } else { 0 };
        if undecided_looks == UNDECIDED_LOOKS {
            let who = open.join(", ");
            bail!(
                "{who}: somebody is there, and it may be this cluster: nothing is founded beside it"
            );
        }
        let what = format!("a word of {}: a cluster may stand there", open.join(", "));
        cx.report.waiting(Phase::Init, &what, "");
        cx.sys.clock.sleep(PAUSE).await;
    }
}

/// What is asked, and where.
#[derive(Debug, Clone)]
struct Door {
    who: String,
    address: SocketAddr,
    kind: DoorKind,
}

impl Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.who, self.address)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DoorKind {
    Apiserver,
    Etcd,
    LoadBalancer,
}

struct Search<'a> {
    cx: &'a Context,
    begin: Duration,
    cluster: HandshakeProbe,
    etcd: HandshakeProbe,
    doors: Vec<Door>,
    /// Since when each door was found shut at every look.
    shut_since: Vec<Option<Duration>>,
    /// How long a control plane has to refuse connections until it is no member.
    refusal: Duration,
    /// The certificate of this node's own apiserver, to which the VIP may lead.
    own: Option<Vec<u8>>,
}

impl<'a> Search<'a> {
    fn begin(cx: &'a Context) -> Result<Self> {
        let etcd_ca = pki_file("etcd/ca.crt");
        let etcd_ca = cx.sys.files.read(&etcd_ca)?.with_context(|| {
            format!("{etcd_ca} is missing: Ignition did not bring etcd's CA certificate")
        })?;
        let own = cx.sys.files.read(&pki_file("apiserver.crt"))?;
        let doors = doors(cx);
        Ok(Self {
            cx,
            begin: cx.sys.clock.monotonic(),
            cluster: HandshakeProbe::new(&cluster_ca(cx)?, APISERVER_NAME)?,
            etcd: HandshakeProbe::new(&etcd_ca, ETCD_NAME)?,
            shut_since: vec![None; doors.len()],
            doors,
            refusal: refusal_that_proves(cx),
            own: own.and_then(|pem| certs::certificates_in(&pem).into_iter().next()),
        })
    }

    /// One look at every door at once, in their order.
    async fn look(&mut self) -> Result<Vec<Presence>> {
        let answers = join_all(self.doors.iter().map(|door| self.knock(door))).await;
        let now = self.cx.sys.clock.monotonic();
        let mut found = Vec::with_capacity(answers.len());
        for (at, answer) in answers.into_iter().enumerate() {
            let door = &self.doors[at];
            let presence = match answer {
                Ok(shown) if self.own.as_ref() == Some(&shown) => Presence::Absent,
                answer => presence_behind(door.kind, answer.map(drop))
                    .map_err(|kind| ApiError::new(&door.to_string(), kind))?,
            };
            let is_shut = matches!(presence, Presence::Absent);
            self.shut_since[at] = is_shut.then(|| self.shut_since[at].unwrap_or(now));
            found.push(presence);
        }
        Ok(found)
    }

    async fn knock(&self, door: &Door) -> Result<Vec<u8>, ErrorKind> {
        let probe = match door.kind {
            DoorKind::Etcd => &self.etcd,
            DoorKind::Apiserver | DoorKind::LoadBalancer => &self.cluster,
        };
        probe.shake_hands(door.address).await
    }

    /// The doors that may still open to a cluster, in words.
    fn still_open(&self, found: &[Presence]) -> Vec<String> {
        let now = self.cx.sys.clock.monotonic();
        let mut open = Vec::new();
        for ((door, presence), shut_since) in self.doors.iter().zip(found).zip(&self.shut_since) {
            let met = match presence {
                Presence::Stands => continue,
                Presence::Absent => {
                    let since = shut_since.unwrap_or(now);
                    let is_proof = now.saturating_sub(since) >= self.refusal;
                    if is_proof || door.kind == DoorKind::LoadBalancer {
                        continue;
                    }
                    format!("refuses connections, for {} s yet", self.refusal.as_secs())
                }
                Presence::Unknown(_) if now.saturating_sub(self.begin) >= SEARCH => continue,
                Presence::Unknown(kind) => format!("{kind}, {} s at most", SEARCH.as_secs()),
                Presence::Undecided(kind) => kind.to_string(),
            };
            open.push(format!("{door}: {met}"));
        }
        open
    }
}

/// None beside new keys: nobody who refuses connections can be a member that reboots.
fn refusal_that_proves(cx: &Context) -> Duration {
    let is_new = |made| cx.sys.clock.now_ms() < made + KEYS_ARE_NEW_MS;
    if keys_made_ms(cx).is_some_and(is_new) {
        Duration::ZERO
    } else {
        REFUSED
    }
}

fn doors(cx: &Context) -> Vec<Door> {
    let door = |who: &str, address: IpAddr, port, kind| Door {
        who: who.to_owned(),
        address: SocketAddr::new(address, port),
        kind,
    };
    let balancer = cx.node.endpoint.port;
    let of_peers = cx.node.peers().flat_map(|peer| {
        [
            (APISERVER_PORT, DoorKind::Apiserver),
            (ETCD_CLIENT_PORT, DoorKind::Etcd),
            (balancer, DoorKind::LoadBalancer),
        ]
        .map(|(port, kind)| door(&peer.name, peer.address, port, kind))
    });
    let vip = door(
        "the VIP",
        cx.node.endpoint.vip,
        balancer,
        DoorKind::LoadBalancer,
    );
    of_peers.chain([vip]).collect()
}

/// What an answer says about who is behind a door.
#[derive(Debug)]
enum Presence {
    /// A part of this cluster.
    Stands,
    /// The machine is there, and nobody listens; or a load balancer that has nobody to lead to.
    Absent,
    /// Somebody who has not said who it is.
    Undecided(ErrorKind),
    /// Perhaps a machine that is off, perhaps a network that is not there yet.
    Unknown(ErrorKind),
}

/// Whoever the CA vouches for means that a cluster stands, however sick. Somebody else's cluster is a fault. A load balancer
/// never proves that nobody is there: it may itself be cut off from the cluster, or reboot with it.
fn presence_behind(kind: DoorKind, answer: Result<(), ErrorKind>) -> Result<Presence, ErrorKind> {
    let is_balancer = kind == DoorKind::LoadBalancer;
    let Err(error) = answer else {
        return Ok(Presence::Stands);
    };
    if error.vouches_for_server() {
        return Ok(Presence::Stands);
    }
    Ok(match error {
        ErrorKind::Refused => Presence::Absent,
        // Its machine is asked at its other ports.
        ErrorKind::ClosedInHandshake(_)
        | ErrorKind::NotConnected(_)
        | ErrorKind::ConnectTimeout(_)
            if is_balancer =>
        {
            Presence::Absent
        }
        ErrorKind::NotConnected(_) | ErrorKind::ConnectTimeout(_) => Presence::Unknown(error),
        ErrorKind::UnknownIssuer { .. } | ErrorKind::BadSignature { .. } | ErrorKind::Local(_) => {
            return Err(error);
        }
        _ => Presence::Undecided(error),
    })
}
