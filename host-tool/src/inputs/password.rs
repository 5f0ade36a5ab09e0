//! A password in a file of its own: one line.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ha_kube::Secret;

use super::file::{FileFault, read_text};

/// What a browser sends without trouble, and a line of haproxy's holds.
const LONGEST: usize = 256;

/// The password, and whether others on this machine may read it, too.
pub fn read_password(path: &Path) -> Result<(Secret, Option<FileFault>), FileFault> {
    let text = Secret::new(read_text(path)?);
    let line = text.expose().trim_end_matches(['\n', '\r']);
    if line.is_empty() || line.len() > LONGEST || line.chars().any(char::is_control) {
        let what =
            format!("is not a valid password: it has to be one line of at most {LONGEST} bytes");
        return Err(FileFault::new(what, "write the password alone into it"));
    }
    let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode() & 0o777);
    let open = (mode & 0o077 != 0).then(|| {
        let what = format!("may be read by others on this machine (mode {mode:04o})");
        FileFault::new(what, "chmod 600 it")
    });
    Ok((Secret::new(line.to_owned()), open))
}

/// A line of a file that systemd takes as an `EnvironmentFile=`.
pub fn environment_line(name: &str, value: &Secret) -> Secret {
    let mut line = format!("{name}=\"");
    for c in value.expose().chars() {
        // What systemd takes a backslash from, in double quotes.
        if "\"\\`$".contains(c) {
            line.push('\\');
        }
        line.push(c);
    }
    line.push_str("\"\n");
    Secret::new(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str, mode: u32) -> Result<(Secret, Option<FileFault>), FileFault> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        read_password(&path)
    }

    #[test]
    fn it_is_one_line_without_its_end() {
        let (password, warning) = read("hush #1\n", 0o600).unwrap();
        assert_eq!((password.expose(), warning), ("hush #1", None));
        for (bad, says) in [
            ("\n", "one line"),
            ("a\nb\n", "one line"),
            ("", "is empty"),
            ("a\0b", "one line"),
        ] {
            let fault = read(bad, 0o600).unwrap_err();
            assert!(fault.what.contains(says), "{fault}");
        }
    }

    #[test]
    fn one_that_others_may_read_is_said() {
        let (_, warning) = read("hush", 0o644).unwrap();
        assert!(warning.unwrap().what.contains("mode 0644"));
    }

    #[test]
    fn what_systemd_would_take_for_more_than_a_letter_is_escaped() {
        let line = environment_line("A", &Secret::new(r#"p"a$s\ '#"#.into()));
        assert_eq!(line.expose(), "A=\"p\\\"a\\$s\\\\ '#\"\n");
    }
}
