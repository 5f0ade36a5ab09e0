//! Whether the place of all state is in nobody else's hands: what stands there says which processes are ended and which programs
//! are started.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ha_host_base::exit::Stop;
use ha_host_base::text::count;

/// Only their owner removes or renames entries of such a directory, like /tmp.
const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// Who runs this program.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    uid: u32,
    gid: u32,
    /// User and group of whoever called sudo.
    sudo: Option<(u32, u32)>,
}

/// Who besides root and the caller can change what is in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stranger {
    /// The one who called sudo.
    SudoUser,
    Owner(u32),
    Group(u32),
    Anybody,
}

impl Caller {
    pub fn of_this_process() -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse().ok();
        Self {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            sudo: number("SUDO_UID").zip(number("SUDO_GID")),
        }
    }

    fn is_root(self) -> bool {
        self.uid == 0
    }

    /// None: nobody can.
    fn find_stranger(self, owner: u32, group: u32, mode: u32) -> Option<Stranger> {
        let sudo = self.sudo.filter(|_| self.is_root());
        let loose = mode & STICKY == 0;
        if loose && mode & OTHERS_WRITE != 0 {
            return Some(Stranger::Anybody);
        }
        let owner_is_sudo = sudo.is_some_and(|(uid, _)| uid == owner);
        if !(owner == 0 || owner == self.uid || owner_is_sudo) {
            return Some(Stranger::Owner(owner));
        }
        let group_writes = loose && mode & GROUP_WRITES != 0 && group != 0 && group != self.gid;
        let group_is_sudo = sudo.is_some_and(|(_, gid)| gid == group);
        if group_writes && !group_is_sudo {
            return Some(Stranger::Group(group));
        }
        ((owner_is_sudo && owner != 0) || group_writes).then_some(Stranger::SudoUser)
    }
}

/// Looks at a directory that may not exist and at all above it. Root gets an error where others can write, everybody else a warning.
pub fn check_place(path: &Path, caller: Caller) -> Result<Option<String>> {
    let mut found = Vec::new();
    for dir in path_and_parents(path) {
        // What is not there will be made by us, 0700; what cannot be seen cannot be used either.
        let Ok(meta) = std::fs::metadata(&dir) else {
            continue;
        };
        if let Some(who) = caller.find_stranger(meta.uid(), meta.gid(), meta.mode()) {
            found.push((dir, who, meta.mode() & 0o7777));
        }
    }
    let stranger = |entry: &&(PathBuf, Stranger, u32)| entry.1 != Stranger::SudoUser;
    let Some((dir, who, mode)) = found.iter().find(stranger).or(found.first()) else {
        return Ok(None);
    };
    let more = match found.len() {
        1 => String::new(),
        n => format!(" (with {})", count(n - 1, "further place")),
    };
    let dir = dir.display();
    let told = match who {
        Stranger::SudoUser => {
            return Ok(Some(format!(
                "{dir}{more} belongs to the user who called sudo: whatever runs as that user can make ha-host act as root; \
                 `--state-dir /var/lib/ha-host` is root's alone"
            )));
        }
        Stranger::Owner(uid) => format!("{dir}{more} belongs to user {uid}"),
        Stranger::Group(gid) => {
            format!("{dir}{more} can be written by group {gid} (mode {mode:04o})")
        }
        Stranger::Anybody => format!("{dir}{more} can be written by anybody (mode {mode:04o})"),
    };
    if caller.is_root() {
        return Err(Stop::bad_input(format!(
            "{told}, and ha-host runs as root: who writes there could make it do anything. Take that right away \
             (chown root, chmod go-w), or give another --state-dir"
        )));
    }
    Ok(Some(format!(
        "{told}: who writes there has your clusters' keys and can make ha-host do what you may; chmod go-w, or another --state-dir"
    )))
}

/// The path as it is written and as it is once links are followed, each with all above it.
fn path_and_parents(path: &Path) -> Vec<PathBuf> {
    let written = path.ancestors();
    let there = written.clone().find_map(|dir| dir.canonicalize().ok());
    let mut all: Vec<PathBuf> = written.map(Path::to_owned).collect();
    let resolved = there.iter().flat_map(|dir| dir.ancestors());
    all.extend(resolved.map(Path::to_owned));
    all.sort();
    all.dedup();
    all.reverse();
    all
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ROOT: Caller = Caller {
        uid: 0,
        gid: 0,
        sudo: None,
    };
    const BY_SUDO: Caller = Caller {
        sudo: Some((1000, 1000)),
        ..ROOT
    };
    const ME: Caller = Caller {
        uid: 1000,
        gid: 1000,
        sudo: None,
    };

    #[test]
    fn who_can_write_where() {
        use Stranger::*;
        let table = [
            (ROOT, 0, 0, 0o755, None),
            (ROOT, 0, 0, 0o1777, None),
            (ROOT, 0, 0, 0o777, Some(Anybody)),
            (ROOT, 0, 50, 0o775, Some(Group(50))),
            (ROOT, 0, 50, 0o755, None),
            (ROOT, 1000, 1000, 0o700, Some(Owner(1000))),
            (ROOT, 1000, 1000, 0o1777, Some(Owner(1000))),
            (BY_SUDO, 1000, 1000, 0o700, Some(SudoUser)),
            (BY_SUDO, 1000, 1000, 0o775, Some(SudoUser)),
            (BY_SUDO, 0, 1000, 0o775, Some(SudoUser)),
            (BY_SUDO, 1000, 1000, 0o777, Some(Anybody)),
            (BY_SUDO, 1001, 1001, 0o700, Some(Owner(1001))),
            (BY_SUDO, 0, 0, 0o755, None),
            (ME, 1000, 1000, 0o700, None),
            (ME, 1000, 1000, 0o775, None),
            (ME, 1000, 50, 0o775, Some(Group(50))),
            (ME, 0, 0, 0o755, None),
            (ME, 1001, 1001, 0o755, Some(Owner(1001))),
        ];
        for (caller, owner, group, mode, expected) in table {
            let found = caller.find_stranger(owner, group, mode);
            assert_eq!(found, expected, "{caller:?} {owner} {group} {mode:o}");
        }
    }

    #[test]
    fn a_parent_is_seen_also_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (open, link) = (dir.path().join("open"), dir.path().join("link"));
        std::fs::create_dir(&open).unwrap();
        std::fs::create_dir(open.join("closed")).unwrap();
        std::os::unix::fs::symlink(open.join("closed"), &link).unwrap();
        let me = Caller {
            sudo: None,
            ..Caller::of_this_process()
        };
        assert_eq!(check_place(&link.join("ha-host"), me).unwrap(), None);
        std::fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let told = match check_place(&link.join("ha-host"), me) {
            Ok(warning) => warning.unwrap(),
            Err(error) => error.to_string(),
        };
        assert!(
            told.contains(&format!(
                "{} can be written by anybody (mode 0777)",
                open.display()
            )),
            "{told}"
        );
        assert_eq!(me.is_root(), check_place(&link, me).is_err());
    }
}
