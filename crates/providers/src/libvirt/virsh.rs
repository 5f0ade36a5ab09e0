//! `virsh` as the client of one libvirt host: every call is a child process with a deadline. What it achieved is read from its
//! exit code, from lists of names and from XML; its sentences are passed on to people and never read.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use ha_host_base::command::{self, Finished, which};
use nix::sys::signal::Signal;

use crate::finding::Unfit;

#[cfg(test)]
mod tests;

/// A healthy daemon answers in a tenth of a second, one behind ssh and busy with a pool in a few.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where Debian, Fedora and SUSE have it.
pub const PACKAGE: &str = "apt-get install libvirt-clients (Fedora: libvirt-client)";
/// Stands for the file in the arguments of [`Virsh::feed`].
pub const XML: &str = "{xml}";
/// Where the system's daemon listens: the old one, and the one for virtual machines where libvirt is modular.
const SYSTEM_SOCKETS: [&str; 2] = ["/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"];

#[derive(Debug, Clone)]
pub struct Virsh {
    uri: String,
}

/// A thing of libvirt's, by its name.
#[derive(Debug, Clone, Copy)]
pub enum Thing<'a> {
    Domain(&'a str),
    Network(&'a str),
    Pool(&'a str),
    /// A volume of a pool, which comes first.
    Volume(&'a str, &'a str),
}

/// libvirt did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{uri}: virsh {command}: {said}")]
pub struct VirshError {
    pub uri: String,
    /// virsh's command and what it was about.
    pub command: String,
    pub said: String,
    /// Why it failed, as far as that was found out without reading words.
    pub kind: VirshErrorKind,
}

/// Why a call of virsh failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VirshErrorKind {
    /// The host answers and refuses.
    Refused,
    /// The host cannot be reached.
    Unreachable(Door),
    /// The daemon or the connection to it ended in the middle.
    CutOff,
    /// No end within the deadline.
    TimedOut(Duration),
}

/// What stands before a daemon that cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Ssh,
    /// Nobody listens.
    NoDaemon,
    /// This user may not connect, or may and is refused.
    NotPermitted,
    /// Another transport, or a user's own daemon.
    Unknown,
}

impl Virsh {
    /// Talks to nobody yet.
    pub fn new(uri: &str) -> Self {
        Self { uri: uri.into() }
    }

    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether the daemon is on this machine, so that it sees the files that we see.
    pub fn is_local(&self) -> bool {
        // driver[+transport]://[user@][host][:port]/path
        let after = self.uri.split_once("://").map_or("", |(_, rest)| rest);
        after.starts_with('/') && self.transport().is_none_or(|transport| transport == "unix")
    }

    fn transport(&self) -> Option<&str> {
        let scheme = self.uri.split("://").next()?;
        scheme.split_once('+').map(|(_, transport)| transport)
    }

    /// Whether this is a user's own daemon and not the system's.
    pub fn is_session(&self) -> bool {
        let path = self.uri.split('?').next().unwrap_or_default();
        path.ends_with("/session")
    }

