//! `completions SHELL` and `man`: made from the command line's own description.

use anyhow::Result;
use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs};

/// A shell's completion script.
pub fn print_completions(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ha-host", &mut script);
    print!("{}", String::from_utf8(script)?);
    Ok(())
}

/// The manual page, in roff.
pub fn print_manual() -> Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    print!("{}", String::from_utf8(page)?);
    Ok(())
}
