//! Which certificates lie on this node, and when each of them ends.

use std::time::UNIX_EPOCH;

use anyhow::{Result, bail};
use ha_kube::kubeconfig::Kubeconfig;
use ha_wire::paths;
use ha_wire::status::{CertificateExpiry, Renewal};

use crate::context::Context;
use crate::kube::{KUBELET_PEM, certs, pki_file};
use crate::sys::files::Files;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// A certificate is renewed when less than this is left, or a third of its own life if that is shorter.
const RENEWED_BEFORE_MS: u64 = 30 * DAY_MS;
/// Nobody renews an authority in a hurry: every kubeconfig and every node has its certificate.
const AUTHORITY_LATE_MS: u64 = 365 * DAY_MS;
/// The kubelet renews its own when between a tenth and three tenths of its life are left.
const KUBELET_LATE: u64 = 20;

/// kubeadm's authorities, each with the name of its files; none of them can be renewed.
const AUTHORITIES: [(&str, &str); 3] = [
    ("ca", "ca"),
    ("front-proxy-ca", "front-proxy-ca"),
    ("etcd-ca", ETCD_CA),
];
const ETCD_CA: &str = "etcd/ca";
/// Of an etcd that is somebody else's.
const EXTERNAL_ETCD: [(&str, &str); 2] = [
    ("external-etcd-client", paths::EXTERNAL_ETCD_CERT),
    ("external-etcd-ca", paths::EXTERNAL_ETCD_CA),
];

/// Something that kubeadm made with an end, and can renew.
#[derive(Debug, PartialEq, Eq)]
pub struct Renewable {
    /// As kubeadm calls it.
    pub name: &'static str,
    /// The authority that signs it, by the name of its files.
    pub authority: &'static str,
    place: Place,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// `NAME.crt` and `NAME.key` below kubeadm's PKI directory.
    Pair(&'static str),
    /// In the kubeconfig of its name.
    Kubeconfig,
}

const fn key_pair_renewable(
    name: &'static str,
    file: &'static str,
    authority: &'static str,
) -> Renewable {
    let place = Place::Pair(file);
    Renewable {
        name,
        authority,
        place,
    }
}

const fn kubeconfig_renewable(name: &'static str) -> Renewable {
    Renewable {
        name,
        authority: "ca",
        place: Place::Kubeconfig,
    }
}

/// All that `kubeadm certs renew all` renews.
pub const RENEWABLE: [Renewable; 11] = [
    key_pair_renewable("etcd-server", "etcd/server", ETCD_CA),
    key_pair_renewable("etcd-peer", "etcd/peer", ETCD_CA),
    key_pair_renewable(
        "etcd-healthcheck-client",
        "etcd/healthcheck-client",
        ETCD_CA,
    ),
    key_pair_renewable("apiserver-etcd-client", "apiserver-etcd-client", ETCD_CA),
    key_pair_renewable("apiserver", "apiserver", "ca"),
    key_pair_renewable("apiserver-kubelet-client", "apiserver-kubelet-client", "ca"),
    key_pair_renewable("front-proxy-client", "front-proxy-client", "front-proxy-ca"),
    kubeconfig_renewable(CONTROLLER_MANAGER_CONF),
    kubeconfig_renewable(SCHEDULER_CONF),
    kubeconfig_renewable("admin.conf"),
    kubeconfig_renewable("super-admin.conf"),
];

pub const CONTROLLER_MANAGER_CONF: &str = "controller-manager.conf";
pub const SCHEDULER_CONF: &str = "scheduler.conf";

/// How a certificate lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Absent,
    Sound(Validity),
    /// The key beside it is missing or another one's: whoever wrote the two was cut off.
    OtherKey(Validity),
    /// The certificate itself is no certificate.
    Unreadable,
    /// A kubeconfig that names its user by other means than kubeadm's: not ours to touch.
    Foreign,
}

/// From when until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub from_ms: u64,
    pub until_ms: u64,
}

impl Validity {
    fn of_pem(pem: &str) -> Option<Self> {
        let (from_ms, until_ms) = certs::validity_of_ms(pem)?;
        Some(Self { from_ms, until_ms })
    }

    /// What kubeadm first writes into a kubeconfig is valid from its authority's begin on: its own life began when it was
    /// written.
    fn begun_at(self, written_ms: Option<u64>) -> Self {
        let from_ms = written_ms
            .filter(|at| *at < self.until_ms)
            .map_or(self.from_ms, |at| at.max(self.from_ms));
        Self { from_ms, ..self }
    }

    fn limit_ms(self) -> u64 {
        RENEWED_BEFORE_MS.min(self.until_ms.saturating_sub(self.from_ms) / 3)
    }