    /// Runs a command to its end and returns what it prints.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        self.run_within(args, PATIENCE)
    }

    /// The same with a deadline of its own.
    pub fn run_within(&self, args: &[&str], patience: Duration) -> Result<String> {
        let finished = self.finish(args, patience)?;
        if finished.status.success() && finished.timed_out.is_none() {
            return Ok(finished.stdout);
        }
        Err(self.explain(args, &finished))
    }

    /// A command about a thing; none if there is no such thing.
    pub fn find(&self, thing: Thing<'_>, args: &[&str]) -> Result<Option<String>> {
        match self.run(args) {
            Ok(text) => Ok(Some(text)),
            // If that cannot be found out either, the first fault is the one to tell.
            Err(_) if self.exists(thing).is_ok_and(|exists| !exists) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether there is such a thing.
    pub fn exists(&self, thing: Thing<'_>) -> Result<bool> {
        let (all, name) = match thing {
            Thing::Domain(name) => (self.names(&["list", "--all", "--name"])?, name),
            Thing::Network(name) => (self.names(&["net-list", "--all", "--name"])?, name),
            Thing::Pool(name) => (self.names(&["pool-list", "--all", "--name"])?, name),
            Thing::Volume(pool, name) => {
                let volumes = self.volumes(pool)?.into_iter();
                (volumes.map(|(name, _)| name).collect(), name)
            }
        };
        Ok(all.iter().any(|one| one == name))
    }

    /// Whether a domain, network or pool is started; a volume never is.
    pub fn is_active(&self, thing: Thing<'_>) -> Result<bool> {
        let (active, name) = match thing {
            Thing::Domain(name) => (self.names(&["list", "--name"])?, name),
            Thing::Network(name) => (self.names(&["net-list", "--name"])?, name),
            Thing::Pool(name) => (self.names(&["pool-list", "--name"])?, name),
            Thing::Volume(..) => return Ok(false),
        };
        Ok(active.iter().any(|one| one == name))
    }

    /// The lines of a list with `--name`.
    pub fn names(&self, list: &[&str]) -> Result<Vec<String>> {
        let text = self.run(list)?;
        let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
        Ok(names.map(String::from).collect())
    }

    /// Name and path of every volume of a pool; none if there is no pool.
    pub fn volumes(&self, pool: &str) -> Result<Vec<(String, String)>> {
        let text = self.find(Thing::Pool(pool), &["vol-list", pool])?;
        Ok(text
            .unwrap_or_default()
            .lines()
            .filter_map(volume_line)
            .collect())
    }

    /// Feeds XML to a command that takes a file.
    pub fn feed(&self, args: &[&str], xml: &str) -> Result<String> {
        // virsh reads its file as a whole, so a pipe would do, but a file also has a name in its messages.
        let mut file = tempfile::Builder::new()
            .prefix("ha-host-")
            .suffix(".xml")
            .tempfile()?;
        std::io::Write::write_all(&mut file, xml.as_bytes())?;
        let path = file
            .path()
            .to_str()
            .context("TMPDIR is not valid UTF-8")?
            .to_owned();
        let args: Vec<&str> = args
            .iter()
            .map(|a| if *a == XML { path.as_str() } else { *a })
            .collect();
        self.run(&args)
    }

    fn finish(&self, args: &[&str], patience: Duration) -> Result<Finished> {
        let virsh = which("virsh").ok_or_else(|| Unfit::new("virsh is not installed", PACKAGE))?;
        let mut command = Command::new(virsh);
        command
            .args(["--quiet", "--connect", &self.uri])
            .args(args)
            .env("LC_ALL", "C")
            // In a process group of its own nobody could answer ssh's questions at the terminal: they fail at once.
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("SSH_ASKPASS", "/bin/false");
        command::run_within(&mut command, "", patience)
    }

    /// With the remedy, where there is one that everybody needs.
    fn explain(&self, args: &[&str], finished: &Finished) -> anyhow::Error {
        let about = args.iter().take(3).filter(|a| !a.starts_with("--"));
        let words = finished.stderr.trim().replace('\n', "; ");
        let error = VirshError {
            uri: self.uri.clone(),
            command: about.copied().collect::<Vec<_>>().join(" "),
            said: if words.is_empty() {
                format!("it ended with {} and said nothing", finished.status)
            } else {
                words
            },
            kind: self.kind(finished),
        };
        match error.unfit() {
            Some(unfit) => unfit.into(),
            None => error.into(),
        }
    }

    fn kind(&self, finished: &Finished) -> VirshErrorKind {
        if let Some(after) = finished.timed_out {
            return VirshErrorKind::TimedOut(after);
        }
        // virsh dies without a word when the daemon does in the middle of an upload.
        if finished.status.signal() == Some(Signal::SIGPIPE as i32) {
            return VirshErrorKind::CutOff;
        }
        let answers = self
            .finish(&["uri"], PATIENCE)
            .is_ok_and(|asked| asked.status.success());
        if answers {
            return VirshErrorKind::Refused;
        }
        VirshErrorKind::Unreachable(if self.transport() == Some("ssh") {
            Door::Ssh
        } else if self.is_local() && !self.is_session() {
            probe_door(&SYSTEM_SOCKETS.map(Path::new))
        } else {
            Door::Unknown
        })
    }
}

impl VirshError {
    fn unfit(&self) -> Option<Unfit> {
        let uri = &self.uri;
        let lost = |remedy: String| {
            let message = format!("libvirt at {uri} cannot be reached: {}", self.said);
            Some(Unfit::new(message, remedy))
        };
        let again = format!("once `virsh -c {uri} list` works again, launch again: it goes on");
        match self.kind {
            VirshErrorKind::Refused => None,
            VirshErrorKind::TimedOut(after) => Some(Unfit::new(
                format!(
                    "{uri}: virsh {} did not end within {} s",
                    self.command,
                    after.as_secs()
                ),
                format!("is the host overloaded or cut off? {again}"),
            )),
            VirshErrorKind::CutOff => Some(Unfit::new(
                format!("the connection to libvirt at {uri} ended in the middle of an answer"),
                again,
            )),
            VirshErrorKind::Unreachable(Door::Unknown) => lost(again),
            VirshErrorKind::Unreachable(Door::Ssh) => lost(format!(
                "`virsh -c {uri} list` must work without asking: install ssh, put your key there, accept the host's key"
            )),
            VirshErrorKind::Unreachable(Door::NotPermitted) => lost(
                "you may not use the system's libvirt: `sudo usermod -aG libvirt $USER`, then log in anew (`id` shows the group); \
                 without a group libvirt: a polkit rule for org.libvirt.unix.manage"
                    .into(),
            ),
            VirshErrorKind::Unreachable(Door::NoDaemon) => lost(
                "the daemon does not run: `sudo systemctl enable --now libvirtd` (or virtqemud.socket, virtnetworkd.socket and \
                 virtstoraged.socket where libvirt is modular); not installed: `apt-get install libvirt-daemon-system`"
                    .into(),
            ),
        }
    }
}

/// What stands before a local daemon that listens at one of these sockets and was not reached.
fn probe_door(sockets: &[&Path]) -> Door {
    let there = sockets.iter().map(UnixStream::connect);
    let mut doors = there.map(|connected| match connected {
        // It listens and lets everybody in; then it asks polkit, or who we are.
        Ok(_) => Door::NotPermitted,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Door::NotPermitted,
        Err(_) => Door::NoDaemon,
    });
    doors
        .find(|door| *door == Door::NotPermitted)
        .unwrap_or(Door::NoDaemon)
}

/// A line of `vol-list`: names may hold spaces, but no slash.
fn volume_line(line: &str) -> Option<(String, String)> {
    let at = line.find(" /")?;
    Some((
        line[..at].trim().to_owned(),
        line[at + 1..].trim_end().to_owned(),
    ))
}
