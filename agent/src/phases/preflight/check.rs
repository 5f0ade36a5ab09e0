//! One check: name, verdict, the machine's words, the remedy and the command that shows it. It is what `ha-agent doctor` prints.

pub use ha_wire::doctor::{Check, Verdict};

/// The builder of a check: passes unless told otherwise.
pub fn passing_check(name: &str, command: &str) -> Check {
    Check::passing(name, command)
}
