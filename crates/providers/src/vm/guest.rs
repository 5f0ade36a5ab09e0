//! Commands on a node by the QEMU guest agent. The agent knows no streams: a command's output goes into files under /run in
//! the node, which are read as they grow.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub(crate) mod socket;
mod virsh;

/// What a login as root would set.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin";
/// One answer of the agent: it holds up to 48 MB in memory; this is enough for any journal's second.
const CHUNK: usize = 128 * 1024;
/// Output that was read is given back to the node's memory each time it has grown by this much.
const FREE_AT: u64 = 4 * 1024 * 1024;
/// Pauses between looks: short while something happens, longer while nothing does.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(320));
/// How long a command may take to end once it was asked to.
const STOPPING: Duration = Duration::from_secs(5);
/// What the program ends with after Ctrl-C.
const INTERRUPTED: i32 = 130;
/// Makes the place of the output, then becomes the command.
const SCRIPT: &str = r#"(umask 077; mkdir "$1") || exit 125; echo $$ >"$1/pid"; exec >>"$1/out" 2>>"$1/err" </dev/null; shift; exec "$@""#;
/// Removes the place, and those of commands that have ended and whose ha-host was killed before it could do this.
const CLEAN: &str = r#"rm -rf "$1"; for d in $(find /run -maxdepth 1 -name 'ha-exec-*' -mmin +1); do read -r p <"$d/pid"; kill -0 "$p" || rm -rf "$d"; done"#;

/// The command that every agent that lives answers.
const PING: &str = "guest-ping";

/// A way to a node's agent.
pub trait Transport: std::fmt::Debug + Send {
    /// One exchange: `{"execute": ..., "arguments": ...}` there, `{"return": ...}` or `{"error": ...}` back. May be called by
    /// several processes in turns. An error: no answer.
    fn call(&self, request: &Value) -> Result<Value>;
}

/// The guest agent of one node.
#[derive(Debug)]
pub struct Agent {
    node: String,
    transport: Box<dyn Transport>,
}

impl Agent {
    /// `node` is how messages call it.
    pub fn new(node: &str, transport: Box<dyn Transport>) -> Self {
        Self {
            node: node.into(),
            transport,
        }
    }

    /// How messages call the node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Whether it answers.
    pub fn ping(&self) -> Result<()> {
        self.ask(PING, json!({})).map(drop)
    }

    /// Starts a command as root and does not wait for it. Returns the node's number of it.
    pub fn start(&self, argv: &[&str]) -> Result<i64> {
        let (path, args) = argv.split_first().context("no command")?;
        let mut env = vec![PATH.to_owned(), "HOME=/root".to_owned()];
        env.extend(std::env::var("TERM").map(|term| format!("TERM={term}")));
        let arguments = json!({"path": path, "arg": args, "env": env, "capture-output": false});
        let started = self.ask("guest-exec", arguments)?;
        started["pid"]
            .as_i64()
            .context("the guest agent returned no pid")
    }

    /// Runs a command as root to its end and copies what it says, as it says it. Returns its exit code as a shell would. When
    /// `stop` becomes true, or nobody reads any more, the command is ended.
    pub fn exec(
        &self,
        argv: &[&str],
        out: &mut dyn Write,
        err: &mut dyn Write,
        stop: &AtomicBool,
    ) -> Result<i32> {
        let dir = scratch_dir();
        // A session of its own, so that all of it can be ended.
        let mut whole = vec!["setsid", "sh", "-c", SCRIPT, "sh", &dir];
        whole.extend(argv);
        let pid = self.start(&whole)?;
        let mut run = RunningCommand {
            agent: self,
            command: Running::Pid(pid),
            files: [File::new(&dir, "out"), File::new(&dir, "err")],
        };
        let code = run.follow(out, err, stop);
        run.close();
        // It holds what the command said. Should the node be gone, so is its /run.
        let _ = self.start(&["sh", "-c", CLEAN, "sh", &dir]);
        code
    }

    fn ask(&self, command: &str, arguments: Value) -> Result<Value> {
        let request = json!({"execute": command, "arguments": arguments});
        let mut answer = self.transport.call(&request).with_context(|| {
            format!(
                "the guest agent of {} does not answer: Flatcar starts it where the virtio port {} is",
                self.node,
                super::GUEST_PORT
            )
        })?;
        match answer["error"]["desc"].as_str() {
            Some(words) => bail!("{}: {command}: {words}", self.node),
            None => answer
                .get_mut("return")
                .map(Value::take)
                .with_context(|| format!("{}: {command}: unexpected answer", self.node)),
        }
    }
}

/// A command that runs.
struct RunningCommand<'a> {
    agent: &'a Agent,
    command: Running,
    files: [File; 2],
}

/// What is known of a command on a node.
#[derive(Debug, Clone, Copy)]
enum Running {
    /// It runs, by the node's number.
    Pid(i64),
    /// It has ended with this exit code. The agent forgets a command that it was asked about after its end.
    Ended(i32),
}

/// One of its two files.
struct File {
    path: String,
    handle: Option<i64>,
    read: u64,
    freed: u64,
}

impl File {
    fn new(dir: &str, name: &str) -> Self {
        Self {
            path: format!("{dir}/{name}"),
            handle: None,
            read: 0,
            freed: 0,
        }
    }
}

