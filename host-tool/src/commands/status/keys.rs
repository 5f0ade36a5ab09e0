//! When a cluster's keys end.

use anyhow::Result;
use ha_host_base::files;
use ha_host_base::text::Paint;
use serde::{Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

use crate::pki::Pki;
use crate::pki::kubeconfig::{self, RENEW_BEFORE};
use crate::state::ClusterDir;

/// Nobody renews an authority in a hurry: every kubeconfig and every node has its certificate.
const AUTHORITIES_END_SOON: Duration = Duration::days(365);

/// None: it cannot be read.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyEnds {
    /// When the administrator's certificate in the kubeconfig ends.
    #[serde(serialize_with = "as_optional_rfc3339")]
    kubeconfig: Option<OffsetDateTime>,
    /// When the first certificate authority ends, and with it the cluster.
    #[serde(serialize_with = "as_optional_rfc3339")]
    authorities: Option<OffsetDateTime>,
}

impl KeyEnds {
    pub fn read(dir: &ClusterDir, pki: &Pki) -> Result<Self> {
        let text = files::read_optional(&dir.kubeconfig())?;
        Ok(Self {
            kubeconfig: text.and_then(|text| kubeconfig::certificate_end(&text)),
            authorities: pki.ends(),
        })
    }

    /// For tests: both end then.
    #[cfg(test)]
    pub fn ending(at: OffsetDateTime) -> Self {
        let (kubeconfig, authorities) = (Some(at), Some(at));
        Self {
            kubeconfig,
            authorities,
        }
    }

    /// `kubeconfig until 2027-11-25, authorities until 2036-11-22`.
    pub fn describe(&self, cluster: &str, paint: &Paint) -> String {
        let now = OffsetDateTime::now_utc();
        let soon = |end: Option<OffsetDateTime>, before| end.is_none_or(|end| end - now < before);
        let mut words = [
            format!("kubeconfig {}", describe_key_end(self.kubeconfig, now)),
            format!("authorities {}", describe_key_end(self.authorities, now)),
        ];
        if soon(self.kubeconfig, RENEW_BEFORE) {
            words[0] = paint.red(&format!(
                "{} (`ha-host kubeconfig {cluster}` renews it)",
                words[0]
            ));
        }
        if soon(self.authorities, AUTHORITIES_END_SOON) {
            words[1] = paint.red(&format!("{} (the cluster ends with them)", words[1]));
        }
        words.join(", ")
    }
}

fn describe_key_end(end: Option<OffsetDateTime>, now: OffsetDateTime) -> String {
    let date = format_description!("[year]-[month]-[day]");
    match end.and_then(|end| Some((end, end.format(&date).ok()?))) {
        None => "not readable".to_owned(),
        Some((end, date)) if end < now => format!("ended {date}"),
        Some((_, date)) => format!("until {date}"),
    }
}

fn as_optional_rfc3339<S: Serializer>(
    end: &Option<OffsetDateTime>,
    to: S,
) -> Result<S::Ok, S::Error> {
    end.and_then(|end| end.format(&Rfc3339).ok()).serialize(to)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn what_ends_soon_comes_with_what_to_do() {
        let now = OffsetDateTime::now_utc();
        let ends = |kubeconfig: i64, authorities: i64| {
            let keys = KeyEnds {
                kubeconfig: Some(now + Duration::days(kubeconfig)),
                authorities: Some(now + Duration::days(authorities)),
            };
            keys.describe("demo", &Paint::stdout())
        };
        assert!(!ends(31, 366).contains('('), "{}", ends(31, 366));
        assert!(ends(29, 366).contains("(`ha-host kubeconfig demo` renews it)"));
        assert!(ends(-1, 366).contains("kubeconfig ended "));
        assert!(
            ends(31, 364).contains("(the cluster ends with them)"),
            "{}",
            ends(31, 364)
        );
    }

    #[test]
    fn json_has_whole_times() {
        let keys = KeyEnds {
            kubeconfig: Some(datetime!(2027-11-25 01:02:03 UTC)),
            authorities: None,
        };
        let json = serde_json::to_value(keys).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"kubeconfig": "2027-11-25T01:02:03Z", "authorities": null})
        );
    }
}
