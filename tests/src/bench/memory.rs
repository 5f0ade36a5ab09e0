//! What an hour of steady state adds to the agent's memory: once it is warm, the agent's own test looks as often as an hour has
//! looks, with a clock that does not wait.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Figure;
use crate::process::{FinishedProcess, run_to_end};

/// Names the agent's test program.
const PROGRAM: &str = "HA_AGENT_TESTS";
/// The measurement in it.
const MEASUREMENT: &str = "phases::steady::tests::hour::looks_of_an_hour";
/// What stands before its two figures.
const FIGURES: [&str; 2] = ["after-warm-up:", "after-an-hour:"];
/// It takes seconds.
const DEADLINE: Duration = Duration::from_secs(300);

/// Runs the measurement.
pub fn measure_hour() -> Result<Vec<Figure>> {
    let program = std::env::var_os(PROGRAM).with_context(|| {
        format!("{PROGRAM} does not name the agent's test program: call `make bench`")
    })?;
    let mut test = Command::new(program);
    test.args(["--exact", MEASUREMENT, "--ignored", "--nocapture"]);
    let said = run_to_end(test, DEADLINE)
        .and_then(FinishedProcess::ok)?
        .stdout;
    let [warm, end] = figures_of(&said)?;
    let how =
        "720 looks against scripted servers, in the agent's test program, from the 300th look on";
    Ok(vec![
        Figure::new("ha-agent, growth over an hour", end - warm, "KiB", how).at_most(128.0),
    ])
}

/// Both figures, in KiB.
fn figures_of(said: &str) -> Result<[f64; 2]> {
    let figure = |name: &str| -> Result<f64> {
        let (_, rest) = said
            .split_once(name)
            .with_context(|| format!("{MEASUREMENT} printed no {name:?}: {said:?}"))?;
        let word = rest.split_whitespace().next().unwrap_or_default();
        word.parse().with_context(|| format!("{name} {word:?}"))
    };
    Ok([figure(FIGURES[0])?, figure(FIGURES[1])?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_figures_are_read_and_none_is_an_error() {
        let said = "test x ... after-warm-up: 5000 KiB\nafter-an-hour: 5100 KiB\nok\n";
        assert_eq!(figures_of(said).unwrap(), [5000.0, 5100.0]);
        let no_such_test = "running 0 tests\n\ntest result: ok. 0 passed;\n";
        assert!(figures_of(no_such_test).is_err());
    }
}
