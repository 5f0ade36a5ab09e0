//! The real Ignition on a node's root directory, as a machine's first boot would run it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ha_host_base::command::{self, find_program, is_executable, last_lines};

use super::layout::{NodeDir, make_dir};
use super::node_root::NodeRoot;
use super::root::{Window, remove_dir};

/// Where Debian's package puts the program: it is a part of an initramfs there, not a command.
const DRACUT: &str = "/usr/lib/dracut/modules.d/30ignition/ignition";
/// Work directory below the node's; holds the config with its secrets, removed after use.
pub const WORK: &str = "ignition.work";
/// Ignition tries a source for ever; a launch does not wait so long.
const PATIENCE: Duration = Duration::from_secs(600);

/// Finds Ignition: the command, the image's own, or Debian's package.
pub fn find_ignition(image: &Path) -> Option<PathBuf> {
    let places = [
        image.join("ignition"),
        PathBuf::from(DRACUT),
        image.join("root/usr/bin/ignition"),
    ];
    find_program("ignition")
        .into_iter()
        .chain(places)
        .find(|file| is_executable(file))
}

/// Applies `config` to the root below the node's directory `dir`. Only in a mount namespace of our own.
pub fn apply_config(program: &Path, config: &Path, dir: &Path) -> Result<()> {
    let work = dir.join(WORK);
    remove_dir(&work)?;
    // Ignition writes a user's keys as that user, who may not pass the state directory.
    let window = Window::open(&dir.join(NodeDir::ROOT), &[program, config, dir])?;
    let run = IgnitionRun {
        program,
        config,
        root: window.path(),
        work: &work,
    };
    let mut raw_log = String::new();
    let result = run.all(&mut raw_log);
    let log = without_configs(&raw_log);
    let log_file = dir.join(NodeDir::IGNITION_LOG);
    let written = std::fs::write(&log_file, &log)
        .with_context(|| format!("cannot write {}", log_file.display()));
    remove_dir(&work)?;
    written?;
    result.map_err(|error| {
        error.context(format!(
            "{} (all of it: {})",
            last_words_of_ignition(&log),
            log_file.display()
        ))
    })
}

/// One run of Ignition.
struct IgnitionRun<'a> {
    program: &'a Path,
    config: &'a Path,
    root: &'a Path,
    work: &'a Path,
}

impl IgnitionRun<'_> {
    /// What Ignition says goes to `log`.
    fn all(&self, log: &mut String) -> Result<()> {
        make_dir(self.work, 0o700)?;
        make_dir(&self.work.join("empty"), 0o700)?;
        let path = path_with(&make_stub_programs(self.work)?)?;
        let root = NodeRoot::open(self.root)?;
        let selinux = Selinux::pretend(&root)?;
        // Absent means a first boot with presets applied; an empty file does not.
        root.remove_file("etc/machine-id")?;
        self.stage("fetch-offline", &path, log)?;
        if self.work.join("neednet").exists() {
            self.stage("fetch", &path, log)?;
        }
        self.stage("files", &path, log)?;
        selinux.done()
    }

    fn stage(&self, stage: &str, path: &OsStr, log: &mut String) -> Result<()> {
        let mut ignition = Command::new(self.program);
        ignition
            .arg("--root")
            .arg(self.root)
            .args(["--platform", "file", "--log-to-stdout", "--stage", stage])
            .arg("--config-cache")
            .arg(self.work.join("ignition.json"))
            .arg("--neednet")
            .arg(self.work.join("neednet"))
            .arg("--state-file")
            .arg(self.work.join("state"))
            .env("PATH", path)
            .env("IGNITION_CONFIG_FILE", self.config)
            .env("IGNITION_SYSTEM_CONFIG_DIR", self.work.join("empty"))
            .env("IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT", "false");
        let finished = command::run_within(&mut ignition, "", PATIENCE)?;
        log.push_str(&finished.stdout);
        log.push_str(&finished.stderr);
        match (finished.timed_out, finished.status) {
            (Some(after), _) => {
                let waited = after.as_secs();
                bail!("Ignition did not end within {waited} s in stage {stage}")
            }
            (None, status) if !status.success() => {
                bail!("Ignition failed in stage {stage} ({status})")
            }
            _ => Ok(()),
        }
    }
}

