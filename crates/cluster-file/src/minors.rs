//! The minors of Kubernetes that are known, and what differs between them: `minors.tsv`, one row each.

use std::sync::LazyLock;

use crate::version::version_parts;

const TABLE: &str = include_str!("minors.tsv");
/// How many columns a row has.
const COLUMNS: usize = 11;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minor {
    /// 36 of 1.36.
    pub number: u32,
    /// The release that the tests run; none: not run here.
    pub tested: Option<&'static str>,
    /// The chart of Cilium where the cluster file names none.
    pub cilium: &'static str,
    /// The bakery's cilium CLI, as the bakery calls it; [`Self::cilium`] is among the charts that it holds.
    pub cilium_cli: &'static str,
    /// All of kubeadm's own feature gates.
    pub gates: Vec<&'static str>,
    /// What kube-proxy says of its mode ipvs; none: nothing.
    pub ipvs: Option<Deprecation>,
    /// The lines of Cilium whose own tests have this minor, e.g. `1.20`.
    pub cilium_lines: Vec<&'static str>,
    /// Whether a new cluster may have it. Clusters that stand may have any.
    pub for_new: bool,
    is_default: bool,
}

/// That something goes away, and when, as far as that was said: minors, e.g. `1.40`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deprecation {
    /// Off by default from here on.
    pub off_in: Option<&'static str>,
    /// Not there any more from here on.
    pub gone_in: Option<&'static str>,
}

static MINORS: LazyLock<Vec<Minor>> =
    LazyLock::new(|| table_rows().filter_map(Minor::parse).collect());

/// Every line but comments and the columns' names.
fn table_rows() -> impl Iterator<Item = &'static str> {
    TABLE.lines().filter(|line| !line.starts_with('#')).skip(1)
}

/// All known minors, oldest first.
pub fn known_minors() -> &'static [Minor] {
    &MINORS
}

/// The minor of an exact version like `1.36.3`; none if it is not known, or this is no such version.
pub fn minor_of(version: &str) -> Option<&'static Minor> {
    let [1, number, _] = version_parts(version)? else {
        return None;
    };
    MINORS.iter().find(|minor| minor.number == number)
}

/// The minor of new clusters, where nothing speaks for another one.
///
/// # Panics
/// Never: the tests read the same table and find one default in it.
pub fn default_minor() -> &'static Minor {
    let mut all = MINORS.iter();
    all.find(|minor| minor.is_default)
        .expect("one row of minors.tsv is the default")
}

/// The version that help offers: the default minor's tested release.
pub fn example_version() -> &'static str {
    default_minor().tested.unwrap_or_default()
}

impl Minor {
    fn parse(row: &'static str) -> Option<Self> {
        let fields: [&'static str; COLUMNS] =
            row.split('\t').collect::<Vec<_>>().try_into().ok()?;
        let [
            minor,
            tested,
            _,
            _,
            _,
            cilium,
            cilium_cli,
            gates,
            ipvs,
            lines,
            new,
        ] = fields;
        Some(Self {
            number: minor.strip_prefix("1.")?.parse().ok()?,
            tested: optional_field(tested),
            cilium,
            cilium_cli,
            gates: list_field(gates),
            ipvs: optional_field(ipvs).map(Deprecation::parse),
            cilium_lines: list_field(lines),
            for_new: matches!(new, "yes" | "default"),
            is_default: new == "default",
        })
    }

    /// `1.36`.
    pub fn name(&self) -> String {
        format!("1.{}", self.number)
    }

    /// What a cluster file gets that names no version of this minor: its tested release, else its first.
    pub fn example(&self) -> String {
        let tested = self.tested.map(str::to_owned);
        tested.unwrap_or_else(|| format!("{}.0", self.name()))
    }
}

impl Deprecation {
    fn parse(words: &'static str) -> Self {
        let when = |what: &str| {
            list_field(words)
                .iter()
                .find_map(|word| word.strip_prefix(what))
        };
        Self {
            off_in: when("off-in-"),
            gone_in: when("gone-in-"),
        }
    }
}

fn optional_field(field: &'static str) -> Option<&'static str> {
    (field != "-").then_some(field)
}

fn list_field(field: &'static str) -> Vec<&'static str> {
    optional_field(field).map_or_else(Vec::new, |field| field.split(',').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_and_one_is_the_default() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(known_minors().len() + 1, lines.count());
        let numbers: Vec<u32> = known_minors().iter().map(|minor| minor.number).collect();
        assert!(numbers.is_sorted() && numbers.len() > 3, "{numbers:?}");
        let defaults = known_minors().iter().filter(|minor| minor.is_default);
        assert_eq!(defaults.count(), 1);
        let default = default_minor();
        assert!(default.for_new && default.tested.is_some_and(|v| minor_of(v) == Some(default)));
    }

    #[test]
    fn what_the_columns_say() {
        let new = minor_of("1.37.0").unwrap();
        assert_eq!(
            (new.name(), new.example()),
            ("1.37".into(), "1.37.2".into())
        );
        assert_eq!(new.gates, ["RootlessControlPlane"]);
        assert!(new.for_new && new.cilium_lines.is_empty());
        let gone = Deprecation {
            off_in: Some("1.40"),
            gone_in: Some("1.43"),
        };
        assert_eq!(new.ipvs, Some(gone));
        let old = minor_of("1.33.7").unwrap();
        assert!(!old.for_new && old.ipvs.is_none() && old.tested.is_none());
        assert_eq!(old.example(), "1.33.0");
        assert_eq!(old.cilium_lines, ["1.18", "1.19", "1.20"]);
    }

    #[test]
    fn only_exact_versions_of_known_minors_are_found() {
        for (version, found) in [
            ("1.33.0", Some(33)),
            ("1.36.3", Some(36)),
            ("1.37.12", Some(37)),
            ("1.32.9", None),
            ("1.99.0", None),
            ("2.36.4", None),
            ("1.36", None),
            ("v1.36.3", None),
            ("1.36.3.1", None),
            ("1.36.3-rc.1", None),
            ("", None),
        ] {
            assert_eq!(minor_of(version).map(|m| m.number), found, "{version}");
        }
    }
}
