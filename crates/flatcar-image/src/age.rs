//! No signature says which version an image is, so a mirror can hand out an old one that Flatcar did sign. Its age tells.

use super::record::{ImageRecord, by_version, major_number};

const MS_PER_DAY: u64 = 24 * 3600 * 1000;

/// A warning, if one of the stored images was signed later than this one although it should not have been. `exact`: this very
/// version was asked for, not what the channel has now; then later versions and other streams may be newer.
pub fn warning_of_age(new: &ImageRecord, exact: bool, stored: &[ImageRecord]) -> Option<String> {
    let may_be_newer = |r: &ImageRecord| {
        let same_stream = major_number(&r.version) == major_number(&new.version);
        exact && !(same_stream && by_version(&r.version, &new.version).is_lt())
    };
    let of_its_kind = |r: &&ImageRecord| r.arch == new.arch && r.channel == new.channel;
    let newer = stored
        .iter()
        .filter(of_its_kind)
        .filter(|r| r.signed_ms > new.signed_ms && !may_be_newer(r))
        .max_by_key(|r| r.signed_ms)?;
    let days = (newer.signed_ms - new.signed_ms) / MS_PER_DAY;
    Some(format!(
        "warning: {} was signed {days} days before {}, which is stored too: the server may have handed out an old image; see \
         /etc/os-release on a machine, or take another server by --mirror URL",
        new.version, newer.version
    ))
}
