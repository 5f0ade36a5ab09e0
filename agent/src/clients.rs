//! Every client of the agent, each made once: certificates minted from the CAs on this node serve for most of their life,
//! and a client is made anew only when its certificate changes.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use ha_kube::https::{HttpsClient, Server};
use ha_kube::{Authority, Identity, Secret};
use ha_wire::paths::PKI_DIR;
use time::{Duration, OffsetDateTime};
use tracing::debug;

use crate::sys::Sys;

/// A minted certificate lives this long: longer than any phase, shorter than a working day.
const MINTED_LIFE: Duration = Duration::hours(2);
/// A node's lives as long as the one that Ignition brings: the kubelet has a certificate of its own long before.
const NODE_LIFE: Duration = Duration::days(1);

/// A CA whose key lies on control planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ca {
    /// The cluster's: an administrator is minted from it. In `system:masters`, because that alone works before kubeadm
    /// has made its role bindings.
    Cluster,
    Etcd,
}

impl Ca {
    fn file(self, suffix: &str) -> String {
        match self {
            Self::Cluster => format!("{PKI_DIR}/ca.{suffix}"),
            Self::Etcd => format!("{PKI_DIR}/etcd/ca.{suffix}"),
        }
    }

    fn organization(self) -> Option<&'static str> {
        match self {
            Self::Cluster => Some("system:masters"),
            Self::Etcd => None,
        }
    }
}

/// What was made so far. Keys are in memory alone and die with the process.
#[derive(Debug, Default)]
pub struct Clients {
    minted: RefCell<BTreeMap<Ca, Minted>>,
    node: RefCell<Option<Minted>>,
    made: RefCell<BTreeMap<(ClientIdentity, Server), KnownClient>>,
}

/// A client certificate and the CA that signed it.
#[derive(Debug, Clone)]
struct Minted {
    identity: Identity,
    ca: String,
    at: OffsetDateTime,
    life: Duration,
}

impl Minted {
    /// Not when less than a quarter of its life is left. A clock that was put back has left its begin behind.
    fn serves_at(&self, now: OffsetDateTime) -> bool {
        (self.at..self.at + self.life * 3 / 4).contains(&now)
    }
}

/// A client with what it was made from.
#[derive(Debug)]
struct KnownClient {
    ca: String,
    cert: String,
    client: HttpsClient,
}

/// Under which identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ClientIdentity {
    Node,
    Minted(Ca),
    /// One that the operator gave: of an external etcd.
    Given,
}

impl Clients {
    /// A client of this server under the node's own identity.
    pub fn of_node(&self, at: impl Into<Server>, ca: &str, me: &Identity) -> Result<HttpsClient> {
        self.client(ClientIdentity::Node, at.into(), ca, me)
    }

    /// A client of this server under an identity minted from a CA of this node.
    pub fn minted(
        &self,
        sys: &Sys,
        node: &str,
        ca: Ca,
        at: impl Into<Server>,
    ) -> Result<HttpsClient> {
        let minted = self.identity(sys, node, ca)?;
        self.client(
            ClientIdentity::Minted(ca),
            at.into(),
            &minted.ca,
            &minted.identity,
        )
    }

    /// A client of `base` under an identity that somebody else's CA signed.
    pub fn given(&self, base: &str, ca: &str, me: &Identity) -> Result<HttpsClient> {
        self.client(ClientIdentity::Given, base.into(), ca, me)
    }

    /// The next client has a certificate of its own: a server did not take the present one.
    pub fn forget_minted(&self, ca: Ca) {
        self.minted.borrow_mut().remove(&ca);
    }

    /// The one that exists while identity and CA are the same, else a new one.
    fn client(
        &self,
        who: ClientIdentity,
        at: Server,
        ca: &str,
        me: &Identity,
    ) -> Result<HttpsClient> {
        let mut made = self.made.borrow_mut();
        let key = (who, at);
        if let Some(known) = made.get(&key)
            && known.cert == me.cert
            && known.ca == ca
        {
            return Ok(known.client.clone());
        }
        let client = HttpsClient::new(key.1.clone(), ca, Some(me))?;
        let new = KnownClient {
            ca: ca.to_owned(),
            cert: me.cert.clone(),
            client: client.clone(),
        };
        made.insert(key, new);
        Ok(client)
    }

    fn identity(&self, sys: &Sys, node: &str, ca: Ca) -> Result<Minted> {
        let now = time_of(sys)?;
        let mut minted = self.minted.borrow_mut();
        if let Some(known) = minted.get(&ca).filter(|known| known.serves_at(now)) {
            return Ok(known.clone());
        }
        let name = (format!("ha-agent:{node}"), ca.organization());
        let new = mint_identity(sys, ca, (&name.0, name.1), MINTED_LIFE, now)?;
        minted.insert(ca, new.clone());
        Ok(new)
    }

    /// This node's own identity, minted from the cluster's CA (control planes only).
    pub fn node_identity(&self, sys: &Sys, node: &str) -> Result<Identity> {
        let now = time_of(sys)?;
        let mut minted = self.node.borrow_mut();
        if let Some(known) = minted.as_ref().filter(|known| known.serves_at(now)) {
            return Ok(known.identity.clone());
        }
        let name = (&*format!("system:node:{node}"), Some("system:nodes"));
        let new = mint_identity(sys, Ca::Cluster, name, NODE_LIFE, now)?;
        Ok(minted.insert(new).identity.clone())
    }
}

fn time_of(sys: &Sys) -> Result<OffsetDateTime> {
    let now_s = sys.clock.now_ms() / 1000;
    Ok(OffsetDateTime::from_unix_timestamp(now_s.cast_signed())?)
}

/// `name` is the common name and the organization.
fn mint_identity(
    sys: &Sys,
    ca: Ca,
    name: (&str, Option<&str>),
    life: Duration,
    now: OffsetDateTime,
) -> Result<Minted> {
    debug!("{} is minted from {}", name.0, ca.file("crt"));
    let read = |suffix: &str| {
        let path = ca.file(suffix);
        let text = sys.files.read(&path)?;
        text.with_context(|| format!("{path} is missing: Ignition did not bring it"))
    };
    let cert = read("crt")?;
    let authority =
        Authority::load(cert.clone(), Secret::new(read("key")?)).with_context(|| ca.file("crt"))?;
    let identity = authority.sign_client(name.0, name.1, life, now)?;
    Ok(Minted {
        identity,
        ca: cert,
        at: now,
        life,
    })
}

#[cfg(test)]
mod tests;
