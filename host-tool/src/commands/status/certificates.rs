//! When the nodes' certificates end, as their agents tell it.

use ha_cluster_file::cluster::Node;
use ha_host_base::text::{Paint, printable_line};
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::node_status::NodeAnswer;

/// The end of one certificate on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateEnd {
    node: String,
    name: String,
    #[serde(serialize_with = "as_rfc3339")]
    ends: OffsetDateTime,
    /// Who renews it should have done so by now.
    late: bool,
}

/// All of them, the nearest end first. Nodes that say nothing are left out.
pub fn certificate_ends(
    nodes: &[Node],
    said: &[NodeAnswer],
    now: OffsetDateTime,
) -> Vec<CertificateEnd> {
    let mut all = Vec::new();
    for (node, said) in nodes.iter().zip(said) {
        let certificates = said.status().map(|s| &s.certificates[..]);
        for certificate in certificates.unwrap_or_default() {
            all.extend(time_of_unix_ms(certificate.at_ms).map(|ends| {
                CertificateEnd {
                    node: node.name.clone(),
                    name: printable_line(&certificate.name),
                    ends,
                    late: certificate
                        .late_ms
                        .and_then(time_of_unix_ms)
                        .is_some_and(|late| late <= now),
                }
            }));
        }
    }
    all.sort_by_key(|c| c.ends);
    all
}

fn time_of_unix_ms(ms: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(i64::try_from(ms / 1000).ok()?).ok()
}

/// One line for each day on which something ends; what is late comes with its nodes, and says so.
pub fn describe_certificates(
    all: &[CertificateEnd],
    now: OffsetDateTime,
    paint: &Paint,
) -> Vec<String> {
    let date = format_description!("[year]-[month]-[day]");
    let day = |c: &CertificateEnd| (c.ends.date(), c.ends < now, c.late);
    let describe = |together: &[CertificateEnd]| {
        let first = together.first()?;
        let word = if first.ends < now { "ended" } else { "until" };
        let line = format!("{word} {}", first.ends.format(&date).ok()?);
        let names = |of: fn(&CertificateEnd) -> &String| {
            let mut names: Vec<&str> = together.iter().map(|c| of(c).as_str()).collect();
            names.sort_unstable();
            names.dedup();
            names.join(", ")
        };
        let line = format!("{line}: {}", names(|c| &c.name));
        Some(match first.late {
            false => line,
            true => {
                let words = format!(
                    "{line} on {} (`ha-agent doctor` there says more)",
                    names(|c| &c.node)
                );
                paint.red(&words)
            }
        })
    };
    all.chunk_by(|a, b| day(a) == day(b))
        .filter_map(describe)
        .collect()
}

fn as_rfc3339<S: Serializer>(end: &OffsetDateTime, to: S) -> Result<S::Ok, S::Error> {
    end.format(&Rfc3339).ok().serialize(to)
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-26 03:00 UTC);

    fn certificate_ending(node: &str, name: &str, days: i64, late: bool) -> CertificateEnd {
        CertificateEnd {
            node: node.into(),
            name: name.into(),
            ends: NOW + Duration::days(days),
            late,
        }
    }

    #[test]
    fn what_ends_on_one_day_is_one_line_and_what_is_late_names_its_nodes() {
        let all = [
            certificate_ending("node2", "apiserver", -1, true),
            certificate_ending("node1", "apiserver", 365, false),
            certificate_ending("node3", "apiserver", 365, false),
            certificate_ending("node1", "etcd-peer", 365, false),
            certificate_ending("node1", "ca", 3650, false),
        ];
        let lines = describe_certificates(&all, NOW, &Paint::stdout());
        assert!(
            lines[0].contains("ended 2026-11-25: apiserver on node2 (`ha-agent doctor`"),
            "{lines:?}"
        );
        assert_eq!(
            lines[1..],
            [
                "until 2027-11-26: apiserver, etcd-peer",
                "until 2036-11-23: ca"
            ]
        );
    }

    #[test]
    fn json_has_whole_times() {
        let json = serde_json::to_value(certificate_ending("node1", "ca", 1, true)).unwrap();
        let expected = serde_json::json!({"node": "node1", "name": "ca", "ends": "2026-11-27T03:00:00Z", "late": true});
        assert_eq!(json, expected);
    }
}