    /// To be renewed now. One that is not valid yet was made while the clock was ahead.
    pub fn is_due(self, now_ms: u64) -> bool {
        now_ms + self.limit_ms() > self.until_ms || self.from_ms > now_ms
    }

    /// To be renewed together with one that is due: they were made together, and each round costs two restarts.
    pub fn is_nearly_due(self, now_ms: u64) -> bool {
        self.is_due(now_ms + self.limit_ms() / 10)
    }

    /// A third of the time for it is left.
    pub fn is_pressing(self, now_ms: u64) -> bool {
        now_ms + self.limit_ms() / 3 > self.until_ms
    }

    pub fn has_ended(self, now_ms: u64) -> bool {
        now_ms >= self.until_ms
    }

    /// When half of the time for it has gone, a person should know.
    fn late_ms(self) -> u64 {
        self.until_ms - self.limit_ms() / 2
    }
}

impl Renewable {
    /// Where it lies.
    pub fn files(&self) -> Vec<String> {
        match self.place {
            Place::Pair(file) => vec![
                pki_file(&format!("{file}.crt")),
                pki_file(&format!("{file}.key")),
            ],
            Place::Kubeconfig => vec![kubeconfig_file(self.name)],
        }
    }

    pub fn authority_key(&self) -> String {
        pki_file(&format!("{}.key", self.authority))
    }

    /// Whether it is made for an etcd on the control planes.
    pub fn is_of_etcd(&self) -> bool {
        self.authority == ETCD_CA
    }

    /// The phase of `kubeadm init` that makes it anew.
    pub fn phase(&self) -> [&'static str; 2] {
        match self.place {
            Place::Pair(_) => ["certs", self.name],
            Place::Kubeconfig => ["kubeconfig", self.name.trim_end_matches(".conf")],
        }
    }

    /// Whether a control plane cannot do without it. The administrator's files belong to who removes them.
    pub fn is_needed(&self) -> bool {
        !matches!(self.name, "admin.conf" | "super-admin.conf")
    }

    pub fn condition(&self, files: &Files) -> Result<Condition> {
        let names = self.files();
        let Some(text) = files.read(&names[0])? else {
            return Ok(Condition::Absent);
        };
        let (cert, key) = match self.place {
            Place::Pair(_) => (text, files.read(&names[1])?.unwrap_or_default()),
            Place::Kubeconfig => {
                let config = Kubeconfig::parse(&text).ok();
                if config
                    .as_ref()
                    .is_some_and(Kubeconfig::has_user_without_certificate)
                {
                    return Ok(Condition::Foreign);
                }
                let Some(me) = config.and_then(|c| c.client_identity()) else {
                    return Ok(Condition::Unreadable);
                };
                (me.cert, me.key.expose().to_owned())
            }
        };
        let validity = Validity::of_pem(&cert).map(|v| match self.place {
            Place::Pair(_) => v,
            Place::Kubeconfig => v.begun_at(written_ms(files, &names[0])),
        });
        Ok(match validity {
            None => Condition::Unreadable,
            Some(validity) if certs::is_key_pair(&cert, &key) => Condition::Sound(validity),
            Some(validity) => Condition::OtherKey(validity),
        })
    }
}

/// When a file was last written.
pub fn written_ms(files: &Files, name: &str) -> Option<u64> {
    let modified = files.open(name).ok()?.metadata().ok()?.modified().ok()?;
    let since = modified.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// A kubeconfig of kubeadm's.
pub fn kubeconfig_file(name: &str) -> String {
    format!("/etc/kubernetes/{name}")
}

/// A certificate of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCertificate {
    pub expiry: CertificateExpiry,
    pub renewed_by: RenewedBy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewedBy {
    Agent,
    Kubelet,
    /// An authority: neither kubeadm nor the agent makes another one.
    Nobody,
    /// Whoever runs an external etcd.
    Operator,
}

/// How far a certificate is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lateness {
    InTime,
    /// Who renews it should have done so by now.
    Late,
    Ended,
}

impl NodeCertificate {
    fn new(name: &str, validity: Validity, renewed_by: RenewedBy) -> Self {
        let Validity { from_ms, until_ms } = validity;
        let margin_ms = match renewed_by {
            RenewedBy::Agent => until_ms - validity.late_ms(),
            RenewedBy::Kubelet => until_ms.saturating_sub(from_ms) / KUBELET_LATE,
            RenewedBy::Nobody => AUTHORITY_LATE_MS,
            RenewedBy::Operator => validity.limit_ms(),
        };
        let expiry = CertificateExpiry {
            name: name.to_owned(),
            at_ms: until_ms,
            late_ms: Some(until_ms.saturating_sub(margin_ms)),
        };
        Self { expiry, renewed_by }
    }

