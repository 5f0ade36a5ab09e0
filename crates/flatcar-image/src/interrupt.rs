//! Ctrl-C: what is at work ends at the next chunk and tidies up.

use std::thread::JoinHandle;

use anyhow::Result;
use ha_host_base::exit::{Exit, Stop as End};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

/// Listens for SIGINT and SIGTERM until it is dropped.
#[derive(Debug)]
pub struct Interrupt {
    asked: watch::Receiver<bool>,
    over: Option<oneshot::Sender<()>>,
    listener: Option<JoinHandle<()>>,
}

impl Interrupt {
    /// Begins to listen. In a thread of its own, since checking and unpacking keep the caller's busy.
    pub fn listen() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let (tell, asked) = watch::channel(false);
        let (over, ended) = oneshot::channel::<()>();
        let inside = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        drop(inside);
        let listen = async move {
            tokio::select! {
                _ = interrupt.recv() => tell.send_replace(true),
                _ = terminate.recv() => tell.send_replace(true),
                _ = ended => false,
            };
        };
        let listener = std::thread::spawn(move || runtime.block_on(listen));
        Ok(Self {
            asked,
            over: Some(over),
            listener: Some(listener),
        })
    }

    /// Whether somebody wants an end.
    pub fn asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Returns as soon as somebody does.
    pub async fn wait(&self) {
        let mut asked = self.asked.clone();
        if asked.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// An error if somebody does.
    pub fn check(&self) -> Result<()> {
        if self.asked() {
            Err(End::Said(Exit::Interrupted).into())
        } else {
            Ok(())
        }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(listener) = self.listener.take() {
            // It cannot panic, and there would be nothing to do about it.
            let _ = listener.join();
        }
    }
}
