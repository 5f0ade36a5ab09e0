//! Who listens on a port, from the kernel's own tables.

use std::collections::BTreeMap;

use crate::sys::files::Files;

/// `TCP_LISTEN` in /proc/net/tcp.
const LISTEN: &str = "0A";

/// Listening ports among the wanted ones, each with the name of its program; empty: not to be found out.
pub fn holders(files: &Files, wanted: &[u16]) -> BTreeMap<u16, String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let text: String = tables
        .iter()
        .filter_map(|name| files.read(name).ok().flatten())
        .collect();
    let listening: BTreeMap<u16, u64> = listeners(&text)
        .into_iter()
        .filter(|(p, _)| wanted.contains(p))
        .collect();
    if listening.is_empty() {
        return BTreeMap::new();
    }
    let programs = programs(files, &listening.values().copied().collect::<Vec<_>>());
    listening
        .into_iter()
        .map(|(port, inode)| (port, programs.get(&inode).cloned().unwrap_or_default()))
        .collect()
}

/// Port and socket inode of each listening line.
fn listeners(table: &str) -> Vec<(u16, u64)> {
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

/// The program behind each socket inode. Looks through all processes: asked only when something listens.
fn programs(files: &Files, inodes: &[u64]) -> BTreeMap<u64, String> {
    let mut found = BTreeMap::new();
    let Ok(processes) = std::fs::read_dir(files.path("/proc")) else {
        return found;
    };
    for process in processes.flatten().filter(|p| {
        p.file_name()
            .as_encoded_bytes()
            .first()
            .is_some_and(u8::is_ascii_digit)
    }) {
        let Ok(fds) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        for link in fds
            .flatten()
            .filter_map(|fd| std::fs::read_link(fd.path()).ok())
        {
            let inode = link
                .to_str()
                .and_then(|l| l.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode.filter(|i| inodes.contains(i)) {
                let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                found.insert(inode, name.trim().to_owned());
            }
        }
    }
    found
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
        assert_eq!(listeners(TABLE), [(6443, 4242)]);
    }

    #[test]
    fn a_real_listener_is_found_with_its_program() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holders = holders(&Files::new("/"), &[port]);
        assert!(
            holders.get(&port).is_some_and(|name| !name.is_empty()),
            "{holders:?}"
        );
    }
}
