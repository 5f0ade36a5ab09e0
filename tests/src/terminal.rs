//! Programs on a terminal, as a person sees them: `script` gives them one and hands on what they write to it.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::operator::Operator;

/// What is run on the terminal: it has a size, or bars would have no room.
const ON_TERMINAL: &str = "stty rows 40 columns 120 && exec ";
/// What every terminal of the last decades understands.
const KIND: &str = "xterm-256color";

/// A command of the operator's that runs on a terminal of its own; its exit code is handed on.
pub fn on_terminal(operator: &Operator, words: &[OsString]) -> Result<Command> {
    let words: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
    let words = words.context("a word that is not UTF-8")?;
    // The words go through a shell.
    let plain = |word: &&str| {
        word.chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    };
    ensure!(
        words.iter().all(plain),
        "{words:?}: a word for a shell to read"
    );
    let mut command = operator.command("script");
    command
        .args(["--quiet", "--return", "--command"])
        .arg(format!("{ON_TERMINAL}{}", words.join(" ")))
        .arg("/dev/null")
        .env("TERM", KIND);
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    Ok(command)
}

/// A text without the sequences that colour it and move the cursor.
pub fn without_sequences(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
        } else if chars.next() == Some('[') {
            // Parameters, then one letter that says what it does.
            let _ = chars.by_ref().find(char::is_ascii_alphabetic);
        }
    }
    plain
}

#[cfg(test)]
mod tests;
