//! The cluster file that `ha-host new` writes.

/// Everything that may be in a cluster file, one line of explanation each; defaults are shown commented out. `@NAME@` is
/// the only placeholder.
const TEXT: &str = include_str!("template.yaml");

/// The text of `ha-host new`: a cluster file that is valid as it stands, with every key in it.
pub fn commented(name: &str) -> String {
    TEXT.replace("@NAME@", name)
}
