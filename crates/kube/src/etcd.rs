//! etcd's membership over its JSON gateway, under a client certificate from etcd's CA: no etcdctl needed.

use std::net::IpAddr;
use std::time::Duration;

mod claim;

#[cfg(feature = "testing")]
pub use claim::answer_before;
pub use claim::{Claim, Claimed};
use reqwest::Method;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::Identity;
use crate::error::{ApiError, ErrorKind};
use crate::https::{Body, HttpsClient};

/// etcd at one or more addresses; the first that answers counts.
#[derive(Debug, Clone)]
pub struct Etcd {
    servers: Vec<HttpsClient>,
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
    /// Where it serves clients; empty until it has started once.
    #[serde(rename = "clientURLs")]
    pub client_urls: Vec<String>,
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
        self.name == name || self.is_at(address)
    }

    /// Whether its peers reach it at this address.
    pub fn is_at(&self, address: IpAddr) -> bool {
        let host = match address {
            IpAddr::V4(v4) => format!("://{v4}:"),
            IpAddr::V6(v6) => format!("://[{v6}]:"),
        };
        self.peer_urls.iter().any(|url| url.contains(&host))
    }

    /// Its name, or where it is to be.
    pub fn label(&self) -> String {
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
    /// Its version, e.g. `3.7.0`; empty: it does not say.
    pub version: String,
    /// The leader's id, decimal; `0`: none.
    pub leader: String,
    /// Raft's term, which each election of a leader raises; none: it does not say.
    pub term: Option<u64>,
    /// What its database takes on the disk, bytes; none: it does not say.
    pub database_bytes: Option<u64>,
    /// What its database may take, bytes; none: it does not say (etcd before 3.6; up to 3.6.5 where it has its default).
    pub quota_bytes: Option<u64>,
}

/// An alarm that etcd has raised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Alarm {
    /// Whose it is: an id, decimal.
    #[serde(rename = "memberID")]
    pub member: String,
    /// `NOSPACE` or `CORRUPT`.
    #[serde(rename = "alarm")]
    pub kind: String,
}

/// The answer to `/v3/maintenance/alarm`.
#[derive(Debug, Clone, Deserialize)]
struct AlarmList {
    #[serde(default)]
    alarms: Vec<Alarm>,
}

impl MemberStatus {
    /// False while it is cut off from the others.
    pub fn knows_leader(&self) -> bool {
        !matches!(self.leader.as_str(), "" | "0")
    }
}

/// The answer to `/v3/cluster/member/list`.
#[derive(Debug, Clone, Deserialize)]
pub struct MemberList {
    /// The members.
    #[serde(default)]
    pub members: Vec<Member>,
}

/// A number as the gateway writes it, a decimal string; none: it is not there, or nought, which stands for not there.
fn nonzero_number(value: Option<&Value>) -> Option<u64> {
    let number = value?.as_str()?.parse().ok()?;
    (number > 0).then_some(number)
}

fn null_is_false<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<bool>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Etcd {
    /// etcd at these URLs.
    pub fn at(
        urls: impl IntoIterator<Item = String>,
        ca: &str,
        me: &Identity,
    ) -> Result<Self, ApiError> {
        let servers = urls
            .into_iter()
            .map(|url| HttpsClient::new(&url, ca, Some(me)))
            .collect::<Result<_, _>>()?;
        Ok(Self { servers })
    }

    /// etcd behind clients that exist already.
    pub fn over(servers: Vec<HttpsClient>) -> Self {
        Self { servers }
    }

    /// The same with another deadline for each request.
    pub fn within(self, deadline: Duration) -> Self {
        let servers = self.servers.into_iter();
        Self {
            servers: servers.map(|s| s.within(deadline)).collect(),
        }
    }

    /// All members, as the quorum sees them.
    pub async fn members(&self) -> Result<Vec<Member>, ApiError> {
        let list: MemberList = self
            .ask("/v3/cluster/member/list", &json!({"linearizable": true}))
            .await?;
        Ok(list.members)
    }

    /// All members, as the first member that answers knows them; answers without a quorum too.
    pub async fn members_as_known(&self) -> Result<Vec<Member>, ApiError> {
        let list: MemberList = self
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
        let text = |v: Option<&Value>, or: &str| v.and_then(Value::as_str).unwrap_or(or).to_owned();
        Ok(MemberStatus {
            id: text(value.pointer("/header/member_id"), "0"),
            version: text(value.get("version"), ""),
            leader: text(value.get("leader"), "0"),
            term: nonzero_number(value.get("raftTerm")),
            database_bytes: nonzero_number(value.get("dbSize")),
            quota_bytes: nonzero_number(value.get("dbSizeQuota")),
        })
    }

    /// The alarms of all members.
    pub async fn alarms(&self) -> Result<Vec<Alarm>, ApiError> {
        let question = json!({"action": "GET"});
        let list: AlarmList = self.ask("/v3/maintenance/alarm", &question).await?;
        Ok(list.alarms)
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, ApiError> {
        let mut last = ApiError::new(path, ErrorKind::Local("no etcd member is known".into()));
        for server in &self.servers {
            match server.json(Method::POST, path, Body::json(body)).await {
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
mod tests;
