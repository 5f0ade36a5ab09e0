//! The real programs that judge what is made here. A test whose program is missing fails: passing without a word it would
//! look like proof. Whoever cannot have them sets `HA_WITHOUT_REAL=1`, and is told what was skipped.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Set to 1: a test whose real program is missing is skipped instead of failing.
const WITHOUT: &str = "HA_WITHOUT_REAL";

/// A program of a Debian package, ready for its arguments.
pub fn program(name: &str, package: &str) -> Option<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        let without = std::env::var_os(WITHOUT).is_some_and(|set| set == "1");
        assert!(
            without,
            "{name} is not there: install Debian's package {package}, or call `make need`; {WITHOUT}=1 skips what needs it"
        );
        // Not `eprintln`: of a test that passes, that is never shown.
        let _ = writeln!(
            std::io::stderr(),
            "skipped ({WITHOUT}=1): {name} is not there"
        );
    }
    found.map(Command::new)
}

/// What the program says of this text on its standard input.
pub fn says(mut program: Command, text: &str) -> Output {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Dropped at once: the program sees the end. One that has made up its mind early need not read it all.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    child.wait_with_output().unwrap()
}
