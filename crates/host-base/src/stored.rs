//! What ha-host wrote into a file for itself, maybe another release of it: its version is looked at before its shape.

use ha_wire::format::{FormatError, Version, parse_versioned};
use serde::de::DeserializeOwned;

/// Why such a file was refused.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// Written by another release. Nobody is told to move it away: what it holds may be known nowhere else.
    #[error(
        "version {found} is not known to this ha-host (it knows {known}): use the ha-host that wrote it, or a newer one"
    )]
    OtherVersion {
        /// The version as written.
        found: u64,
        /// The version that this program reads.
        known: u32,
    },
    /// Not JSON, or not of this shape.
    #[error(transparent)]
    Shape(serde_json::Error),
}

/// Reads JSON whose field `version` is a [`Version<N>`].
pub fn parse_stored<T: DeserializeOwned, const N: u32>(
    text: &str,
    version: Version<N>,
) -> Result<T, StoredError> {
    parse_versioned(text, "a file of ha-host's own", version).map_err(|error| match error {
        FormatError::Version {
            found, supported, ..
        } => StoredError::OtherVersion {
            found,
            known: supported,
        },
        FormatError::Shape { source, .. } => StoredError::Shape(source),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Kept {
        #[expect(dead_code, reason = "it is what is looked at")]
        version: Version<1>,
        count: u32,
    }

    #[test]
    fn the_version_is_looked_at_before_the_shape() {
        let parse = |text: &str| parse_stored::<Kept, 1>(text, Version);
        assert_eq!(parse(r#"{"version":1,"count":3}"#).unwrap().count, 3);
        for newer in [
            r#"{"version":2,"count":3}"#,
            r#"{"count":3,"more":{},"version":2}"#,
            r#"{"version":2,"count":"three"}"#,
        ] {
            let error = parse(newer).unwrap_err().to_string();
            let words = "version 2 is not known to this ha-host (it knows 1): use the ha-host that wrote it, or a newer one";
            assert_eq!(error, words, "{newer}");
        }
        for broken in [
            "{",
            r#"{"count":3}"#,
            r#"{"version":1,"count":3,"more":{}}"#,
            r#"{"version":"2","count":3}"#,
        ] {
            let error = parse(broken).unwrap_err();
            assert!(matches!(error, StoredError::Shape(_)), "{broken}: {error}");
        }
    }
}
