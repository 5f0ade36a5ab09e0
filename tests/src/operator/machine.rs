//! The operator's machine for virtual machines: the lab's root with QEMU and libvirt, in namespaces of its own.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::lab::{Lab, workspace_root};
use crate::plan::MachineKind;

/// The lab's ordinary user.
const USER: u32 = 1000;

/// A machine that lives as long as this value.
#[derive(Debug)]
pub struct HypervisorMachine {
    holder: Child,
    pid: u32,
    /// What QEMU needs no root for is run by an ordinary user; libvirt's system daemon trusts root alone here.
    user: Option<u32>,
}

impl HypervisorMachine {
    /// Starts one; what it writes outside of the lab's places lies below `dir`.
    pub fn start(dir: &Path, kind: MachineKind, lab: &Lab) -> Result<Self> {
        let own = dir.join("operator");
        if own.exists() {
            fs::remove_dir_all(&own).with_context(|| format!("remove {}", own.display()))?;
        }
        fs::create_dir_all(&own)?;
        let mut command = Command::new("unshare");
        command
            .args(["-m", "-n", "-p", "--fork", "--kill-child"])
            .args(["--propagation", "private", "--"])
            .arg(workspace_root().join("lab/operator/hold"))
            .arg(lab.operator().join("root"))
            .arg(&own)
            .args(lab.places()?)
            .arg(dir)
            .env(
                "LIBVIRT",
                if kind == MachineKind::Libvirt {
                    "1"
                } else {
                    "0"
                },
            );
        let mut holder = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the operator's machine")?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().context("no stdout")?).read_line(&mut line)?;
        let Some(pid) = line
            .trim()
            .strip_prefix("ready ")
            .and_then(|p| p.parse().ok())
        else {
            bail!("the operator's machine did not start: {:?}", holder.wait()?);
        };
        let user = (kind == MachineKind::Qemu).then_some(USER);
        Ok(Self { holder, pid, user })
    }

    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A command in it, by whoever runs `ha-host` there.
    pub fn command(&self, program: &OsStr) -> Command {
        let Some(user) = self.user else {
            return self.as_root(program);
        };
        let mut command = self.as_root("setpriv".as_ref());
        command
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={user}"))
            .args(["--init-groups", "--"])
            .arg(program)
            .env("HOME", "/home/operator");
        command
    }

    /// A command in it, by root.
    pub fn as_root(&self, program: &OsStr) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg("-t")
            .arg(self.pid.to_string())
            .args(["-m", "-n", "-p", "-r", "-w", "--"])
            .arg(program)
            .env("HOME", "/root");
        command
    }
}

/// Lets the ordinary user have a directory.
pub fn give_to_user(dir: &Path) -> Result<()> {
    chown(dir, Some(USER), Some(USER)).with_context(|| format!("chown {}", dir.display()))
}

impl Drop for HypervisorMachine {
    fn drop(&mut self) {
        // Its first process dies with it, and with that one all the others.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
