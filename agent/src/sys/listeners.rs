//! Who listens on a port, from the kernel's own tables.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use super::files::Files;

const LISTEN: &str = "0A";

/// Who listens, as far as it can be seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Listening ports among the wanted ones, each with the name of its program; empty: not to be found out.
    pub holders: BTreeMap<u16, String>,
    /// Programs that the kernel does not show the sockets of: one of them is whom an empty name stands for. For the
    /// service, which may not trace processes, that is every process with more rights than its own.
    pub hidden: BTreeSet<String>,
}

/// Looks the wanted ports up.
pub fn find_listeners(files: &Files, wanted: &[u16]) -> Listening {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let text: String = tables
        .iter()
        .filter_map(|name| files.read(name).ok().flatten())
        .collect();
    let listening: BTreeMap<u16, u64> = parse_listeners(&text)
        .into_iter()
        .filter(|(p, _)| wanted.contains(p))
        .collect();
    if listening.is_empty() {
        return Listening::default();
    }
    let inodes: Vec<u64> = listening.values().copied().collect();
    let (programs, hidden) = programs_by_socket(files, &inodes);
    let holders = listening
        .into_iter()
        .map(|(port, inode)| (port, programs.get(&inode).cloned().unwrap_or_default()))
        .collect();
    Listening { holders, hidden }
}

/// Port and socket inode of each listening line.
fn parse_listeners(table: &str) -> Vec<(u16, u64)> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = fields.get(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (*fields.get(3)? == LISTEN)
            .then(|| fields.get(9)?.parse().ok())
            .flatten()
            .map(|inode| (port, inode))
    };
    table.lines().filter_map(line).collect()
}

/// The program behind each socket inode, and the programs whose sockets are not shown. Looks through all processes: asked
/// only when something listens.
fn programs_by_socket(files: &Files, inodes: &[u64]) -> (BTreeMap<u64, String>, BTreeSet<String>) {
    let (mut found, mut hidden) = (BTreeMap::new(), BTreeSet::new());
    let Ok(processes) = std::fs::read_dir(files.path("/proc")) else {
        return (found, hidden);
    };
    let is_process = |name: &OsStr| {
        name.as_encoded_bytes()
            .first()
            .is_some_and(u8::is_ascii_digit)
    };
    for process in processes.flatten().filter(|p| is_process(&p.file_name())) {
        let name = || {
            let comm = std::fs::read_to_string(process.path().join("comm"));
            comm.unwrap_or_default().trim().to_owned()
        };
        match socket_inodes(&process.path().join("fd")) {
            Ok(sockets) => {
                let wanted = sockets.into_iter().filter(|inode| inodes.contains(inode));
                found.extend(wanted.map(|inode| (inode, name())));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {} // It has ended meanwhile.
            Err(_) => _ = hidden.insert(name()),
        }
    }
    (found, hidden)
}

/// The socket inodes among a process' open files. An error if they cannot be seen: without the right to trace the process
/// the kernel lists them, and refuses to say what they are.
fn socket_inodes(fd: &Path) -> std::io::Result<Vec<u64>> {
    let mut inodes = Vec::new();
    for entry in std::fs::read_dir(fd)? {
        let link = match std::fs::read_link(entry?.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue, // Closed meanwhile.
            link => link?,
        };
        let inode = |l: &str| -> Option<u64> {
            l.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        };
        inodes.extend(link.to_str().and_then(inode));
    }
    Ok(inodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0
   1: 0100007F:192C 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0000000000000000 20 4 30 10 -1
";

    #[test]
    fn only_listening_sockets_count() {
        assert_eq!(parse_listeners(TABLE), [(6443, 4242)]);
    }

    #[test]
    fn a_real_listener_is_found_with_its_program() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holders = find_listeners(&Files::new("/"), &[port]).holders;
        assert!(
            holders.get(&port).is_some_and(|name| !name.is_empty()),
            "{holders:?}"
        );
    }
    #[test]
    fn programs_whose_sockets_are_not_shown_are_named() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        let put = |name: &str, text: &str| files.put(&format!("/proc/{name}"), text.as_bytes());
        for dir in ["net", "7/fd", "8", "9"] {
            std::fs::create_dir_all(files.path("/proc").join(dir)).unwrap();
        }
        put("net/tcp", TABLE).unwrap();
        put("7/comm", "sshd\n").unwrap();
        std::os::unix::fs::symlink("socket:[1]", files.path("/proc/7/fd/3")).unwrap();
        // No directory cannot be read by root either; the ninth has ended.
        put("8/fd", "").unwrap();
        put("8/comm", "kube-apiserver\n").unwrap();
        let unseen = find_listeners(&files, &[6443]);
        assert_eq!(unseen.holders, BTreeMap::from([(6443, String::new())]));
        assert_eq!(unseen.hidden, BTreeSet::from(["kube-apiserver".to_owned()]));
        std::os::unix::fs::symlink("socket:[4242]", files.path("/proc/7/fd/4")).unwrap();
        let seen = find_listeners(&files, &[6443, 6444]);
        assert_eq!(seen.holders, BTreeMap::from([(6443, "sshd".to_owned())]));
        assert_eq!(find_listeners(&files, &[22]), Listening::default());
    }
}
