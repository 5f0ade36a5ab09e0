//! etcd's membership over its JSON gateway, under a client certificate minted from etcd's CA. No etcdctl on the node.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::error::ApiError;
use super::identity::Identity;
use super::pki;
use super::wire::{Body, Wire};
use crate::context::Context;

/// etcd's port for clients.
const PORT: u16 = 2379;

/// etcd at one or more addresses; the first that answers counts.
#[derive(Debug)]
pub struct Etcd {
    wires: Vec<Wire>,
}

/// A member as etcd lists it. Numbers travel as decimal strings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Member {
    /// Its id, decimal.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name; empty until it has started once.
    pub name: String,
    /// Where its peers reach it.
    #[serde(rename = "peerURLs")]
    pub peer_urls: Vec<String>,
    /// True until it votes.
    #[serde(rename = "isLearner", deserialize_with = "null_is_false")]
    pub is_learner: bool,
}

impl Member {
    /// Whether it ever started.
    pub fn is_started(&self) -> bool {
        !self.name.is_empty()
    }

    /// Whether it started and votes.
    pub fn is_voter(&self) -> bool {
        self.is_started() && !self.is_learner
    }

    /// Whether it is the member of this node, by name or (unstarted ones have none) by address.
    pub fn is_of(&self, name: &str, address: IpAddr) -> bool {
        let host = match address {
            IpAddr::V4(v4) => format!("://{v4}:"),
            IpAddr::V6(v6) => format!("://[{v6}]:"),
        };
        self.name == name || self.peer_urls.iter().any(|url| url.contains(&host))
    }

    /// Its name, or where it is to be.
    pub fn words(&self) -> String {
        if self.is_started() {
            self.name.clone()
        } else {
            self.peer_urls.join(",")
        }
    }
}

/// What one member says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its own id, decimal.
    pub id: String,
    /// The leader's id, decimal; `0`: none.
    pub leader: String,
}

#[derive(Deserialize)]
struct Members {
    #[serde(default)]
    members: Vec<Member>,
}

fn null_is_false<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<bool>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Etcd {
    /// etcd on these nodes.
    pub fn on(cx: &Context, addresses: impl IntoIterator<Item = IpAddr>) -> Result<Self> {
        let name = pki("etcd/ca.crt");
        let ca = cx
            .sys
            .files
            .read(&name)?
            .with_context(|| format!("{name} is missing: Ignition did not bring it"))?;
        let me = Identity::etcd_client(cx)?;
        let urls = addresses
            .into_iter()
            .map(|a| format!("https://{}", std::net::SocketAddr::new(a, PORT)));
        Ok(Self::at(urls, &ca, &me)?)
    }

    /// etcd at these URLs.
    pub fn at(
        urls: impl IntoIterator<Item = String>,
        ca: &str,
        me: &Identity,
    ) -> Result<Self, ApiError> {
        let wires = urls
            .into_iter()
            .map(|url| Wire::new(&url, ca, Some(me)))
            .collect::<Result<_, _>>()?;
        Ok(Self { wires })
    }

    /// All members, as the quorum sees them.
    pub async fn members(&self) -> Result<Vec<Member>, ApiError> {
        let list: Members = self
            .ask("/v3/cluster/member/list", &json!({"linearizable": true}))
            .await?;
        Ok(list.members)
    }

    /// All members, as the first member that answers knows them; answers without a quorum too.
    pub async fn members_as_known(&self) -> Result<Vec<Member>, ApiError> {
        let list: Members = self
            .ask("/v3/cluster/member/list", &json!({"linearizable": false}))
            .await?;
        Ok(list.members)
    }

    /// Removes a member; fine if it is not there.
    pub async fn remove(&self, id: &str) -> Result<(), ApiError> {
        match self
            .ask::<Value>("/v3/cluster/member/remove", &json!({"ID": id}))
            .await
        {
            Err(e) if e.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// What the first member that answers says about itself.
    pub async fn status(&self) -> Result<MemberStatus, ApiError> {
        let value: Value = self.ask("/v3/maintenance/status", &json!({})).await?;
        let text = |v: Option<&Value>| v.and_then(Value::as_str).unwrap_or("0").to_owned();
        Ok(MemberStatus {
            id: text(value.pointer("/header/member_id")),
            leader: text(value.get("leader")),
        })
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, ApiError> {
        let mut last = ApiError::Local("no etcd member is known".into());
        for wire in &self.wires {
            match wire.json(Method::POST, path, Body::json(body)?).await {
                Ok(answer) => return Ok(answer),
                // The quorum's word is the same everywhere; only silence or sickness is a reason to ask the next one.
                Err(e) if e.is_not_found() => return Err(e),
                Err(e) => last = e,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
#[path = "etcd_tests.rs"]
mod tests;
