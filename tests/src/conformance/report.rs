//! What came of a run: ginkgo's JSON report in short, and the table that people read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// The kind of a report's entry that is a test; others stand around the tests.
const TEST: &str = "It";
/// How a test is named in the table that names no special interest group.
const NO_GROUP: &str = "(none)";

/// The tests of a run that were run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SuiteReport {
    /// In the order of their ends.
    pub tests: Vec<TestOutcome>,
}

/// One test.
#[derive(Debug, Clone, PartialEq)]
pub struct TestOutcome {
    /// The whole name, `[sig-...] ... [Conformance]`.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
    /// None: it passed.
    pub failure: Option<TestFailure>,
}

/// Why a test failed.
#[derive(Debug, Clone, PartialEq)]
pub struct TestFailure {
    /// When, `15:04:05`, by the clock of the machine that it ran on.
    pub time: String,
    /// What it said.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GinkgoSuite {
    #[serde(default)]
    special_suite_failure_reasons: Option<Vec<String>>,
    #[serde(default)]
    spec_reports: Option<Vec<GinkgoSpec>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GinkgoSpec {
    #[serde(default)]
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    #[serde(default)]
    leaf_node_text: String,
    state: String,
    run_time: f64,
    end_time: String,
    #[serde(default)]
    failure: Option<GinkgoFailure>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct GinkgoFailure {
    #[serde(default)]
    message: String,
    #[serde(default)]
    timeline_location: GinkgoMoment,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct GinkgoMoment {
    #[serde(default)]
    time: String,
}

impl SuiteReport {
    /// Reads `ginkgo --json-report`. A run that was cut short, or in which no test ran, is an error.
    pub fn parse(json: &str) -> Result<Self> {
        let suites: Vec<GinkgoSuite> = serde_json::from_str(json).context("ginkgo's report")?;
        let mut report = Self::default();
        for suite in suites {
            let cut_short = suite.special_suite_failure_reasons.unwrap_or_default();
            ensure!(cut_short.is_empty(), "{}", cut_short.join(", "));
            for spec in suite.spec_reports.unwrap_or_default() {
                report.tests.extend(spec.outcome());
            }
        }
        if report.tests.is_empty() {
            bail!("no test ran: does the focus match one?");
        }
        Ok(report)
    }

    /// Those that failed.
    pub fn failed(&self) -> impl Iterator<Item = (&TestOutcome, &TestFailure)> {
        let tests = self.tests.iter();
        tests.filter_map(|t| t.failure.as_ref().map(|f| (t, f)))
    }

    /// Whether this test failed.
    pub fn has_failed(&self, name: &str) -> bool {
        self.failed().any(|(test, _)| test.name == name)
    }
}

impl GinkgoSpec {
    /// None: it did not run, or is not a test and nothing is wrong with it.
    fn outcome(self) -> Option<TestOutcome> {
        let failed = match self.state.as_str() {
            "skipped" | "pending" => return None,
            state => state != "passed",
        };
        if !failed && self.leaf_node_type != TEST {
            return None;
        }
        let mut words = self.container_hierarchy_texts.unwrap_or_default();
        words.push(match self.leaf_node_type.as_str() {
            TEST => self.leaf_node_text,
            other => other.to_owned(),
        });
        let failure = failed.then(|| {
            let failure = self.failure.unwrap_or_default();
            let time = Some(failure.timeline_location.time).filter(|t| !t.starts_with("0001"));
            TestFailure {
                time: time_of_day(&time.filter(|t| !t.is_empty()).unwrap_or(self.end_time)),
                message: format!("{}: {}", self.state, failure.message.trim()),
            }
        });
        Some(TestOutcome {
            name: words.join(" "),
            seconds: self.run_time / 1e9,
            failure,
        })
    }
}

/// `15:04:05` of `2006-01-02T15:04:05.999Z`.
fn time_of_day(time: &str) -> String {
    let clock = time.split_once('T').map_or(time, |t| t.1);
    clock.chars().take(8).collect()
}

impl TestOutcome {
    fn group(&self) -> &str {
        let name = self.name.split_once("[sig-").map(|n| n.1);
        name.and_then(|n| n.split_once(']'))
            .map_or(NO_GROUP, |n| n.0)
    }
}

/// Tests by special interest group: passed of run and their seconds, a column for each run.
pub fn results_table(runs: &[(&str, &SuiteReport)]) -> String {
    let groups: BTreeSet<&str> = runs
        .iter()
        .flat_map(|run| run.1.tests.iter().map(TestOutcome::group))
        .collect();
    let mut text = format!("{:<18}", "SIG");
    for (name, _) in runs {
        let _ = write!(text, " {:>24}", format!("{name}: passed/run"));
    }
    let counts: Vec<_> = runs.iter().map(|run| by_group(run.1)).collect();
    for group in groups.into_iter().chain(["all"]) {
        let _ = write!(text, "\n{group:<18}");
        for count in &counts {
            let (passed, run, seconds) = count.get(group).copied().unwrap_or_default();
            let _ = write!(text, " {:>24}", format!("{passed}/{run} {seconds:>6.0} s"));
        }
    }
    text + "\n"
}

/// Passed, run, seconds of each group, and of `all`.
fn by_group(report: &SuiteReport) -> BTreeMap<&str, (u32, u32, f64)> {
    let mut groups: BTreeMap<&str, (u32, u32, f64)> = BTreeMap::new();
    for test in &report.tests {
        for group in [test.group(), "all"] {
            let count = groups.entry(group).or_default();
            count.0 += u32::from(test.failure.is_none());
            count.1 += 1;
            count.2 += test.seconds;
        }
    }
    groups
}
