//! The logs of the static pods' containers, as the runtime writes them for the kubelet: one file a run.

use std::io::{Read, Seek, SeekFrom};

use anyhow::Result;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::verdict::{Run, STATIC_PODS};
use crate::sys::files::Files;
use crate::sys::telling::{bare_words, telling_line};

const PODS: &str = "/var/log/pods";
/// Above the longest usage text of a control plane's program.
const TAIL_BYTES: u64 = 64 << 10;
/// Enough for a line's time.
const HEAD_BYTES: u64 = 64;

/// Every run of the static pods whose log is there, by the container's name.
pub fn read_runs(files: &Files, node: &str) -> Result<Vec<(&'static str, Run)>> {
    let mut runs = Vec::new();
    for dir in files.names(PODS)? {
        let is_of = |name: &&str| dir.starts_with(&format!("kube-system_{name}-{node}_"));
        let Some(name) = STATIC_PODS.into_iter().find(|name| is_of(name)) else {
            continue;
        };
        for file in files.names(&format!("{PODS}/{dir}/{name}"))? {
            let number = file.strip_suffix(".log").and_then(|n| n.parse().ok());
            let path = format!("{PODS}/{dir}/{name}/{file}");
            // Rotated parts have other names; a file may go away meanwhile.
            let run = number.and_then(|number| read_run(files, &path, number));
            runs.extend(run.map(|run| (name, run)));
        }
    }
    Ok(runs)
}

fn read_run(files: &Files, path: &str, number: u32) -> Option<Run> {
    let mut file = files.open(path).ok()?;
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    (&file).take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    let end = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(end.saturating_sub(TAIL_BYTES)))
        .ok()?;
    file.take(TAIL_BYTES).read_to_end(&mut tail).ok()?;
    let (head, tail) = (
        String::from_utf8_lossy(&head),
        String::from_utf8_lossy(&tail),
    );
    let lines: Vec<(u64, &str)> = tail.lines().filter_map(parse_line).collect();
    let words: Vec<&str> = lines.iter().map(|(_, words)| *words).collect();
    Some(Run {
        id: path.to_owned(),
        number,
        word: bare_words(&telling_line(&words)?),
        first_ms: head.split(' ').next().and_then(time_ms)?,
        last_ms: lines.last()?.0,
        ended: false,
    })
}

/// `2026-11-26T07:41:59.312254123Z stderr F words`
fn parse_line(line: &str) -> Option<(u64, &str)> {
    let mut fields = line.splitn(4, ' ');
    let time = time_ms(fields.next()?)?;
    // Stream, and whether the line is whole.
    fields.nth(1)?;
    Some((time, fields.next()?))
}

fn time_ms(text: &str) -> Option<u64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests;
