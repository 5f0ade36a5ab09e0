//! Who ends a verb: signals, and the time that it may take. What has not ended by itself soon after ([`crate::interrupt`]) is cut
//! off.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::Signal as SignalNumber;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::command::end_children;
use crate::exit::{Exit, error_line};
use crate::interrupt::{Cause, Interrupt, take_last_word};
use crate::output;

/// How long a verb may take to end by itself: with what follows, people wait for a second.
const GRACE: Duration = Duration::from_millis(800);
/// How long the last word, and then the end of the last children, are waited for.
const LAST_WORD: Duration = Duration::from_millis(150);

/// Takes SIGINT, SIGTERM and SIGHUP from now on: the first one ends the verb, a second one the process at once.
pub fn end_on_signals() -> Result<()> {
    on_signals(|| match Interrupt::of_process().asked() {
        false => end_process(Cause::Signal),
        true => cut_off(Cause::Signal),
    })
}

/// Takes them for a verb that says good-bye to another program first: `told` becomes true, and until its grace is over the verb
/// may run children and talk.
pub fn tell_of_signals(told: Arc<AtomicBool>) -> Result<()> {
    on_signals(move || match told.swap(true, Ordering::SeqCst) {
        false => cut_off_after_grace(Cause::Signal),
        true => cut_off(Cause::Signal),
    })
}

/// The time that a verb may take; over when it is dropped.
#[derive(Debug)]
pub struct TimeLimit {
    _dropped: Sender<()>,
}

impl TimeLimit {
    /// Ends the verb at `end`.
    pub fn until(end: Instant) -> Self {
        let (keep, dropped) = channel();
        thread::spawn(move || {
            let left = end.saturating_duration_since(Instant::now());
            if dropped.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                end_process(Cause::TimeUp);
            }
        });
        Self { _dropped: keep }
    }
}

type LastWords = Box<dyn FnOnce(Cause) + Send>;
static LAST_WORDS: Mutex<Option<LastWords>> = Mutex::new(None);

/// What is said for this verb if it is cut off.
pub fn set_last_words(words: impl FnOnce(Cause) + Send + 'static) {
    *LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(words));
}

/// Every wait ends, and if that does not end the process, it is cut off.
fn end_process(cause: Cause) {
    Interrupt::of_process().raise(cause);
    cut_off_after_grace(cause);
}

fn cut_off_after_grace(cause: Cause) {
    thread::spawn(move || {
        thread::sleep(GRACE);
        cut_off(cause)
    });
}

#[allow(
    clippy::exit,
    reason = "who waits without listening cannot be ended otherwise; everything here survives a kill"
)]
fn cut_off(cause: Cause) -> ! {
    Interrupt::of_process().raise(cause);
    let (tell, said) = channel();
    // In a thread of its own: whoever reads us may have stopped, and the stream's lock with it.
    thread::spawn(move || {
        if take_last_word() {
            let words = LAST_WORDS.lock().map(|mut words| words.take());
            match words.unwrap_or_else(|poisoned| poisoned.into_inner().take()) {
                Some(words) => words(cause),
                None => output::print_error_line(&error_line(cause.label())),
            }
            let _ = tell.send(());
        } else {
            // Somebody else is at it.
            thread::sleep(2 * LAST_WORD);
        }
    });
    let _ = said.recv_timeout(LAST_WORD);
    end_children(LAST_WORD);
    std::process::exit(Exit::from(cause) as i32)
}

/// Listens in a thread of its own, for as long as the process lives.
fn on_signals(mut told: impl FnMut() + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot listen for signals")?;
    let inside = runtime.enter();
    let ignored = ignored_signals();
    let listen = |kind, number| -> Result<Option<Signal>> {
        // As nohup and shells leave it for what runs in the background.
        if ignored & (1 << (number as u32 - 1)) != 0 {
            return Ok(None);
        }
        signal(kind).map(Some).context("cannot listen for signals")
    };
    let mut interrupt = listen(SignalKind::interrupt(), SignalNumber::SIGINT)?;
    let mut terminate = listen(SignalKind::terminate(), SignalNumber::SIGTERM)?;
    let mut hangup = listen(SignalKind::hangup(), SignalNumber::SIGHUP)?;
    drop(inside);
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    () = wait_for_signal(&mut interrupt) => {}
                    () = wait_for_signal(&mut terminate) => {}
                    () = wait_for_signal(&mut hangup) => {}
                }
                told();
            }
        });
    });
    Ok(())
}

async fn wait_for_signal(signal: &mut Option<Signal>) {
    let heard = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending::<()>().await;
    }
}

/// The kernel's set of signals that this process was started to ignore, signal 1 in the lowest bit.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0)
}
