//! What the file takes from outside: SSH keys, the user's own Ignition files, hooks, and the form of paths.

use crate::diagnostic::Fault;
use crate::file::{ClusterFile, Spanned};

/// The kinds of keys that OpenSSH still takes.
const KEY_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];
/// The shortest real key, ed25519, has 68 letters of base64; anything below this was cut.
const MIN_KEY: usize = 60;

pub(super) fn check_files(file: &ClusterFile, faults: &mut Vec<Fault>) {
    for key in &file.authorized_keys {
        check_ssh_key(key, faults);
    }
    for path in file.ignition_merge.iter().chain(&file.trusted_cas) {
        check_local_path(path, faults);
    }
    let of_nodes = file.entries().iter();
    let of_nodes = of_nodes.flat_map(|node| node.before_join.iter().chain(&node.after_ready));
    let of_all = file.before_join.iter().chain(&file.after_ready);
    for hook in of_all.chain(of_nodes) {
        if hook.value.trim().is_empty() {
            faults.push(hook.error(
                "is an empty command",
                "write a shell command or leave it out",
            ));
        }
    }
}

/// A path of a local file or directory: absolute, or relative to the cluster file.
pub(super) fn check_local_path(path: &Spanned<String>, faults: &mut Vec<Fault>) {
    let text = path.value.as_str();
    if ha_wire::settings::is_url(text) {
        faults.push(path.error(
            "is a URL where a local file is needed",
            "fetch it first and name the file",
        ));
    } else if text.starts_with('~') || text.contains("${") {
        let message = format!("`{text}` is not expanded");
        faults.push(path.error(
            message,
            "write an absolute path, or one relative to the cluster file",
        ));
    } else if text.is_empty() || text.contains('\0') {
        faults.push(path.error(
            "is not a path",
            "write an absolute path, or one relative to the cluster file",
        ));
    }
}

fn check_ssh_key(key: &Spanned<String>, faults: &mut Vec<Fault>) {
    let text = key.value.trim();
    let mut words = text.split_whitespace();
    let mut word = || words.next().unwrap_or_default();
    let (kind, blob) = (word(), word());
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let (message, help) = if text.contains("PRIVATE KEY") {
        (
            "is a private key",
            "take it out of this file and give the public one, the line in id_ed25519.pub",
        )
    } else if text.lines().count() > 1 {
        ("is more than one line", "give each key an item of its own")
    } else if kind == "ssh-dss" {
        (
            "is a DSA key, which OpenSSH refuses",
            "make a new one: ssh-keygen -t ed25519",
        )
    } else if text.ends_with(".pub") && blob.is_empty() {
        (
            "is a file name",
            "write the key itself, the line in that file",
        )
    } else if !KEY_TYPES.contains(&kind) {
        (
            "does not look like a public SSH key",
            "write the line of a .pub file, e.g. ssh-ed25519 AAAA... me@host",
        )
    // Every key begins with the length of its type's name, a number below 256: AAAA.
    } else if !blob.starts_with("AAAA") || blob.len() < MIN_KEY || !blob.chars().all(base64) {
        (
            "is truncated or damaged",
            "copy the whole line of the .pub file",
        )
    } else {
        return;
    };
    faults.push(key.error(message, help));
}
