//! `make bench`: the figures of the issue, as a table and as `target/bench/bench.json`.
//!
//! `bench [size|render|launch|guide]...` measures only these; without arguments all of them.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use ha_tests::bench::{Report, guide, launch, render, size};
use ha_tests::lab::Lab;
use ha_tests::plan::Kind;
use ha_tests::story::say;

/// What can be measured, in this order.
const PARTS: [&str; 4] = ["size", "render", "launch", "guide"];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|w| !PARTS.contains(&w.as_str())) {
        say(&format!(
            "error: no part {unknown:?}; there are {}",
            PARTS.join(", ")
        ));
        return ExitCode::from(2);
    }
    let mut report = Report::default();
    let mut code = ExitCode::SUCCESS;
    for part in PARTS
        .into_iter()
        .filter(|p| wanted.is_empty() || wanted.iter().any(|w| w == p))
    {
        say(&format!("bench: {part}"));
        if let Err(error) = measure(part, &mut report) {
            say(&format!("error: {part}: {error:#}"));
            code = ExitCode::FAILURE;
        }
    }
    if let Err(error) = publish(&report) {
        say(&format!("error: {error:#}"));
        code = ExitCode::FAILURE;
    }
    code
}

fn measure(part: &str, report: &mut Report) -> Result<()> {
    let rows = match part {
        "size" => size::rows(&Lab::find(Kind::Nspawn)?)?,
        "render" => render::rows()?,
        "launch" => {
            let (rows, phases) = launch::rows()?;
            report.phases = phases;
            rows
        }
        _ => guide::rows(&Lab::find(Kind::Nspawn)?)?,
    };
    report.rows.extend(rows);
    Ok(())
}

fn publish(report: &Report) -> Result<()> {
    let path = Report::path();
    fs::create_dir_all(path.parent().context("no parent")?)?;
    fs::write(&path, serde_json::to_string_pretty(report)?)
        .with_context(|| format!("write {}", path.display()))?;
    println!("{}", report.table());
    say(&format!("also in {}", path.display()));
    Ok(())
}
