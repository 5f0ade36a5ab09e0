//! Alarms that etcd has raised.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Between the kind and the member, in the status.
const OF: &str = " of ";

/// An alarm of etcd and whose it is. In the status: `NOSPACE of node2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct EtcdAlarm {
    /// What etcd complains of.
    pub kind: AlarmKind,
    /// The member's name, or `member ID`; empty: not known.
    pub member: String,
}

/// etcd's kinds of alarms (`AlarmType` of its API).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlarmKind {
    /// The database is at its quota: nothing can be written.
    NoSpace,
    /// The member's data differs from the others'.
    Corrupt,
    /// One that a newer etcd knows, by its name.
    Other(String),
}

impl From<&str> for AlarmKind {
    fn from(name: &str) -> Self {
        match name {
            "NOSPACE" => Self::NoSpace,
            "CORRUPT" => Self::Corrupt,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpace => "NOSPACE",
            Self::Corrupt => "CORRUPT",
            Self::Other(name) => name,
        })
    }
}

impl EtcdAlarm {
    /// `kind`: etcd's own name for it.
    pub fn new(kind: &str, member: String) -> Self {
        let kind = kind.into();
        Self { kind, member }
    }
}

impl From<String> for EtcdAlarm {
    fn from(text: String) -> Self {
        let (kind, member) = text.split_once(OF).unwrap_or((&text, ""));
        Self::new(kind, member.to_owned())
    }
}

impl From<EtcdAlarm> for String {
    fn from(alarm: EtcdAlarm) -> Self {
        alarm.to_string()
    }
}

impl fmt::Display for EtcdAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, member } = self;
        match member.as_str() {
            "" => write!(f, "{kind}"),
            member => write!(f, "{kind}{OF}{member}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_keep_their_form_in_the_status() {
        let cases = [
            ("NOSPACE of node2", AlarmKind::NoSpace, "node2"),
            ("CORRUPT of member 77", AlarmKind::Corrupt, "member 77"),
            ("CORRUPT", AlarmKind::Corrupt, ""),
            (
                "NOSPACED of node1",
                AlarmKind::Other("NOSPACED".to_owned()),
                "node1",
            ),
        ];
        for (text, kind, member) in cases {
            let json = format!("{text:?}");
            let alarm: EtcdAlarm = serde_json::from_str(&json).unwrap();
            assert_eq!((&alarm.kind, alarm.member.as_str()), (&kind, member));
            assert_eq!(serde_json::to_string(&alarm).unwrap(), json);
        }
    }
}
