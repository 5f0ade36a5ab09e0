//! Guide 000's way to a cluster, in the same lab and on the same machines, for the column beside ours.

use std::time::Duration;

use anyhow::{Context, Result};

use super::Row;
use crate::lab::{Lab, workspace};
use crate::operator::Operator;
use crate::run::{Done, run};

/// The guide's own retries wait 30 s each.
const DEADLINE: Duration = Duration::from_secs(600);

/// Runs the guide's flow by `tests/bench/guide000.sh`, whose last line is the number of seconds to five Ready nodes.
pub fn rows(lab: &Lab) -> Result<Vec<Row>> {
    let script = workspace().join("tests/bench/guide000.sh");
    let dir = workspace().join("target/bench/guide000");
    let operator = Operator::new(&dir)?;
    let mut command = operator.command(script);
    command.arg(&dir).arg(lab.image());
    for name in ["kubernetes", "keepalived", "haproxy"] {
        command.arg(lab.sysext(name));
    }
    let done = run(command, DEADLINE).and_then(Done::ok)?;
    let last = done.stdout.lines().last().unwrap_or_default();
    let seconds = last
        .trim()
        .parse()
        .with_context(|| format!("no seconds in {last:?}"))?;
    Ok(vec![Row::new(
        "guide 000's flow -> five nodes Ready",
        seconds,
        "s",
        "its units and configs, images local",
    )])
}
