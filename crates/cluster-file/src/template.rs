//! The cluster file that `ha-host new` writes.

/// Everything that may be in a cluster file, one line of explanation each; defaults are shown commented out. `@NAME@` is
/// the only placeholder.
const TEXT: &str = include_str!("template.yaml");

/// The name where nothing of the wanted one is left.
const FALLBACK: &str = "demo";
/// The longest name that Cilium takes, which is the template's pod network.
const MAX_NAME: usize = 32;

/// The text of `ha-host new`: a cluster file that is valid as it stands, with every key in it. What a cluster cannot be
/// called becomes its nearest name: `My Cluster` is `my-cluster`.
pub fn commented_cluster_file(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let label: String = name.to_lowercase().chars().map(letter).collect();
    let label: String = label.trim_matches('-').chars().take(MAX_NAME).collect();
    let label = label.trim_end_matches('-');
    TEXT.replace("@NAME@", if label.is_empty() { FALLBACK } else { label })
}
