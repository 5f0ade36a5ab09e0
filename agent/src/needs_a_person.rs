//! The one kind of error that is not worth another attempt.

/// A fault that another attempt cannot mend: a person must act. Found by downcast in the driver.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NeedsAPerson(pub String);
