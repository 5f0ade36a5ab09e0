//! Whether a cluster stands: every other control plane is asked at its apiserver's, etcd's and load balancer's port, and the
//! VIP, until each has said itself that it is in none, or the time for it is over.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::{join, join_all};
use ha_kube::handshake::HandshakeProbe;
use ha_kube::{APISERVER_NAME, ApiError, ETCD_CLIENT_PORT};
use ha_wire::phase::Phase;

use crate::context::Context;
use crate::kube::error::ErrorKind;
use crate::kube::{certs, cluster_ca, pki_file};
use crate::phases::no_cluster;

/// Nothing is founded earlier beside a control plane that has not said that it is in no cluster: a switch lets a new link wait
/// for 30 s, and a member that reboots refuses connections until its etcd runs.
const SEARCH: Duration = Duration::from_secs(90);
/// Looks in a row that find somebody who accepts connections and is nobody: the next attempt begins with all of them.
const UNDECIDED_LOOKS: u32 = 3;
/// Between two looks. A machine that comes up is met by the next.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// A name in the certificate of every etcd that kubeadm sets up.
const ETCD_NAME: &str = "localhost";

/// Who answers under this cluster's CA; none: no cluster stands, as far as can be known.
pub async fn find_cluster(cx: &Context) -> Result<Option<String>> {
    let mut search = Search::begin(cx)?;
    let mut undecided_looks = 0;
    loop {
        let found = search.ask_doors().await?;
        let stands = found.iter().position(|p| matches!(p, DoorAnswer::Stands));
        if let Some(who) = stands {
            return Ok(Some(search.doors[who].to_string()));
        }
        let open = search.still_open(&found);
        if open.is_empty() {
            return Ok(None);
        }
        let is_undecided = search.meets_somebody(&found);
        undecided_looks = if is_undecided { undecided_looks + 1 } else { 0 };
        if undecided_looks == UNDECIDED_LOOKS {
            let who = open.join(", ");
            bail!(
                "{who}: somebody is there, and it may be this cluster: nothing is founded beside it"
            );
        }
        let what = format!("a word of {}: a cluster may stand there", open.join(", "));
        cx.report.waiting(Phase::Init, &what, "");
        cx.sys.clock.sleep(POLL_INTERVAL).await;
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
    /// Somebody else's: it accepts connections whoever is behind it, or nobody.
    OutsideBalancer,
}

struct Search<'a> {
    cx: &'a Context,
    begin: Duration,
    cluster: HandshakeProbe,
    /// None: no node runs etcd.
    etcd: Option<HandshakeProbe>,
    doors: Vec<Door>,
    /// The peers that said at this look that they are in no cluster.
    in_none: Vec<String>,
    /// The certificate of this node's own apiserver, to which the VIP may lead.
    own: Option<Vec<u8>>,
}

impl<'a> Search<'a> {
    fn begin(cx: &'a Context) -> Result<Self> {
        let own = cx.sys.files.read(&pki_file("apiserver.crt"))?;
        Ok(Self {
            cx,
            begin: cx.sys.clock.monotonic(),
            cluster: HandshakeProbe::new(&cluster_ca(cx)?, APISERVER_NAME)?,
            etcd: etcd_probe(cx)?,
            in_none: Vec::new(),
            doors: doors_to_search(cx),
            own: own.and_then(|pem| certs::certificates_in(&pem).into_iter().next()),
        })
    }

    /// One look at every door at once, in their order.
    async fn ask_doors(&mut self) -> Result<Vec<DoorAnswer>> {
        let probes = join_all(self.doors.iter().map(|door| self.probe_door(door)));
        let (answers, in_none) = join(probes, self.ask_peers()).await;
        self.in_none = in_none;
        let mut found = Vec::with_capacity(answers.len());
        for (door, answer) in self.doors.iter().zip(answers) {
            let presence = match answer {
                Ok(shown) if self.own.as_ref() == Some(&shown) => DoorAnswer::NoWord,
                answer => answer_behind(door.kind, answer.map(drop))
                    .map_err(|kind| ApiError::new(&door.to_string(), kind))?,
            };
            found.push(presence);
        }
        Ok(found)
    }

