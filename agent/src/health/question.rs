//! One question to the local haproxy. While it waits for its answer, the kernel is asked what haproxy's threads do: that tells
//! a haproxy that hangs from one that only gets no processor.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::net::UnixStream;

use super::threads::{ThreadsSeen, find_worker};
use super::verdict::Told;
use crate::render::haproxy;
use crate::sys::files::Files;
use crate::sys::net::{ask_stream, connect_to_socket};
use crate::sys::processor::is_emulated;

/// An answer takes under a millisecond, but a busy machine has been seen to need 120.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// The same on an emulated processor: three machines on one host have been seen to need a second.
const EMULATED_ANSWER_WITHIN: Duration = Duration::from_millis(2500);

/// One question, as a person or keepalived asks it: does haproxy live? Not whether any apiserver does.
pub async fn probe_haproxy(files: &Files) -> Result<()> {
    let within = answer_deadline(files);
    let answer = async { ask_health(connect_to_haproxy(files).await?).await };
    tokio::time::timeout(within, answer)
        .await
        .map_err(|_| no_answer_within(within))?
}

/// How long haproxy may take for an answer.
pub fn answer_deadline(files: &Files) -> Duration {
    if is_emulated(files) {
        EMULATED_ANSWER_WITHIN
    } else {
        ANSWER_WITHIN
    }
}

/// One question, and two looks at haproxy's threads before its deadline, for as long as no answer comes.
pub async fn ask_and_watch(files: &Files, within: Duration) -> (Told, Result<()>) {
    let stream = match connect_to_haproxy(files).await {
        Ok(stream) => stream,
        Err(error) => return (Told::Bad, Err(error)),
    };
    // The kernel's word on who called listen(); 0: a process that cannot be seen from here.
    let listener = stream.peer_cred().ok().and_then(|peer| peer.pid());
    let listener = listener.filter(|pid| *pid > 0);
    let answer = ask_health(stream);
    tokio::pin!(answer);
    let mut watched = None;
    let mut seen = Vec::new();
    for _ in 0..2 {
        if let Ok(answer) = tokio::time::timeout(within * 2 / 5, &mut answer).await {
            return told_by(answer);
        }
        watched = watched.or_else(|| Some(find_worker(files, listener?)));
        seen.push(watched.and_then(|worker| ThreadsSeen::of(files, worker)));
    }
    let (first, second) = (seen.first().cloned().flatten(), seen.pop().flatten());
    let meanwhile = judge_silence(first.as_ref(), second.as_ref());
    if meanwhile != Told::Hung
        && let Ok(answer) = tokio::time::timeout(within / 5, answer).await
    {
        return told_by(answer);
    }
    (meanwhile, Err(no_answer_within(within)))
}

/// What two looks at the threads say of a haproxy that has not answered; none: they could not be seen.
fn judge_silence(first: Option<&ThreadsSeen>, second: Option<&ThreadsSeen>) -> Told {
    match (first, second) {
        (Some(first), Some(second)) if second.slept_since(first) => Told::Hung,
        (Some(first), Some(second)) if first.wants_to_run() && second.wants_to_run() => {
            Told::Starved
        }
        _ => Told::Bad,
    }
}

fn told_by(answer: Result<()>) -> (Told, Result<()>) {
    let told = if answer.is_ok() {
        Told::Good
    } else {
        Told::Bad
    };
    (told, answer)
}

fn no_answer_within(deadline: Duration) -> anyhow::Error {
    anyhow::anyhow!("haproxy did not answer within {} ms", deadline.as_millis())
}

async fn connect_to_haproxy(files: &Files) -> Result<UnixStream> {
    let socket: &Path = &files.path(haproxy::HEALTH_SOCKET);
    let connected = connect_to_socket(socket).await;
    connected.context("haproxy's health socket")
}

async fn ask_health(stream: UnixStream) -> Result<()> {
    let answer = ask_stream(stream, b"GET /healthz HTTP/1.0\r\n\r\n")
        .await
        .context("haproxy's health socket")?;
    if !answer.starts_with(b"HTTP/1.0 200") && !answer.starts_with(b"HTTP/1.1 200") {
        bail!(
            "haproxy answers {:?}",
            String::from_utf8_lossy(&answer[..answer.len().min(40)])
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
