//! QEMU as a process that outlives ha-host, and is found again.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ha_host_base::command::{Startup, find_program, last_lines, wait_until_ready};
use serde_json::json;

use super::layout::{LOG, PID, QMP};
use super::qmp::Qmp;
use crate::process::ProcessIdentity;

/// QEMU answers its monitor after some 100 ms; on a machine that is busy with other nodes' boots much later.
const STARTING: Duration = Duration::from_secs(60);
/// How long QEMU may need to write its caches back when told to quit.
const QUITTING: Duration = Duration::from_secs(5);
/// How long the kernel may need for a killed process.
const DYING: Duration = Duration::from_secs(10);
/// How long one attempt to reach the monitor of a starting QEMU may take.
const GREETING: Duration = Duration::from_secs(1);
/// Waits until its number is written down: no QEMU may run that nobody knows of.
const GATE: &str = r#"umask 077; read -r go && exec "$@" </dev/null"#;

/// The QEMU of this directory, if it runs.
pub fn running_process(dir: &Path) -> Option<ProcessIdentity> {
    ProcessIdentity::alive(&dir.join(PID))
}

/// Starts `program` in `dir`, in a session of its own, until its monitor answers. When it ends while we still live, what it
/// said goes to `epitaph`.
pub fn start_qemu(
    dir: &Path,
    program: &Path,
    arguments: &[String],
    epitaph: Option<&Path>,
) -> Result<()> {
    // A socket that nobody listens on would be taken for a QEMU that hangs.
    let _ = std::fs::remove_file(dir.join(QMP));
    let child = start_and_wait(dir, program, arguments, || {
        dir.join(QMP).exists() && Qmp::open(&dir.join(QMP), GREETING).is_ok()
    })?;
    let (dir, epitaph) = (dir.to_owned(), epitaph.map(Path::to_owned));
    // Should it end before we do, somebody must take note of it.
    std::thread::spawn(move || note_end(child, &dir, epitaph.as_deref()));
    Ok(())
}

/// Starts a program of our own, which has no monitor, until the file `sign` is there.
pub fn start_program(dir: &Path, program: &Path, arguments: &[String], sign: &Path) -> Result<()> {
    let mut child = start_and_wait(dir, program, arguments, || sign.exists())?;
    // Should it end before we do, somebody must take note of it.
    std::thread::spawn(move || child.wait());
    Ok(())
}

fn start_and_wait(
    dir: &Path,
    program: &Path,
    arguments: &[String],
    is_ready: impl FnMut() -> bool,
) -> Result<Child> {
    let mut child = spawn_session(dir, program, arguments)?;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    match wait_until_ready(&mut child, STARTING, is_ready)? {
        Startup::Ready => Ok(child),
        Startup::Ended(status) => bail!("{name} has ended ({status}): {}", last_words_of_qemu(dir)),
        Startup::Late => {
            stop_process(dir)?;
            let waited = STARTING.as_secs();
            bail!(
                "{name} does not answer within {waited} s: {}",
                last_words_of_qemu(dir)
            )
        }
    }
}

fn spawn_session(dir: &Path, program: &Path, arguments: &[String]) -> Result<Child> {
    let setsid = find_program("setsid")
        .context("setsid is not installed: it is in the package util-linux")?;
    // Each start begins it anew: the last words are this QEMU's.
    let log = File::create(dir.join(LOG))
        .with_context(|| format!("cannot write {}", dir.join(LOG).display()))?;
    let mut child = Command::new(setsid)
        .args(["sh", "-c", GATE, "sh"])
        .arg(program)
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().context("cannot share the log")?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let gate = child.stdin.take().context("no way to the new process")?;
    let known = ProcessIdentity::of(child.id().cast_signed())
        .context("the new process has ended at once")?;
    known.write(&dir.join(PID))?;
    // Should it have ended, that is seen by whoever waits.
    let _ = (&gate).write_all(b"go\n");
    Ok(child)
}

fn note_end(mut child: Child, dir: &Path, epitaph: Option<&Path>) {
    let (Ok(status), Some(epitaph)) = (child.wait(), epitaph) else {
        return;
    };
    if status.success() {
        return;
    }
    // The node may have been removed by now.
    if let Ok(mut file) = File::options().append(true).open(epitaph) {
        let _ = writeln!(
            file,
            "\r\nQEMU has ended ({status}): {}",
            last_words_of_qemu(dir)
        );
    }
}

/// The last lines that QEMU wrote.
pub fn last_words_of_qemu(dir: &Path) -> String {
    let text = std::fs::read_to_string(dir.join(LOG)).unwrap_or_default();
    match last_lines(&text) {
        "" => "it said nothing".into(),
        words => words.into(),
    }
}

/// Until a QEMU that somebody has killed is gone, if there is one: what it held is free then.
pub fn wait_while_dying(dir: &Path) -> Result<()> {
    match running_process(dir) {
        Some(process) if process.is_dying() => wait_for_end(&process, dir),
        _ => Ok(()),
    }
}

fn wait_for_end(process: &ProcessIdentity, dir: &Path) -> Result<()> {
    if process.gone_within(DYING) {
        return Ok(());
    }
    bail!(
        "process {} of {} cannot be killed; is its storage stuck?",
        process.pid(),
        dir.display()
    )
}

/// Ends the QEMU of this directory at once, as when the plug is pulled; fine if none runs.
pub fn stop_process(dir: &Path) -> Result<()> {
    if let Some(process) = running_process(dir) {
        let quit =
            Qmp::open(&dir.join(QMP), QUITTING).and_then(|mut qmp| qmp.execute("quit", json!({})));
        if quit.is_err() || !process.gone_within(QUITTING) {
            process.kill();
        }
        wait_for_end(&process, dir)?;
    }
    for file in [PID, QMP] {
        // Not there: as good.
        let _ = std::fs::remove_file(dir.join(file));
    }
    Ok(())
}
