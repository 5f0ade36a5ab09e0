//! Cluster files that are wrong, and what people are told: one file per rule in `bad/`, each case a patch on
//! `bad/base.yaml` and the text that follows from it.
//! `BLESS=1 cargo test -p ha-cluster-file --test bad` writes the texts anew; read the diff then.
//!
//! ```text
//! ## name-of-the-case
//! -a line of the base that goes
//! +a line that comes: where the last `-` or ` ` line stood, else at the end
//!  a line of the base that stays
//! -->
//! what people are told
//! ```
//!
//! `## name-of-the-case (whole file)` is followed by the text itself.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ha_cluster_file::check::{check_cluster_file, render_faults};
use ha_cluster_file::diagnostic::Severity;

const BASE: &str = include_str!("bad/base.yaml");
const WHOLE_FILE: &str = " (whole file)";
/// Every case of the 26 files: a file that is not found, or a heading that is not recognised, shows here.
const CASES: usize = 459;

/// One wrong cluster file.
struct Case {
    /// As after `## `.
    heading: String,
    /// The patch, or the whole text.
    input: String,
    /// What people are told.
    told: String,
}

impl Case {
    fn parse(block: &str) -> Self {
        let (heading, rest) = block.split_once('\n').unwrap();
        // With the line end before it, so that the input may be empty.
        let rest = format!("\n{rest}");
        let (input, told) = rest.split_once("\n-->\n").expect(heading);
        let input = input
            .strip_prefix('\n')
            .map_or_else(String::new, |input| input.to_owned() + "\n");
        Self {
            heading: heading.to_owned(),
            input,
            told: told.trim_end().to_owned() + "\n",
        }
    }

    fn cluster_file(&self) -> String {
        if self.heading.ends_with(WHOLE_FILE) {
            self.input.clone()
        } else {
            patch_base(&self.input)
        }
    }

    fn block(&self) -> String {
        format!("## {}\n{}-->\n{}", self.heading, self.input, self.told)
    }
}

fn patch_base(patch: &str) -> String {
    let base: Vec<&str> = BASE.lines().collect();
    let only_adds = patch.lines().all(|line| line.starts_with('+'));
    let mut copied = if only_adds { base.len() } else { 0 };
    let mut lines = base[..copied].to_vec();
    for line in patch.lines() {
        let (sign, line) = line.split_at(1);
        if sign != "+" {
            let below = base[copied..].iter().position(|of_base| *of_base == line);
            let at = copied + below.unwrap_or_else(|| panic!("the base has no `{line}` below"));
            lines.extend(&base[copied..at]);
            copied = at + 1;
        }
        if sign != "-" {
            lines.push(line);
        }
    }
    lines.extend(&base[copied..]);
    lines.join("\n") + "\n"
}

/// What people are told of this text, after a look at what must hold for all of them.
fn told_text(text: &str, case: &str) -> String {
    let (faults, forbidden) = match check_cluster_file(text, Path::new("/base")) {
        Ok((_, warnings)) => (warnings, false),
        Err(faults) => (faults, true),
    };
    assert!(!faults.is_empty(), "{case} has no fault");
    let errors = faults.iter().any(|f| f.severity == Severity::Error);
    assert_eq!(errors, forbidden, "{case}");
    let lines = text.lines().count().max(1);
    assert!(
        faults
            .iter()
            .all(|f| f.place.line <= lines + 1 && f.place.width > 0),
        "{case}"
    );
    render_faults(&faults, text, "cluster.yaml")
}

fn rule_files() -> BTreeSet<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let entries = std::fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect()
}

#[test]
fn every_bad_file_is_told_in_these_words() {
    let bless = std::env::var_os("BLESS").is_some();
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for path in rule_files() {
        let file = std::fs::read_to_string(&path).unwrap();
        let mut blocks = file.split("\n## ");
        let mut written = vec![blocks.next().unwrap().to_owned()];
        for mut case in blocks.map(Case::parse) {
            let told = told_text(&case.cluster_file(), &case.heading);
            if told != case.told && !bless {
                wrong.push(format!("--- {} says now:\n{told}", case.heading));
            }
            case.told = told;
            written.push(case.block());
            assert!(seen.insert(case.heading.clone()), "{} twice", case.heading);
        }
        if bless {
            std::fs::write(&path, written.join("\n")).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(seen.len(), CASES);
}