/// Levels of Ignition's log, the worst first; debugging is left out: see [`without_configs`].
const LEVELS: [&str; 7] = [
    "EMERG", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO",
];
/// So many of them are of faults.
const FAULTS: usize = 4;

/// Ignition logs the whole config, keys and all, over many lines: only lines that bear a level above debugging are kept.
fn without_configs(log: &str) -> String {
    let kept = log.lines().filter(|line| of_level(line, &LEVELS).is_some());
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// The last line of a fault, else the last ones of all.
fn last_words_of_ignition(log: &str) -> &str {
    let mut lines = log.lines().rev();
    lines
        .find_map(|line| of_level(line, &LEVELS[..FAULTS]))
        .unwrap_or_else(|| last_lines(log))
}

/// What a line of the log says, if it is of one of these levels: `CRITICAL : text`.
fn of_level<'a>(line: &'a str, levels: &[&str]) -> Option<&'a str> {
    let (level, text) = line.split_once(':')?;
    levels.contains(&level.trim()).then(|| text.trim())
}

fn path_with(stubs: &Path) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let admin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::join_paths(
        [stubs.into()]
            .into_iter()
            .chain(std::env::split_paths(&path))
            .chain(admin),
    )
    .context("PATH is odd")
}

/// Debian's Ignition labels files for SELinux: a program that does nothing stands in.
fn make_stub_programs(work: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let dir = work.join("stubs");
    make_dir(&dir, 0o700)?;
    let file = dir.join("setfiles");
    std::fs::write(&file, "#!/bin/sh\ncat >/dev/null\n")
        .and_then(|()| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(dir)
}

/// The configuration that the same Ignition wants to see, on a root that has none.
#[derive(Debug)]
pub struct Selinux<'a> {
    root: &'a NodeRoot,
    /// What is to go again.
    made_file: bool,
    made_dir: bool,
}

impl<'a> Selinux<'a> {
    const DIR: &'static str = "etc/selinux";
    const FILE: &'static str = "etc/selinux/config";

    pub fn pretend(root: &'a NodeRoot) -> Result<Self> {
        let made_file = !root.exists(Self::FILE)?;
        let made_dir = made_file && !root.exists(Self::DIR)?;
        if made_file {
            root.make_dirs(Self::DIR)?;
            root.write_new(Self::FILE, "SELINUXTYPE=none\n")?;
        }
        Ok(Self {
            root,
            made_file,
            made_dir,
        })
    }

    pub fn done(self) -> Result<()> {
        if self.made_file {
            self.root.remove_file(Self::FILE)?;
        }
        if self.made_dir {
            self.root.remove_dir(Self::DIR)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_that_stays_holds_no_config() {
        let log = "INFO     : Ignition 2.14.0\nDEBUG    : parsed config: {\n  \"storage\": {\n \"source\": \"data:,key\"\n}\n\
                   INFO     : files: op(1): [started]  writing file \"/etc/hostname\"\nCRITICAL : Ignition failed: no such user\n";
        let kept = without_configs(log);
        assert_eq!(kept.lines().count(), 3, "{kept}");
        assert!(!kept.contains("data:"));
        assert_eq!(
            last_words_of_ignition(&kept),
            "Ignition failed: no such user"
        );
    }

    #[test]
    fn selinux_s_configuration_comes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let root = NodeRoot::open(dir.path()).unwrap();
        let pretence = Selinux::pretend(&root).unwrap();
        assert!(dir.path().join("etc/selinux/config").exists());
        Selinux::pretend(&root).unwrap().done().unwrap();
        assert!(
            dir.path().join("etc/selinux/config").exists(),
            "an image's own stays"
        );
        pretence.done().unwrap();
        assert!(!dir.path().join("etc/selinux").exists());
    }
}