impl RunningCommand<'_> {
    fn follow(
        &mut self,
        out: &mut dyn Write,
        err: &mut dyn Write,
        stop: &AtomicBool,
    ) -> Result<i32> {
        let mut pause = PAUSE.0;
        loop {
            // First the end, then the output: so nothing that was said before the end is missed.
            let command = self.look()?;
            let (mut heard, mut deaf) = (false, false);
            for at in 0..self.files.len() {
                let bytes = self.read(at)?;
                heard |= !bytes.is_empty();
                let to: &mut dyn Write = if at == 0 { &mut *out } else { &mut *err };
                // Nobody reads us any more: `ha-host logs ... | head`.
                deaf |= to.write_all(&bytes).and_then(|()| to.flush()).is_err();
            }
            match command {
                Running::Ended(code) if !heard => return Ok(code),
                Running::Pid(_) if deaf || stop.load(Ordering::SeqCst) => return self.stop(),
                _ => {}
            }
            pause = if heard {
                PAUSE.0
            } else {
                (pause * 2).min(PAUSE.1)
            };
            if matches!(command, Running::Pid(_)) {
                sleep(pause);
            }
        }
    }

    /// Whether it has ended by now.
    fn look(&mut self) -> Result<Running> {
        let Running::Pid(pid) = self.command else {
            return Ok(self.command);
        };
        let status = self.agent.ask("guest-exec-status", json!({"pid": pid}))?;
        if let Some(code) = exit_code(&status) {
            self.command = Running::Ended(code);
        }
        Ok(self.command)
    }

    /// What has come since the last call.
    fn read(&mut self, at: usize) -> Result<Vec<u8>> {
        let file = &mut self.files[at];
        let handle = match file.handle {
            Some(handle) => handle,
            None => {
                let open = json!({"execute": "guest-file-open", "arguments": {"path": file.path, "mode": "r"}});
                let answer = self.agent.transport.call(&open)?;
                // Not made yet, or never: the command could not be started.
                let Some(handle) = answer["return"].as_i64() else {
                    return Ok(Vec::new());
                };
                *file.handle.insert(handle)
            }
        };
        let piece = self
            .agent
            .ask("guest-file-read", json!({"handle": handle, "count": CHUNK}))?;
        let bytes = decode_piece(&piece)?;
        file.read += bytes.len() as u64;
        if file.read - file.freed >= FREE_AT {
            file.freed = file.read;
            let length = file.read.to_string();
            // A node without the program keeps it until the command ends.
            let _ =
                self.agent
                    .start(&["fallocate", "--punch-hole", "--length", &length, &file.path]);
        }
        Ok(bytes)
    }

    fn stop(&mut self) -> Result<i32> {
        let end = Instant::now() + STOPPING;
        let mut signal = "TERM";
        while let Running::Pid(pid) = self.look()? {
            let kill = format!("kill -{signal} -{pid}");
            self.agent.start(&["sh", "-c", &kill])?;
            if Instant::now() >= end {
                signal = "KILL";
            }
            sleep(PAUSE.1);
        }
        Ok(INTERRUPTED)
    }

    fn close(&mut self) {
        for handle in self.files.iter().filter_map(|file| file.handle) {
            // The agent's own table; it goes with the node.
            let _ = self
                .agent
                .ask("guest-file-close", json!({"handle": handle}));
        }
    }
}

/// What `guest-exec-status` says of a command's end, as a shell would; none: it runs.
pub(crate) fn exit_code(status: &Value) -> Option<i32> {
    if status["exited"] != true {
        return None;
    }
    let signal = status["signal"].as_i64();
    let signal = signal.and_then(|signal| signal.checked_add(128));
    let code = status["exitcode"].as_i64().or(signal);
    Some(code.and_then(|code| i32::try_from(code).ok()).unwrap_or(1))
}

/// What an answer to `guest-file-read` holds.
pub(crate) fn decode_piece(piece: &Value) -> Result<Vec<u8>> {
    STANDARD
        .decode(piece["buf-b64"].as_str().unwrap_or_default())
        .context("the guest agent sent invalid base64")
}

/// A directory in the node that no other command has.
fn scratch_dir() -> String {
    format!("/run/ha-exec-{:016x}", fastrand::u64(..))
}

/// How the guest agent of a machine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestTransport {
    /// A socket of this machine, from QEMU itself.
    Socket(PathBuf),
    /// A domain of a libvirt host.
    Libvirt {
        /// The host, as libvirt names it.
        uri: String,
        /// The machine there.
        domain: String,
    },
}

impl GuestTransport {
    /// `program` (ha-host itself) as the command that runs `argv` on the node, for [`crate::Provider::exec`].
    pub fn command(&self, program: &Path, node: &str, argv: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(["guest-exec", "--node", node]);
        match self {
            Self::Socket(path) => command.arg("--qemu").arg(path),
            Self::Libvirt { uri, domain } => command.args(["--libvirt", uri, domain]),
        };
        command.arg("--").args(argv);
        command
    }

    /// Connects only when something is asked.
    pub fn open(self) -> Box<dyn Transport> {
        match self {
            Self::Socket(path) => Box::new(socket::Socket::new(path)),
            Self::Libvirt { uri, domain } => Box::new(virsh::VirshTransport { uri, domain }),
        }
    }
}

#[cfg(test)]
pub mod tests;
