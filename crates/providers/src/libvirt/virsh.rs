//! `virsh` as the client of one libvirt host: every call is a child process with a deadline. What it achieved is read from its
//! exit code, from lists of names and from XML; its sentences are passed on to people and never read.
//!
//! virsh says the same of a thing that is not there and of a question that was lost. So a thing is absent only if a list that
//! virsh could make does not name it.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ha_host_base::command::{self, Finished, find_program};
use nix::sys::signal::Signal;

use self::answers::Answers;
use self::fault::{Door, VirshError, VirshErrorKind, probe_door};
use crate::child_limits;
use crate::finding::Unfit;

mod answers;
mod fault;
#[cfg(test)]
mod tests;

pub use self::fault::is_refusal;

/// A healthy daemon answers in a tenth of a second, one behind ssh and busy with a pool in a few.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Before a question is asked again: a daemon that is restarted, or an sshd that has too many guests, needs a moment.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Where Debian, Fedora and SUSE have it.
pub const PACKAGE: &str = "apt-get install libvirt-clients (Fedora: libvirt-client)";
/// Stands for the file in the arguments of [`Virsh::feed`].
pub const XML: &str = "{xml}";
/// Where the system's daemon listens: the old one, and the one for virtual machines where libvirt is modular.
const SYSTEM_SOCKETS: [&str; 2] = ["/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"];
/// Questions in one call: what they answer together stays far below what is kept of a child's output.
const AT_ONCE: usize = 100;

#[derive(Debug, Clone)]
pub struct Virsh {
    uri: String,
    patience: Duration,
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

impl<'a> Thing<'a> {
    pub fn name(self) -> &'a str {
        match self {
            Self::Domain(name) | Self::Network(name) | Self::Pool(name) => name,
            Self::Volume(_, name) => name,
        }
    }

    /// The command that shows it as XML.
    pub fn dump(self) -> Vec<&'a str> {
        match self {
            Self::Domain(name) => vec!["dumpxml", name],
            Self::Network(name) => vec!["net-dumpxml", name],
            Self::Pool(name) => vec!["pool-dumpxml", name],
            Self::Volume(pool, name) => vec!["vol-dumpxml", "--pool", pool, name],
        }
    }

    /// The name of its XML element.
    pub fn element(self) -> &'static str {
        match self {
            Self::Domain(_) => "domain",
            Self::Network(_) => "network",
            Self::Pool(_) => "pool",
            Self::Volume(..) => "volume",
        }
    }
}

impl Virsh {
    /// Talks to nobody yet. So long an answer is waited for.
    pub fn new(uri: &str, patience: Duration) -> Self {
        Self {
            uri: uri.into(),
            patience,
        }
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

    /// Runs a command to its end, once, and returns what it prints: one that changes something.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        self.run_within(args, self.patience)
    }

    /// The same with a deadline of its own.
    pub fn run_within(&self, args: &[&str], patience: Duration) -> Result<String> {
        let finished = self.finish(args, patience)?;
        if has_succeeded(&finished) {
            return Ok(finished.stdout);
        }
        Err(self.explain(args, &finished))
    }

    /// Asks something that changes nothing: once more, if no answer comes.
    pub fn query(&self, args: &[&str]) -> Result<String> {
        let first = self.finish(args, self.patience)?;
        if has_succeeded(&first) {
            return Ok(first.stdout);
        }
        if first.timed_out.is_some() {
            return Err(self.explain(args, &first));
        }
        std::thread::sleep(ASK_AGAIN);
        self.run(args)
    }

    /// Asks many things in one call. virsh's exit code tells of the last one only, so what is missing among the answers may be
    /// there or not.
    pub fn query_many(&self, questions: &[Vec<&str>]) -> Result<Answers> {
        // virsh takes its words apart by itself; names with quotes or spaces are asked for alone.
        let plain = questions
            .iter()
            .filter(|words| words.iter().all(|w| is_plain(w)));
        let plain: Vec<String> = plain.map(|words| words.join(" ")).collect();
        let mut text = String::new();
        for some in plain.chunks(AT_ONCE) {
            text += &self.finish(&[&some.join("; ")], self.patience)?.stdout;
        }
        Ok(Answers::new(&text))
    }

    /// A thing's XML; none: a list does not name it.
    pub fn dump(&self, thing: Thing<'_>) -> Result<Option<String>> {
        if !self.exists(thing)? {
            return Ok(None);
        }
        self.dump_listed(thing)
    }

