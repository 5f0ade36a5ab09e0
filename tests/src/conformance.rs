//! Kubernetes' own conformance tests, run against a cluster through its VIP: in peace, and while the VIP's holder is hurt.
//!
//! [`skip`] what is left out and why, [`report`] what came of a run, [`fire`] what is done to the holder meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::lab::{Lab, workspace_root};
use crate::process::{RunningProcess, last_lines};

pub mod fire;
pub mod report;
pub mod skip;

use report::SuiteReport;
use skip::Exclusion;

/// Tests at once: most of their time is waiting.
const AT_ONCE: u32 = 4;
/// ginkgo ends the run by itself after this.
const SUITE: Duration = Duration::from_secs(90 * 60);
/// What it may take for that, and for its reports.
const LAST_WORDS: Duration = Duration::from_secs(600);
/// Every conformance test has this in its name.
const CONFORMANCE: &str = r"\[Conformance\]";

/// The tests' programs, what is left out of them, and where their reports go.
#[derive(Debug)]
pub struct Suite {
    programs: PathBuf,
    kubectl: PathBuf,
    skip: Vec<Exclusion>,
    out: PathBuf,
}

impl Suite {
    /// That of the lab's release of Kubernetes, with reports in an empty `target/conformance/RELEASE`.
    pub fn find(lab: &Lab) -> Result<Self> {
        let programs = lab.part("conformance/programs");
        ensure!(
            programs.join("e2e.test").exists(),
            "{} is missing: run `make conformance`",
            programs.display()
        );
        let out = workspace_root().join("target/conformance");
        let out = out.join(lab.kubernetes());
        if out.exists() {
            fs::remove_dir_all(&out).with_context(|| format!("empty {}", out.display()))?;
        }
        fs::create_dir_all(&out).with_context(|| format!("make {}", out.display()))?;
        Ok(Self {
            programs: programs.canonicalize()?,
            kubectl: lab.kubectl(),
            skip: skip::read_exclusions(&workspace_root().join("lab/conformance/skip"))?,
            out,
        })
    }

    /// Where the reports are.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Runs the conformance tests whose names match this, and leaves `NAME.json`, `NAME.xml` (JUnit) and `NAME.log`. Failed tests are
    /// in the report; an error is a run that says nothing of the cluster.
    pub fn run(&self, cluster: &Cluster, name: &str, focus: &[String]) -> Result<SuiteReport> {
        let done = RunningProcess::start(self.command(cluster, name, focus))?;
        let done = done.wait(SUITE + LAST_WORDS)?;
        let log = self.out.join(name).with_extension("log");
        let json = self.out.join(name).with_extension("json");
        let report = fs::read_to_string(&json)
            .map_err(anyhow::Error::from)
            .and_then(|text| SuiteReport::parse(&text));
        report.with_context(|| {
            let log = fs::read_to_string(&log).unwrap_or_default();
            format!(
                "ginkgo: exit code {:?}\n{}",
                done.code,
                last_lines(&log, 20)
            )
        })
    }

    fn command(&self, cluster: &Cluster, name: &str, focus: &[String]) -> Command {
        let mut command = cluster.operator().command("sh");
        command
            .args(["-c", r#"log=$1; shift; exec "$@" > "$log" 2>&1"#, "sh"])
            .arg(self.out.join(name).with_extension("log"))
            .arg(self.programs.join("ginkgo"))
            .args([
                &format!("--procs={AT_ONCE}"),
                "--silence-skips",
                "--no-color",
            ])
            .arg(format!("--timeout={}s", SUITE.as_secs()))
            .args([
                format!("--json-report={name}.json"),
                format!("--junit-report={name}.xml"),
            ])
            .arg(format!("--output-dir={}", self.out.display()))
            .args(focus.iter().map(|f| format!("--focus={f}")))
            .args(self.skip.iter().map(|s| format!("--skip={}", s.regex)))
            .arg(self.programs.join("e2e.test"))
            .args(["--", "--provider=skeleton"])
            .arg(format!("--kubeconfig={}", cluster.kubeconfig().display()))
            .arg(format!("--kubectl-path={}", self.kubectl.display()))
            .env("KUBECACHEDIR", cluster.dir().join("kube-cache"));
        command
    }
}

/// The conformance tests whose names match this regular expression; without one, all.
pub fn focus_on(narrowed: Option<&str>) -> String {
    narrowed.map_or_else(
        || CONFORMANCE.to_owned(),
        |n| format!("(?:{n}).*{CONFORMANCE}"),
    )
}

/// A regular expression for this name alone; ginkgo puts the suite's own name before it.
pub fn exact_regex(name: &str) -> String {
    let mut regex = String::new();
    for c in name.chars() {
        if c.is_ascii_punctuation() {
            regex.push('\\');
        }
        regex.push(c);
    }
    regex + "$"
}

#[cfg(test)]
mod tests;
