//! Whether the place of all state is in nobody else's hands: what stands there says which processes are ended and which programs
//! are started.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ha_host_base::exit::Stop;

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
    /// In a user namespace that the machine's root is not part of (`unshare -r`, a rootless container): the user that stands for
    /// everybody outside, root among them.
    outside: Option<u32>,
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
            outside: who_stands_for_the_outside(),
        }
    }

    fn is_root(self) -> bool {
        self.uid == 0 && self.outside.is_none()
    }

    /// None: nobody can.
    fn find_stranger(self, owner: u32, group: u32, mode: u32) -> Option<Stranger> {
        let sudo = self.sudo.filter(|_| self.is_root());
        let loose = mode & STICKY == 0;
        if loose && mode & OTHERS_WRITE != 0 {
            return Some(Stranger::Anybody);
        }
        let owner_is_sudo = sudo.is_some_and(|(uid, _)| uid == owner);
        let is_outside = self.outside == Some(owner);
        if !(owner == 0 || owner == self.uid || owner_is_sudo || is_outside) {
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

fn who_stands_for_the_outside() -> Option<u32> {
    let map = std::fs::read_to_string("/proc/self/uid_map").ok()?;
    let stands = std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?;
    (!maps_root(&map)).then(|| stands.trim().parse().ok())?
}

/// Whether a user namespace's map (first user inside, the same outside, how many) holds the outer root.
fn maps_root(map: &str) -> bool {
    map.lines()
        .any(|line| line.split_whitespace().nth(1) == Some("0"))
}

/// A place that somebody else can change.
#[derive(Debug)]
struct OpenPlace {
    path: PathBuf,
    who: Stranger,
    mode: u32,
}

impl OpenPlace {
    fn describe(&self) -> String {
        let (path, mode) = (self.path.display(), self.mode);
        match self.who {
            Stranger::SudoUser => format!("{path} belongs to the user who called sudo"),
            Stranger::Owner(uid) => format!("{path} belongs to user {uid}"),
            Stranger::Group(gid) => {
                format!("{path} can be written by group {gid} (mode {mode:04o})")
            }
            Stranger::Anybody => format!("{path} can be written by anybody (mode {mode:04o})"),
        }
    }
}

/// Looks at a directory that may not exist and at all above it. Root gets an error where others can write, everybody else a warning.
pub fn check_place(path: &Path, caller: Caller) -> Result<Option<String>> {
    let places = path_and_parents(path);
    let found: Vec<OpenPlace> = places
        .iter()
        .flat_map(|place| find_open(place, caller))
        .collect();
    let is_stranger = |place: &&OpenPlace| place.who != Stranger::SudoUser;
    let Some(worst) = found.iter().find(is_stranger).or_else(|| found.first()) else {
        return Ok(None);
    };
    let told = worst.describe();
    if worst.who == Stranger::SudoUser {
        return Ok(Some(format!(
            "{told}: whatever runs as that user can make ha-host act as root; `--state-dir /var/lib/ha-host` is root's alone"
        )));
    }
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

/// A directory, and the link that leads to it if there is one. What is not there will be made by us, 0700; what cannot be seen cannot
/// be used either.
fn find_open(path: &Path, caller: Caller) -> Vec<OpenPlace> {
    let directory = std::fs::metadata(path).map(|m| (m.uid(), m.gid(), m.mode()));
    // Anybody may read what a link says; only its owner replaces it.
    let link =
        std::fs::symlink_metadata(path).map(|m| m.is_symlink().then(|| (m.uid(), m.gid(), 0)));
    let seen = directory.into_iter().chain(link.ok().flatten());
    seen.filter_map(|(owner, group, mode)| {
        Some(OpenPlace {
            path: path.to_owned(),
            who: caller.find_stranger(owner, group, mode)?,
            mode: mode & 0o7777,
        })
    })
    .collect()
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
        outside: None,
    };
    const ROOT_OF_A_NAMESPACE: Caller = Caller {
        outside: Some(65534),
        ..ROOT
    };
    const BY_SUDO: Caller = Caller {
        sudo: Some((1000, 1000)),
        ..ROOT
    };
    const ME: Caller = Caller {
        uid: 1000,
        gid: 1000,
        ..ROOT
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
            (ROOT, 65534, 65534, 0o755, Some(Owner(65534))),
            (ROOT_OF_A_NAMESPACE, 65534, 65534, 0o1777, None),
            (ROOT_OF_A_NAMESPACE, 65534, 65534, 0o777, Some(Anybody)),
            (ROOT_OF_A_NAMESPACE, 1001, 1001, 0o755, Some(Owner(1001))),
        ];
        for (caller, owner, group, mode, expected) in table {
            let found = caller.find_stranger(owner, group, mode);
            assert_eq!(found, expected, "{caller:?} {owner} {group} {mode:o}");
        }
    }

    #[test]
    fn root_is_the_machines_only_where_the_map_holds_it() {
        for (map, holds) in [
            ("         0          0 4294967295\n", true),
            ("         0       1000          1\n", false),
            ("0 1000 1\n1 100000 65536\n", false),
            ("0 100000 65536\n70000 0 1\n", true),
        ] {
            assert_eq!(maps_root(map), holds, "{map}");
        }
    }

    #[test]
    fn a_strangers_link_is_a_strangers_place() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        let me = std::fs::symlink_metadata(&link).unwrap().uid();
        let somebody_else = Caller {
            uid: me + 1,
            gid: 1,
            ..ROOT
        };
        let found = find_open(&link, somebody_else);
        let who: Vec<Stranger> = found.iter().map(|place| place.who).collect();
        match me {
            // Root's places are everybody's.
            0 => assert_eq!(who, []),
            me => assert_eq!(
                who,
                [Stranger::Owner(me), Stranger::Owner(me)],
                "directory and link"
            ),
        }
        if me == 0 {
            std::os::unix::fs::lchown(&link, Some(4711), Some(4711)).unwrap();
            let found = find_open(&link, ROOT);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].who, Stranger::Owner(4711));
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
