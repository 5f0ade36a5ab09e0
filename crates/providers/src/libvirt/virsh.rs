//! `virsh` as the client of one libvirt host: every call is a child process with a deadline; what it says becomes one message
//! with the host, the cause and the cure.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use ha_host_base::command::{tail, which};
use nix::sys::signal::Signal;

/// A healthy daemon answers in a tenth of a second, one behind ssh and busy with a pool in a few.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a running virsh is looked at: short beside its own 20 ms.
const LOOK: Duration = Duration::from_millis(5);
/// Where Debian, Fedora and SUSE have it.
pub const PACKAGE: &str = "apt-get install libvirt-clients (Fedora: libvirt-client)";

/// One host's virsh.
#[derive(Debug, Clone)]
pub struct Virsh {
    uri: String,
}

impl Virsh {
    /// Talks to nobody yet.
    pub fn new(uri: &str) -> Self {
        Self { uri: uri.into() }
    }

    /// The host.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether the daemon is on this machine, so that it sees the files that we see.
    pub fn is_local(&self) -> bool {
        // driver[+transport]://[user@][host][:port]/path
        let after = self.uri.split_once("://").map_or("", |(_, rest)| rest);
        let transport = self.uri.split("://").next().and_then(|s| s.split_once('+'));
        after.starts_with('/') && transport.is_none_or(|(_, way)| way == "unix")
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
        let said = self.say(args, patience)?;
        if said.status.success() {
            return Ok(said.out);
        }
        Err(self.explain(args, &said))
    }

    /// None if libvirt knows no thing of that name.
    pub fn find(&self, args: &[&str]) -> Result<Option<String>> {
        let said = self.say(args, PATIENCE)?;
        if said.status.success() {
            return Ok(Some(said.out));
        }
        if said.err.contains("error: failed to get ") {
            return Ok(None);
        }
        Err(self.explain(args, &said))
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
            .context("TMPDIR is no UTF-8")?
            .to_owned();
        let args: Vec<&str> = args
            .iter()
            .map(|a| if *a == XML { path.as_str() } else { *a })
            .collect();
        self.run(&args)
    }

    /// The command itself, for those who want its streams.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        let virsh = which("virsh").ok_or_else(|| anyhow!("virsh is not installed: {PACKAGE}"))?;
        let mut command = Command::new(virsh);
        command
            .args(["--quiet", "--connect", &self.uri])
            .args(args)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        Ok(command)
    }

    fn say(&self, args: &[&str], patience: Duration) -> Result<Said> {
        let mut command = self.command(args)?;
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start virsh")?;
        let (out, err) = (listen(child.stdout.take()), listen(child.stderr.take()));
        let Some(status) = wait(&mut child, patience)? else {
            bail!(
                "{}: virsh {} did not end within {} s; is the host overloaded or cut off? Launch again once `virsh -c {} list` answers",
                self.uri,
                args.first().unwrap_or(&""),
                patience.as_secs(),
                self.uri
            );
        };
        Ok(Said {
            status,
            out: heard(out)?,
            err: heard(err)?,
        })
    }

    fn explain(&self, args: &[&str], said: &Said) -> anyhow::Error {
        let mut words = words(&said.err);
        if said.status.signal() == Some(Signal::SIGPIPE as i32) {
            words = CUT.into();
        } else if words.is_empty() {
            words = format!("it ended with {} and said nothing", said.status);
        }
        let cure = cure(&self.uri, &words)
            .map(|cure| format!("; {cure}"))
            .unwrap_or_default();
        let about: Vec<&str> = args
            .iter()
            .take(3)
            .filter(|a| !a.starts_with("--"))
            .copied()
            .collect();
        if lost(&words) {
            return anyhow!("libvirt at {} cannot be reached: {words}{cure}", self.uri);
        }
        anyhow!("{}: virsh {}: {words}{cure}", self.uri, about.join(" "))
    }
}

/// virsh dies without a word when the daemon does in the middle of an upload.
const CUT: &str = "the daemon or the connection to it ended in the middle";
/// Stands for the file in the arguments of [`Virsh::feed`].
pub const XML: &str = "{xml}";

/// What a virsh said.
struct Said {
    status: ExitStatus,
    out: String,
    err: String,
}

fn listen(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // A stream that breaks ends: what came until then is what was said.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn heard(listener: JoinHandle<String>) -> Result<String> {
    listener
        .join()
        .map_err(|_| anyhow!("the thread that listens to virsh has panicked"))
}

