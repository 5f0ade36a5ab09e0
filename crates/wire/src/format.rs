//! Reading what the other program wrote: the version first, so that a new format is called by its name.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why an event or a status was refused.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// No JSON, or not this shape.
    #[error("not {what}: {source}")]
    Shape {
        /// `an event`, `a status`.
        what: &'static str,
        /// Where it went wrong.
        source: serde_json::Error,
    },
    /// Another format.
    #[error(
        "version {found} of {what} is not known here (known is {known}): update whichever of ha-host and ha-agent is older"
    )]
    Version {
        /// `an event`, `a status`.
        what: &'static str,
        /// As written.
        found: u64,
        /// As known.
        known: u32,
    },
}

/// Reads JSON whose field `version` has to be `known`.
pub(crate) fn parse<T: DeserializeOwned>(
    text: &str,
    what: &'static str,
    known: u32,
) -> Result<T, FormatError> {
    let shape = |source| FormatError::Shape { what, source };
    let value: Value = serde_json::from_str(text).map_err(shape)?;
    match value.get("version").and_then(Value::as_u64) {
        Some(found) if found != u64::from(known) => {
            Err(FormatError::Version { what, found, known })
        }
        _ => serde_json::from_value(value).map_err(shape),
    }
}
