//! What the program prints. Whoever reads it may stop at any time (`ha-host status | head -1`): that ends no verb in its middle
//! and changes no exit code. A full disk does: see [`stdout_failure`].
//!
//! The macros have the names of the standard library's, which panic then, so that a program can put them in their place.

use std::io::{ErrorKind, Result, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static FAILURE: OnceLock<String> = OnceLock::new();
static READER_GONE: AtomicBool = AtomicBool::new(false);

/// Whether nobody reads standard output any more: the end of whatever prints for ever.
pub fn reader_has_gone() -> bool {
    READER_GONE.load(Ordering::Relaxed)
}

/// Why standard output did not take everything, unless its reader has gone.
pub fn stdout_failure() -> Option<&'static str> {
    FAILURE.get().map(String::as_str)
}

/// To standard output, as it is.
pub fn print_text(text: &str) {
    let Err(error) = write_whole(&mut std::io::stdout().lock(), text) else {
        return;
    };
    if error.kind() == ErrorKind::BrokenPipe {
        READER_GONE.store(true, Ordering::Relaxed);
    } else {
        FAILURE.get_or_init(|| error.to_string());
    }
}

/// To standard output, with a line's end.
pub fn print_line(text: &str) {
    print_text(&format!("{text}\n"));
}

/// To standard error, with a line's end.
pub fn print_error_line(text: &str) {
    // Nowhere is left to tell of a failure.
    let _ = write_whole(&mut std::io::stderr().lock(), &format!("{text}\n"));
}

fn write_whole(stream: &mut impl Write, text: &str) -> Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

/// To standard output, as it is.
#[macro_export]
macro_rules! print {
    ($($text:tt)*) => { $crate::output::print_text(&::std::format!($($text)*)) };
}

/// To standard output, with a line's end.
#[macro_export]
macro_rules! println {
    () => { $crate::output::print_line("") };
    ($($text:tt)*) => { $crate::output::print_line(&::std::format!($($text)*)) };
}

/// To standard error, with a line's end.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::output::print_error_line("") };
    ($($text:tt)*) => { $crate::output::print_error_line(&::std::format!($($text)*)) };
}
