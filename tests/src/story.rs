//! A test as a story of named steps: each is printed with its time as it ends, past cargo's capture of the output.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;

/// One test's steps.
#[derive(Debug)]
pub struct Story {
    name: String,
}

impl Story {
    /// Begins a story.
    pub fn new(name: &str) -> Self {
        print_uncaptured(&format!("{name}:"));
        Self { name: name.into() }
    }

    /// One step. A failed one ends the test with its error's whole chain.
    ///
    /// # Panics
    /// If the step fails: this is a test's assertion.
    pub fn step<T>(&self, what: &str, act: impl FnOnce() -> Result<T>) -> T {
        let begun = Instant::now();
        match act() {
            Ok(value) => {
                print_uncaptured(&format!(
                    "  ok   {:>6.1} s  {what}",
                    begun.elapsed().as_secs_f64()
                ));
                value
            }
            Err(error) => {
                print_uncaptured(&format!(
                    "  FAIL {:>6.1} s  {what}",
                    begun.elapsed().as_secs_f64()
                ));
                panic!("{}: {what}: {error:#}", self.name);
            }
        }
    }

    /// A figure or a remark that no assertion hangs on.
    pub fn note(&self, what: &str) {
        print_uncaptured(&format!("       {what}"));
    }
}

/// Writes a line to the terminal; cargo's test runner captures only what the print macros write.
pub fn print_uncaptured(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
