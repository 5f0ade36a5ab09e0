//! What every part of the operator's program stands on: durable files, child processes, exit codes, words.

pub mod clock;
pub mod command;
pub mod exit;
pub mod failpoint;
pub mod files;
pub mod text;

/// Runs a future to its end on a runtime of its own, for the few places that only ask.
pub fn block_on<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    Ok(runtime
        .map_err(|e| anyhow::anyhow!("no async runtime: {e}"))?
        .block_on(future))
}