    /// The names of those who say that they are in no cluster.
    async fn ask_peers(&self) -> Vec<String> {
        let asked = self.cx.node.peers().map(|peer| async move {
            let said = no_cluster::peer_says_so(self.cx, peer).await;
            said.then(|| peer.name.clone())
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn probe_door(&self, door: &Door) -> Result<Vec<u8>, ErrorKind> {
        let of_etcd = self.etcd.as_ref().filter(|_| door.kind == DoorKind::Etcd);
        let probe = of_etcd.unwrap_or(&self.cluster);
        probe.shake_hands(door.address).await
    }

    /// Whether somebody accepts connections who has not said who it is.
    fn meets_somebody(&self, found: &[DoorAnswer]) -> bool {
        let mut doors = self.doors.iter().zip(found);
        doors.any(|(door, presence)| {
            matches!(presence, DoorAnswer::Undecided(_)) && !self.in_none.contains(&door.who)
        })
    }

    /// The doors that may still open to a cluster, in words.
    fn still_open(&self, found: &[DoorAnswer]) -> Vec<String> {
        let is_over = self.cx.sys.clock.monotonic().saturating_sub(self.begin) >= SEARCH;
        let mut open = Vec::new();
        for (door, presence) in self.doors.iter().zip(found) {
            match presence {
                _ if self.in_none.contains(&door.who) => {}
                DoorAnswer::Stands | DoorAnswer::NoWord => {}
                DoorAnswer::Unknown(_) if is_over => {}
                DoorAnswer::Unknown(kind) => {
                    let seconds = SEARCH.as_secs();
                    open.push(format!("{door}: {kind}, {seconds} s at most"));
                }
                DoorAnswer::Undecided(kind) => open.push(format!("{door}: {kind}")),
            }
        }
        open
    }
}

fn etcd_probe(cx: &Context) -> Result<Option<HandshakeProbe>> {
    if cx.node.has_external_etcd() {
        return Ok(None);
    }
    let ca = pki_file("etcd/ca.crt");
    let ca = cx.sys.files.read(&ca)?.with_context(|| {
        format!("{ca} is missing: Ignition did not bring etcd's CA certificate")
    })?;
    Ok(Some(HandshakeProbe::new(&ca, ETCD_NAME)?))
}

fn doors_to_search(cx: &Context) -> Vec<Door> {
    let door = |who: &str, address: IpAddr, port, kind| Door {
        who: who.to_owned(),
        address: SocketAddr::new(address, port),
        kind,
    };
    let (balancer, apiserver) = (cx.node.endpoint.port, cx.node.endpoint.apiserver_port);
    // Control planes are alike: what this one runs, the others run.
    let of_balancer = cx.node.runs_balancer();
    let of_balancer = of_balancer.then_some((balancer, DoorKind::LoadBalancer));
    let of_peers = cx.node.peers().flat_map(|peer| {
        let own = [
            (apiserver, DoorKind::Apiserver),
            (ETCD_CLIENT_PORT, DoorKind::Etcd),
        ];
        let all = own.into_iter().chain(of_balancer);
        all.map(|(port, kind)| door(&peer.name, peer.address, port, kind))
    });
    let (who, kind) = match cx.node.has_external_balancer() {
        true => ("the endpoint", DoorKind::OutsideBalancer),
        false => ("the VIP", DoorKind::LoadBalancer),
    };
    let vip = door(who, cx.node.endpoint.vip, balancer, kind);
    let runs_etcd = !cx.node.has_external_etcd();
    let of_peers = of_peers.filter(|door| runs_etcd || door.kind != DoorKind::Etcd);
    of_peers.chain([vip]).collect()
}

/// What an answer says about who is behind a door.
#[derive(Debug)]
enum DoorAnswer {
    /// A part of this cluster.
    Stands,
    /// A load balancer that leads to nobody: it says nothing, and its machine is asked at its other ports.
    NoWord,
    /// Somebody who has not said who it is.
    Undecided(ErrorKind),
    /// Perhaps a machine that is off or boots, perhaps a network that is not there yet.
    Unknown(ErrorKind),
}

/// Whoever the CA vouches for means that a cluster stands, however sick. Somebody else's cluster is a fault. A load balancer
/// never proves that nobody is there: it may itself be cut off from the cluster, or reboot with it.
fn answer_behind(kind: DoorKind, answer: Result<(), ErrorKind>) -> Result<DoorAnswer, ErrorKind> {
    let is_balancer = matches!(kind, DoorKind::LoadBalancer | DoorKind::OutsideBalancer);
    let Err(error) = answer else {
        return Ok(DoorAnswer::Stands);
    };
    if error.vouches_for_server() {
        return Ok(DoorAnswer::Stands);
    }
    Ok(match error {
        ErrorKind::ClosedInHandshake(_)
        | ErrorKind::Refused
        | ErrorKind::NotConnected(_)
        | ErrorKind::ConnectTimeout(_)
            if is_balancer =>
        {
            DoorAnswer::NoWord
        }
        // One without a living server may keep whoever connects waiting. Its servers are asked themselves.
        ErrorKind::Silent(_) | ErrorKind::Broken(_) if kind == DoorKind::OutsideBalancer => {
            DoorAnswer::NoWord
        }
        ErrorKind::Refused | ErrorKind::NotConnected(_) | ErrorKind::ConnectTimeout(_) => {
            DoorAnswer::Unknown(error)
        }
        ErrorKind::UnknownIssuer { .. } | ErrorKind::BadSignature { .. } | ErrorKind::Local(_) => {
            return Err(error);
        }
        _ => DoorAnswer::Undecided(error),
    })
}
