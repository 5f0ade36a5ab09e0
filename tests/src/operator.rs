//! The operator's machine: `ha-host` runs in a mount and a network namespace of its own, so that a test never touches
//! the network of the machine it runs on. `ip netns exec` would mount a new /sys and hide the cgroups, hence `nsenter`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;

mod machine;

use crate::lab::{self, Lab};
use crate::plan::MachineKind;
use machine::HypervisorMachine;

/// Where a running systemd shows itself. There, `ha-host` has each node run as a unit of the host's systemd, which lives
/// in the host's namespaces: the operator must live there too.
const SYSTEMD: &str = "/run/systemd/system";
/// What the holder of the namespaces does: `/run/netns` of its own, then wait for the end of its input, which comes when
/// this process ends, however it ends.
const HOLD: &str = "ip link set lo up && mkdir -p /run/netns && mount -t tmpfs -o mode=755 tmpfs /run/netns && echo ready && exec cat";

/// A machine to run `ha-host` on.
#[derive(Debug)]
pub struct Operator {
    home: Home,
    state: PathBuf,
    ha_host: PathBuf,
}

/// What the operator lives in.
#[derive(Debug)]
enum Home {
    /// This machine as it is.
    Here,
    /// Namespaces of this machine.
    Namespaces(Child),
    /// A machine with hypervisors.
    Machine(HypervisorMachine),
}

impl Operator {
    /// Makes one whose state lies below `dir`, for machines of this kind.
    pub fn new(dir: &Path, kind: MachineKind, lab: &Lab) -> Result<Self> {
        let home = match kind {
            MachineKind::Nspawn if Path::new(SYSTEMD).exists() => Home::Here,
            MachineKind::Nspawn => Home::Namespaces(hold_namespaces()?),
            MachineKind::Qemu | MachineKind::Libvirt => {
                Home::Machine(HypervisorMachine::start(dir, kind, lab)?)
            }
        };
        let mut operator = Self::here(dir)?;
        operator.home = home;
        if kind == MachineKind::Qemu {
            for dir in [operator.state.clone(), operator.state.join("ha-host")] {
                if dir.exists() {
                    machine::give_to_user(&dir)?;
                }
            }
        }
        Ok(operator)
    }

    /// This machine as it is: for tests of real hypervisors, which need its KVM and its network.
    pub fn here(dir: &Path) -> Result<Self> {
        let state = dir.join("state");
        std::fs::create_dir_all(&state).with_context(|| format!("make {}", state.display()))?;
        // An earlier run's may be of whoever called make, or of the lab's user; ha-host keeps its state in its own.
        for dir in [state.clone(), state.join("ha-host")] {
            if dir.exists() {
                std::os::unix::fs::chown(&dir, Some(geteuid().as_raw()), None)
                    .with_context(|| format!("chown {}", dir.display()))?;
            }
        }
        Ok(Self {
            home: Home::Here,
            state,
            ha_host: lab::built_ha_host()?,
        })
    }

    /// This machine with another program in `ha-host`'s place.
    #[cfg(test)]
    pub(crate) fn here_with(dir: &Path, ha_host: PathBuf) -> Self {
        Self {
            home: Home::Here,
            state: dir.into(),
            ha_host,
        }
    }

    /// A command in the machine's namespaces.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.home {
            Home::Here => Command::new(program),
            Home::Namespaces(holder) => {
                let mut enter = Command::new("nsenter");
                enter
                    .arg("-t")
                    .arg(holder.id().to_string())
                    .args(["-m", "-n", "--"])
                    .arg(program);
                enter
            }
            Home::Machine(machine) => machine.command(program.as_ref()),
        };
        command
            .env("XDG_STATE_HOME", &self.state)
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null());
        command
    }

    /// `ha-host` with these arguments.
    pub fn ha_host<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command(&self.ha_host);
        command.args(args);
        command
    }

    /// The program itself.
    pub fn program(&self) -> OsString {
        self.ha_host.clone().into()
    }

    /// Where `ha-host` keeps what it knows of this cluster.
    pub fn state_of(&self, cluster: &str) -> PathBuf {
        self.state.join("ha-host").join(cluster)
    }

    /// The process whose namespaces these are: the holder, or this process.
    pub fn pid(&self) -> u32 {
        match &self.home {
            Home::Here => std::process::id(),
            Home::Namespaces(holder) => holder.id(),
            Home::Machine(machine) => machine.pid(),
        }
    }

    /// A command as root, whoever `ha-host` is run as.
    pub fn as_root(&self, program: impl AsRef<OsStr>) -> Command {
        match &self.home {
            Home::Machine(machine) => machine.as_root(program.as_ref()),
            Home::Here | Home::Namespaces(_) => self.command(program),
        }
    }

    /// True if nobody else lives in these namespaces.
    pub fn is_apart(&self) -> bool {
        !matches!(self.home, Home::Here)
    }

    /// The network namespace, to be entered by a thread.
    pub fn network(&self) -> Result<File> {
        let path = format!("/proc/{}/ns/net", self.pid());
        File::open(&path).with_context(|| format!("open {path}"))
    }
}

fn hold_namespaces() -> Result<Child> {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--net",
        "--propagation",
        "private",
        "--",
        "sh",
        "-c",
        HOLD,
    ]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start unshare")?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
    if line.trim() != "ready" {
        bail!(
            "no namespaces for the operator's machine: {:?}",
            child.wait()?
        );
    }
    Ok(child)
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Home::Namespaces(holder) = &mut self.home {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

#[cfg(test)]
mod tests;
