//! Exit codes, and the errors that choose one.

use std::process::ExitCode;

/// What the program says to its caller. Documented in every help text: scripts build on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is so.
    Done = 0,
    /// It is not, and running again without a change may not help.
    Failed = 1,
    /// The cluster file or the command line is wrong; nothing was written.
    BadInput = 2,
    /// It is not so yet.
    TimedOut = 3,
    /// Somebody pressed Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that says with which code the program ends. Any other error ends it with [`Exit::Failed`].
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The input is wrong.
    #[error("{0}")]
    BadInput(String),
    /// The input is wrong in ways that are shown with their places; the whole message, which needs no further word.
    #[error("{0}")]
    InputFaults(String),
    /// Everything was said already.
    #[error("ended with {0:?}")]
    Said(Exit),
}

impl Stop {
    /// A message on bad input.
    pub fn bad_input(message: impl Into<String>) -> anyhow::Error {
        Self::BadInput(message.into()).into()
    }

    fn exit(&self) -> Exit {
        match self {
            Self::BadInput(_) | Self::InputFaults(_) => Exit::BadInput,
            Self::Said(exit) => *exit,
        }
    }
}

/// Prints the error, unless that is done, and chooses the code.
pub fn report(error: &anyhow::Error) -> Exit {
    let stop = error.downcast_ref::<Stop>();
    match stop {
        Some(Stop::Said(_)) => {}
        Some(Stop::InputFaults(faults)) => eprintln!("{faults}"),
        _ => eprintln!("{} {error:#}", crate::text::Paint::stderr().red("error:")),
    }
    stop.map_or(Exit::Failed, Stop::exit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn codes_survive_context() {
        let wrapped = Err::<(), _>(Stop::bad_input("no"))
            .context("while reading")
            .unwrap_err();
        assert_eq!(report(&wrapped), Exit::BadInput);
        assert_eq!(report(&anyhow::anyhow!("boom")), Exit::Failed);
        assert_eq!(report(&Stop::Said(Exit::TimedOut).into()), Exit::TimedOut);
    }
}
