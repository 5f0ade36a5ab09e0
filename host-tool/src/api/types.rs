//! The few fields that are read of Kubernetes' and etcd's answers.

use serde::Deserialize;

use super::look::{Member, Seen};

/// Any list.
#[derive(Debug, Deserialize)]
pub struct List<T> {
    /// What is listed.
    pub items: Vec<T>,
}

/// A Node object.
#[derive(Debug, Deserialize)]
pub struct Node {
    /// Its name.
    pub metadata: Metadata,
    #[serde(default)]
    status: Status,
}

/// An object's metadata.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Its name.
    pub name: String,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    message: String,
}

impl Node {
    /// What matters of it.
    pub fn seen(self) -> Seen {
        match self
            .status
            .conditions
            .into_iter()
            .find(|c| c.kind == "Ready")
        {
            Some(c) => Seen {
                ready: c.status == "True",
                reason: c.message,
            },
            None => Seen {
                ready: false,
                reason: "its kubelet has not reported yet".to_owned(),
            },
        }
    }
}

/// etcd's member list.
#[derive(Debug, Deserialize)]
pub struct Members {
    /// The members.
    #[serde(default)]
    pub members: Vec<RawMember>,
}

/// A member as etcd's JSON gateway says it: false and empty fields are left out.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawMember {
    #[serde(default)]
    name: String,
    #[serde(default)]
    is_learner: bool,
}

impl From<RawMember> for Member {
    fn from(raw: RawMember) -> Self {
        Self {
            name: raw.name,
            voter: !raw.is_learner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_real_answers() {
        let list = r#"{"kind":"NodeList","items":[
            {"metadata":{"name":"node1","uid":"x"},"status":{"conditions":[
                {"type":"MemoryPressure","status":"False"},
                {"type":"Ready","status":"True","reason":"KubeletReady","message":"kubelet is posting ready status"}]}},
            {"metadata":{"name":"node2"},"status":{}}]}"#;
        let list: List<Node> = serde_json::from_str(list).unwrap();
        let seen: Vec<Seen> = list.items.into_iter().map(Node::seen).collect();
        assert!(seen[0].ready && !seen[1].ready);
        let members = r#"{"header":{"cluster_id":"1"},"members":[{"ID":"9","name":"node1","peerURLs":["https://x"]},
            {"ID":"10","peerURLs":["https://y"],"isLearner":true}]}"#;
        let members: Members = serde_json::from_str(members).unwrap();
        let members: Vec<Member> = members.members.into_iter().map(Into::into).collect();
        assert_eq!(
            members[0],
            Member {
                name: "node1".into(),
                voter: true
            }
        );
        assert_eq!(
            members[1],
            Member {
                name: String::new(),
                voter: false
            }
        );
    }
}
