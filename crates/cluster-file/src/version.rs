//! Versions, as they are written everywhere in the cluster file.

/// Three numbers without `v`, as versions are written everywhere in the cluster file.
pub(crate) fn version_parts(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
    let version = [parts.next()??, parts.next()??, parts.next()??];
    // `1.34.04` and `1.34.4.1` are not versions.
    (format!("{}.{}.{}", version[0], version[1], version[2]) == text).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_three_numbers() {
        assert_eq!(version_parts("1.34.4"), Some([1, 34, 4]));
        for wrong in [
            "1.34",
            "v1.34.4",
            "1.34.04",
            "1.34.4.1",
            "1.34.x",
            "",
            "1.34.4-rc.1",
        ] {
            assert_eq!(version_parts(wrong), None, "{wrong}");
        }
    }
}