/// None: it was killed at the deadline.
fn wait(child: &mut Child, patience: Duration) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for virsh")? {
            return Ok(Some(status));
        }
        if Instant::now() > end {
            child.kill().context("cannot stop virsh")?;
            child.wait().context("cannot wait for virsh")?;
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

/// virsh's own words without its decoration: `error: a` and `error: b` become `a: b`; log lines go.
fn words(err: &str) -> String {
    let errors: Vec<&str> = err
        .lines()
        .filter_map(|line| line.strip_prefix("error: "))
        .map(str::trim)
        .collect();
    if errors.is_empty() {
        return tail(err).trim().replace('\n', "; ");
    }
    errors.join(": ")
}

/// Whether the words say that the host, not the thing asked for, is at fault.
fn lost(words: &str) -> bool {
    const SIGNS: [&str; 6] = [
        CUT,
        "failed to connect to the hypervisor",
        "client socket is closed",
        "End of file while reading data",
        "Cannot recv data",
        "Disconnected from",
    ];
    SIGNS.iter().any(|sign| words.contains(sign))
}

/// What mends the faults that everybody meets.
fn cure(uri: &str, words: &str) -> Option<String> {
    let any = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
    if any(&[
        "ssh:",
        "Host key verification",
        "Cannot find 'ssh'",
        "Cannot recv data",
    ]) && uri.contains("ssh")
    {
        return Some(format!(
            "`virsh -c {uri} list` must work without asking: install ssh, put your key there, accept the host's key"
        ));
    }
    if any(&[
        "authentication unavailable",
        "authentication failed",
        "access denied",
        "Permission denied",
        "polkit",
        "system bus",
    ]) && lost(words)
    {
        return Some(
            "you may not use the system's libvirt: `sudo usermod -aG libvirt $USER`, then log in anew (`id` shows the group); \
             without a group libvirt: a polkit rule for org.libvirt.unix.manage"
                .into(),
        );
    }
    if any(&["No such file or directory", "Connection refused"]) && words.contains("socket") {
        return Some(
            "the daemon does not run: `sudo systemctl enable --now libvirtd` (or virtqemud.socket, virtnetworkd.socket and \
             virtstoraged.socket where libvirt is modular); not installed: `apt-get install libvirt-daemon-system`"
                .into(),
        );
    }
    if lost(words) {
        return Some(format!(
            "once `virsh -c {uri} list` works again, launch again: it goes on"
        ));
    }
    if any(&["No space left on device", "Disk quota exceeded"]) {
        return Some("the pool's file system is full: make room there or name another `pool`, then launch again".into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_and_session() {
        let is = |uri: &str| (Virsh::new(uri).is_local(), Virsh::new(uri).is_session());
        assert_eq!(is("qemu:///system"), (true, false));
        assert_eq!(is("qemu:///session"), (true, true));
        assert_eq!(is("qemu+unix:///system?socket=/run/x"), (true, false));
        assert_eq!(is("qemu+ssh://me@kvm1/system"), (false, false));
        assert_eq!(
            is("qemu+ssh:///system"),
            (false, false),
            "ssh to localhost may be another user"
        );
    }

    #[test]
    fn words_lose_their_decoration() {
        let err = "2026-11-21 17:47:59.699+0000: 358: info : libvirt version: 11.3.0\n\
                   error: Failed to start domain 'demo-n1'\nerror: internal error: no\n";
        assert_eq!(
            words(err),
            "Failed to start domain 'demo-n1': internal error: no"
        );
        assert_eq!(words("odd\nthing\n"), "odd; thing");
    }

    #[test]
    fn faults_that_everybody_meets_have_a_cure() {
        let ended = |uri: &str, err: &str, status: i32| {
            let said = Said {
                status: ExitStatus::from_raw(status),
                out: String::new(),
                err: err.into(),
            };
            Virsh::new(uri).explain(&["list"], &said).to_string()
        };
        let says = |uri: &str, err: &str| ended(uri, err, 256);
        let connect = "error: failed to connect to the hypervisor\n";
        let system = "qemu:///system";
        for (uri, err, cure) in [
            (
                system,
                "error: Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory",
                "systemctl enable --now libvirtd",
            ),
            (
                system,
                "error: Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied",
                "usermod -aG libvirt",
            ),
            (
                system,
                "error: authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'",
                "usermod -aG libvirt",
            ),
            (
                "qemu+ssh://kvm1/system",
                "error: Cannot recv data: ssh: Could not resolve hostname kvm1: Name or service not known: Connection reset by peer",
                "put your key there",
            ),
        ] {
            let message = says(uri, &format!("{connect}{err}\n"));
            assert!(
                message.contains(cure) && message.contains(uri) && message.lines().count() == 1,
                "{message}"
            );
        }
        let full = says(
            system,
            "error: cannot upload to volume x\nerror: No space left on device\n",
        );
        let cut = ended(system, "", Signal::SIGPIPE as i32);
        assert!(
            cut.contains("cannot be reached") && cut.contains("launch again"),
            "{cut}"
        );
        assert!(
            full.contains("name another `pool`") && !full.contains("cannot be reached"),
            "{full}"
        );
    }
}
