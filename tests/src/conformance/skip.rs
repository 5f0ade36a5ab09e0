//! `lab/conformance/skip`: what is left out, and why.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// Between the regular expression and the reason.
const BECAUSE: &str = " # ";

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// Tests whose names match this do not run.
    pub regex: String,
    /// Why.
    pub reason: String,
}

/// The list in this file.
pub fn read_exclusions(path: &Path) -> Result<Vec<Exclusion>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    parse_exclusions(&text).with_context(|| path.display().to_string())
}

pub(super) fn parse_exclusions(text: &str) -> Result<Vec<Exclusion>> {
    let lines = (1..).zip(text.lines());
    let lines = lines.filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|(number, line)| parse_exclusion(number, line))
        .collect()
}

fn parse_exclusion(number: u32, line: &str) -> Result<Exclusion> {
    match line.split_once(BECAUSE) {
        Some((regex, reason)) if !regex.trim().is_empty() && !reason.trim().is_empty() => {
            Ok(Exclusion {
                regex: regex.trim().into(),
                reason: reason.trim().into(),
            })
        }
        _ => bail!("line {number} says not why: wanted REGEX{BECAUSE}REASON, found {line:?}"),
    }
}
