//! Exit codes, and the errors that choose one.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::command::end_children;
use crate::interrupt::{Cause, Interrupt, take_last_word};
use crate::output;
use crate::text::Paint;

/// How long the last children of a program that is to end are waited for.
const LAST_CHILDREN: Duration = Duration::from_millis(150);

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

impl From<Cause> for Exit {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Signal => Self::Interrupted,
            Cause::TimeUp => Self::TimedOut,
        }
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
pub fn report_error(error: &anyhow::Error) -> Exit {
    let stop = error.downcast_ref::<Stop>();
    match (stop, Interrupt::of_process().cause()) {
        (Some(Stop::Said(exit)), _) => return *exit,
        // What fails because the program ends is not a failure of its own.
        (_, Some(cause)) => {
            if take_last_word() {
                output::print_error_line(&error_line(cause.label()));
            }
            return cause.into();
        }
        (Some(Stop::InputFaults(faults)), None) => output::print_error_line(faults),
        (_, None) => output::print_error_line(&error_line(&format!("{error:#}"))),
    }
    stop.map_or(Exit::Failed, Stop::exit)
}

/// The end of the program: says what went wrong, and chooses the code.
pub fn finish_program(result: Result<ExitCode>) -> ExitCode {
    let code = result.unwrap_or_else(|error| report_error(&error).into());
    if Interrupt::of_process().asked() {
        end_children(LAST_CHILDREN);
    }
    match output::stdout_failure() {
        Some(why) if code == ExitCode::SUCCESS => {
            let words = format!("standard output does not take what was to be printed: {why}");
            output::print_error_line(&error_line(&words));
            Exit::Failed.into()
        }
        _ => code,
    }
}

/// An error as people see it.
pub fn error_line(words: &str) -> String {
    format!("{} {words}", Paint::stderr().red("error:"))
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
        assert_eq!(report_error(&wrapped), Exit::BadInput);
        assert_eq!(report_error(&anyhow::anyhow!("boom")), Exit::Failed);
        assert_eq!(
            report_error(&Stop::Said(Exit::TimedOut).into()),
            Exit::TimedOut
        );
    }
}
