//! `make bench`: the figures of the issue, as a table and as `target/bench/bench.json`.
//!
//! `bench [size|memory|render|launch|guide]...` measures only these; without arguments all of them.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use ha_tests::bench::{BenchReport, guide, launch, memory, render, size};
use ha_tests::lab::Lab;
use ha_tests::plan::MachineKind;
use ha_tests::story::print_uncaptured;

/// What can be measured, in this order.
const PARTS: [&str; 5] = ["size", "memory", "render", "launch", "guide"];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|w| !PARTS.contains(&w.as_str())) {
        print_uncaptured(&format!(
            "error: no part {unknown:?}; there are {}",
            PARTS.join(", ")
        ));
        return ExitCode::from(2);
    }
    let mut report = BenchReport::default();
    let mut code = ExitCode::SUCCESS;
    for part in PARTS
        .into_iter()
        .filter(|p| wanted.is_empty() || wanted.iter().any(|w| w == p))
    {
        print_uncaptured(&format!("bench: {part}"));
        if let Err(error) = measure_part(part, &mut report) {
            print_uncaptured(&format!("error: {part}: {error:#}"));
            code = ExitCode::FAILURE;
        }
    }
    if let Err(error) = write_report(&report) {
        print_uncaptured(&format!("error: {error:#}"));
        code = ExitCode::FAILURE;
    }
    code
}

fn measure_part(part: &str, report: &mut BenchReport) -> Result<()> {
    let rows = match part {
        "size" => size::measure_size(&Lab::find(MachineKind::Nspawn)?)?,
        "memory" => memory::measure_hour()?,
        "render" => render::measure_render()?,
        "launch" => {
            let (rows, phases) = launch::measure_launch()?;
            report.phases = phases;
            rows
        }
        _ => guide::measure_guide(&Lab::find(MachineKind::Nspawn)?)?,
    };
    report.rows.extend(rows);
    Ok(())
}

fn write_report(report: &BenchReport) -> Result<()> {
    let path = BenchReport::path();
    fs::create_dir_all(path.parent().context("no parent")?)?;
    fs::write(&path, serde_json::to_string_pretty(report)?)
        .with_context(|| format!("write {}", path.display()))?;
    println!("{}", report.table());
    print_uncaptured(&format!("also in {}", path.display()));
    Ok(())
}