    pub fn lateness(&self, now_ms: u64) -> Lateness {
        match &self.expiry {
            e if now_ms >= e.at_ms => Lateness::Ended,
            e if e.late_ms.is_some_and(|late| now_ms >= late) => Lateness::Late,
            _ => Lateness::InTime,
        }
    }

    /// An authority's last year is for people who plan: nothing is broken yet.
    fn is_fault(&self, now_ms: u64) -> bool {
        match self.renewed_by {
            RenewedBy::Nobody => now_ms + RENEWED_BEFORE_MS > self.expiry.at_ms,
            RenewedBy::Agent | RenewedBy::Kubelet | RenewedBy::Operator => {
                self.lateness(now_ms) != Lateness::InTime
            }
        }
    }

    /// Where to begin.
    pub fn remedy(&self) -> &'static str {
        match self.renewed_by {
            RenewedBy::Agent => BY_HAND,
            RenewedBy::Kubelet => "journalctl -u kubelet says why it does not renew its own",
            RenewedBy::Operator => EXTERNAL_ETCD_REMEDY,
            RenewedBy::Nobody => "the cluster ends with its authorities: plan another one",
        }
    }
}

/// kube-apiserver reads them again only when it starts.
const EXTERNAL_ETCD_REMEDY: &str = "whoever runs the external etcd signs another one; copy it to /etc/kubernetes/pki/external-etcd on \
     each control plane, one after the other, and move kube-apiserver.yaml out of /etc/kubernetes/manifests for half a minute";

/// Every certificate of this node, the nearest end first.
pub fn node_certificates(files: &Files) -> Result<Vec<NodeCertificate>> {
    let mut all = Vec::new();
    for certificate in &RENEWABLE {
        if let Condition::Sound(v) | Condition::OtherKey(v) = certificate.condition(files)? {
            all.push(NodeCertificate::new(certificate.name, v, RenewedBy::Agent));
        }
    }
    for (name, file) in AUTHORITIES {
        let pem = files.read(&pki_file(&format!("{file}.crt")))?;
        let validity = pem.and_then(|pem| Validity::of_pem(&pem));
        all.extend(validity.map(|v| NodeCertificate::new(name, v, RenewedBy::Nobody)));
    }
    for (name, file) in EXTERNAL_ETCD {
        let validity = files.read(file)?.and_then(|pem| Validity::of_pem(&pem));
        all.extend(validity.map(|v| NodeCertificate::new(name, v, RenewedBy::Operator)));
    }
    let pem = files.read(KUBELET_PEM)?;
    let validity = pem.and_then(|pem| Validity::of_pem(&pem));
    all.extend(validity.map(|v| NodeCertificate::new("kubelet", v, RenewedBy::Kubelet)));
    all.sort_by_key(|c| c.expiry.at_ms);
    Ok(all)
}

/// What a person does when the agent cannot: both halves of it.
const BY_HAND: &str = "by hand on this node: kubeadm certs renew all; then take kube-controller-manager.yaml and \
     kube-scheduler.yaml out of /etc/kubernetes/manifests, one after the other, for half a minute each";

/// Tells all ends. A fault: a renewal that failed, or an end that is near although somebody should have renewed it.
pub fn check_ends(cx: &Context) -> Result<()> {
    let all = node_certificates(&cx.sys.files)?;
    let expiries: Vec<CertificateExpiry> = all.iter().map(|c| c.expiry.clone()).collect();
    let mut renewal = Renewal::default();
    cx.report.update_status(|status| {
        status.first_expiry = expiries.first().cloned();
        status.certificates = expiries;
        renewal.clone_from(&status.renewal);
    });
    if renewal.failed {
        bail!("not renewed: {}; {BY_HAND}", renewal.words);
    }
    let now = cx.sys.clock.now_ms();
    let Some(late) = all.iter().find(|c| c.is_fault(now)) else {
        return Ok(());
    };
    let (end, remedy) = (describe_end(late.expiry.at_ms, now), late.remedy());
    let why = match renewal.words.as_str() {
        "" => String::new(),
        words => format!(" ({words})"),
    };
    bail!("{} {end}{why}; {remedy}", late.expiry.name)
}

/// `ended 3 d ago`, `ends in 20 d`.
pub fn describe_end(at_ms: u64, now_ms: u64) -> String {
    match at_ms.checked_sub(now_ms) {
        None | Some(0) => format!("ended {} ago", human_span(now_ms - at_ms)),
        Some(left) => format!("ends in {}", human_span(left)),
    }
}

/// A span in its largest sensible unit.
pub fn human_span(ms: u64) -> String {
    match ms / 1000 {
        s @ ..120 => format!("{s} s"),
        s @ ..7200 => format!("{} min", s / 60),
        s @ ..172_800 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}
