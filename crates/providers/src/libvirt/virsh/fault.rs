//! Why a call of `virsh` failed, and what an operator can do about it. No sentence of virsh's is read for that.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::finding::Unfit;

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

/// Whether the host answers and will not do it: asking again would change nothing, and nothing has happened.
pub fn is_refusal(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<VirshError>();
    error.is_some_and(|error| error.kind == VirshErrorKind::Refused)
}

impl VirshError {
    pub fn unfit(&self) -> Option<Unfit> {
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
pub fn probe_door(sockets: &[&Path]) -> Door {
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
