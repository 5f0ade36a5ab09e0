//! What every part of the operator's program stands on: durable files, child processes, exit codes, words, the wish to end.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic when nobody reads any more: see output.rs"
)]

pub mod clock;
pub mod command;
pub mod exit;
pub mod failpoint;
pub mod files;
pub mod interrupt;
pub mod output;
pub mod process_stat;
pub mod signals;
pub mod stored;
pub mod text;

use interrupt::Interrupt;

/// Runs a future on a runtime of its own, for the few places that only ask. To its end, or to the program's: a future that
/// listens to the [`Interrupt`] itself is asked first.
pub fn block_on<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| anyhow::anyhow!("no async runtime: {e}"))?;
    let interrupt = Interrupt::of_process();
    let done = runtime.block_on(async {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = interrupt.wait() => None,
        }
    });
    // Not joined: looking up a name cannot be ended.
    runtime.shutdown_background();
    if done.is_none() {
        interrupt.check()?;
    }
    done.ok_or_else(|| anyhow::anyhow!("the answer was not waited for"))
}
