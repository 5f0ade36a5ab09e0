//! The wish to end: Ctrl-C, SIGTERM, a closed terminal, or time that is up ([`crate::signals`]). There is one for the whole process,
//! and every wait of this program listens to it: [`crate::command`] ends its children, [`crate::block_on`] its future. So a verb
//! ends by its own error path and tidies up.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Why the program is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asked for it.
    Signal,
    /// The time that it may take is over.
    TimeUp,
}

impl Cause {
    /// For people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Signal => "interrupted",
            Self::TimeUp => "the time is up",
        }
    }
}

/// What was waited for was given up because the program is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.label())]
pub struct CutOff(pub Cause);

/// The wish to end, once somebody has it.
#[derive(Debug)]
pub struct Interrupt {
    cause: watch::Sender<Option<Cause>>,
}

static PROCESS: LazyLock<Interrupt> = LazyLock::new(|| Interrupt {
    cause: watch::channel(None).0,
});

impl Interrupt {
    /// The one of this process.
    pub fn of_process() -> &'static Self {
        &PROCESS
    }

    /// Why the program is to end, if it is. The first cause is the cause.
    pub fn cause(&self) -> Option<Cause> {
        *self.cause.borrow()
    }

    /// Whether it is to end.
    pub fn asked(&self) -> bool {
        self.cause().is_some()
    }

    /// Returns as soon as it is to end.
    pub async fn wait(&self) {
        let mut cause = self.cause.subscribe();
        if cause.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// An error if it is to end.
    pub fn check(&self) -> Result<(), CutOff> {
        match self.cause() {
            Some(cause) => Err(CutOff(cause)),
            None => Ok(()),
        }
    }

    /// From now on it is to end.
    pub(crate) fn raise(&self, cause: Cause) {
        self.cause.send_if_modified(|now| {
            let first = now.is_none();
            *now = now.or(Some(cause));
            first
        });
    }
}

static LAST_WORD_TAKEN: AtomicBool = AtomicBool::new(false);

/// True for the first who asks, who then says how an interrupted verb ended.
pub fn take_last_word() -> bool {
    !LAST_WORD_TAKEN.swap(true, Ordering::SeqCst)
}
