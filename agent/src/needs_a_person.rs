//! The errors that are not worth another attempt.

use ha_wire::event::Beneath;

/// A fault that another attempt cannot mend: a person must act. Found by downcast in the driver.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NeedsAPerson(pub String);

/// A program fails because of another one beneath it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {}: {}", found.part, found.does, found.word)]
pub struct FailedBeneath {
    pub found: Beneath,
    /// Whether another attempt cannot mend it: then a person must act.
    pub is_final: bool,
}