    /// The same of a thing that a list has just named; none: another list does not, it went in between.
    pub fn dump_listed(&self, thing: Thing<'_>) -> Result<Option<String>> {
        match self.query(&thing.dump()) {
            Ok(text) => Ok(Some(text)),
            Err(error) if self.exists(thing)? => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// The same of many, in their order.
    pub fn dump_all_listed(&self, things: &[Thing<'_>]) -> Result<Vec<Option<String>>> {
        let answers = match things {
            [] | [_] => Answers::default(),
            many => {
                let questions: Vec<_> = many.iter().map(|thing| thing.dump()).collect();
                self.query_many(&questions)?
            }
        };
        let dump = |thing: &Thing<'_>| match answers.document(thing.element(), thing.name()) {
            Some(xml) => Ok(Some(xml.to_owned())),
            None => self.dump_listed(*thing),
        };
        things.iter().map(dump).collect()
    }

    /// Whether there is such a thing.
    pub fn exists(&self, thing: Thing<'_>) -> Result<bool> {
        let all = match thing {
            Thing::Domain(_) => self.names(&["list", "--all", "--name"])?,
            Thing::Network(_) => self.names(&["net-list", "--all", "--name"])?,
            Thing::Pool(_) => self.names(&["pool-list", "--all", "--name"])?,
            Thing::Volume(pool, _) => {
                let volumes = self.volumes(pool)?.into_iter();
                volumes.map(|(name, _)| name).collect()
            }
        };
        Ok(all.iter().any(|one| one == thing.name()))
    }

    /// Whether a domain, network or pool is started; a volume never is.
    pub fn is_active(&self, thing: Thing<'_>) -> Result<bool> {
        let active = match thing {
            Thing::Domain(_) => self.names(&["list", "--name"])?,
            Thing::Network(_) => self.names(&["net-list", "--name"])?,
            Thing::Pool(_) => self.names(&["pool-list", "--name"])?,
            Thing::Volume(..) => return Ok(false),
        };
        Ok(active.iter().any(|one| one == thing.name()))
    }

    /// Starts a domain, network or pool; fine if it runs then, whoever started it.
    pub fn start(&self, thing: Thing<'_>, args: &[&str]) -> Result<()> {
        match self.run(args) {
            Err(_) if self.is_active(thing).unwrap_or(false) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Removes a thing; fine if it is gone then, whoever removed it. If that cannot be found out, the first fault is the one to
    /// tell.
    pub fn remove(&self, thing: Thing<'_>, args: &[&str]) -> Result<()> {
        match self.run(args) {
            Err(_) if self.exists(thing).is_ok_and(|exists| !exists) => Ok(()),
            done => done.map(drop),
        }
    }

    /// The lines of a list with `--name`.
    pub fn names(&self, list: &[&str]) -> Result<Vec<String>> {
        let text = self.query(list)?;
        let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
        Ok(names.map(String::from).collect())
    }

    /// Name and path of every volume of a pool, which must be started.
    pub fn volumes(&self, pool: &str) -> Result<Vec<(String, String)>> {
        let text = self.query(&["vol-list", pool])?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| self.volume_line(line)).collect()
    }

    /// A line of `vol-list`: names may hold spaces, but no slash.
    fn volume_line(&self, line: &str) -> Result<(String, String)> {
        let Some(at) = line.find(" /") else {
            bail!("{}: virsh vol-list shows no volume: {line}", self.uri);
        };
        Ok((
            line[..at].trim().to_owned(),
            line[at + 1..].trim_end().to_owned(),
        ))
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
        let virsh =
            find_program("virsh").ok_or_else(|| Unfit::new("virsh is not installed", PACKAGE))?;
        let mut command = Command::new(virsh);
        command
            .args(["--quiet", "--connect", &self.uri])
            .args(args)
            .env("LC_ALL", "C")
            // In a process group of its own nobody could answer ssh's questions at the terminal: they fail at once.
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("SSH_ASKPASS", "/bin/false");
        let _slots = child_limits::slot_at_host(&self.uri);
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
            .finish(&["uri"], self.patience)
            .is_ok_and(|asked| has_succeeded(&asked));
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

fn has_succeeded(finished: &Finished) -> bool {
    finished.status.success() && finished.timed_out.is_none()
}

/// Whether virsh takes a word as it stands.
fn is_plain(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    !word.is_empty() && word.chars().all(plain)
}
