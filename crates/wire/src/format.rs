//! The version of a format, which no reader can forget: the field itself is read as one number only. [`parse_versioned`] also says
//! whether a text is of another version or damaged.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The field `version` of format N: written as that number, and no other number is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<const N: u32>;

impl<const N: u32> Serialize for Version<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(N)
    }
}

impl<'de, const N: u32> Deserialize<'de> for Version<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            found if found == u64::from(N) => Ok(Self),
            found => Err(D::Error::custom(format_args!(
                "version {found} is not supported (supported: {N})"
            ))),
        }
    }
}

/// Why a node file, an event or a status was refused.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Not JSON, or not of this shape.
    #[error("not {what}: {source}")]
    Shape {
        /// `a node file`, `an event`, `a status`.
        what: &'static str,
        /// Where it went wrong.
        source: serde_json::Error,
    },
    /// Written by a program of another release.
    #[error(
        "version {found} of {what} is not supported (supported: {supported}): update whichever of ha-host and ha-agent is older"
    )]
    Version {
        /// `a node file`, `an event`, `a status`.
        what: &'static str,
        /// The version as written.
        found: u64,
        /// The version that this program reads.
        supported: u32,
    },
}

/// Reads JSON whose field `version` is a [`Version<N>`]; `what` names the format in errors: `an event`.
pub fn parse_versioned<T: DeserializeOwned, const N: u32>(
    text: &str,
    what: &'static str,
    _: Version<N>,
) -> Result<T, FormatError> {
    #[derive(Deserialize)]
    struct OnlyVersion {
        version: u64,
    }
    serde_json::from_str(text).map_err(|source| match serde_json::from_str(text) {
        Ok(OnlyVersion { version: found }) if found != u64::from(N) => FormatError::Version {
            what,
            found,
            supported: N,
        },
        _ => FormatError::Shape { what, source },
    })
}
