//! The keeper: one small process per node that outlives ha-host. It mounts the node's disk, has Ignition fill a new one, runs
//! systemd-nspawn, starts it again when the node reboots, and takes cable and cgroups away when the node is off.
//!
//! `ha-host nspawn-keeper DIRECTORY`, started by `ensure` and by nobody else. It answers on stdout with an
//! [`Answer`] and closes it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail};
use ha_host_base::command::last_lines;
use ha_host_base::files;

use super::answer::{Answer, log_line, send_answer};
use super::cgroup::{self, CgroupLayout};
use super::layout::NodeDir;
use super::node_root::NodeRoot;
use super::plan::Plan;
use super::watch::Watch;
use super::{disk, extensions, ignition, network, root};
use crate::process::ProcessIdentity;
use crate::shared::this_boot::write_for_this_boot;

/// What nspawn exits with when the node wants to be started again.
const REBOOT: i32 = 133;

/// Runs the keeper until its node is off. To be called before any thread is started.
pub fn run(args: &[String]) -> Result<()> {
    let [dir] = args else {
        bail!("nspawn-keeper is started by ha-host itself, with a node's directory")
    };
    let result = keep_node(Path::new(dir));
    if let Err(error) = &result {
        send_answer(&Answer::Failed(format!("{error:#}")));
    }
    result
}

fn keep_node(dir: &Path) -> Result<()> {
    detach_from_caller(dir)?;
    let _alone = lock_out_others()?;
    let me = ProcessIdentity::of(std::process::id().cast_signed())
        .context("cannot find this process in /proc")?;
    me.write(Path::new(NodeDir::KEEPER_PID))?;
    let plan = Plan::read(dir)?;
    root::mount_here(&plan.image_root, plan.ignition.is_some())?;
    if let Some((program, config)) = &plan.ignition {
        fill_new_disk(&plan, program, config, dir)?;
    }
    let result = Keeper::new(&plan, dir).and_then(|keeper| keeper.run());
    log_line(&result.as_ref().map_or_else(
        |error| format!("error: {error:#}"),
        |()| "the node is off".into(),
    ));
    result
}

/// Cuts all ties to whoever started us: session, working directory, open files.
fn detach_from_caller(dir: &Path) -> Result<()> {
    // Fails if we lead a session already, which is as good.
    let _ = nix::unistd::setsid();
    std::env::set_current_dir(dir).with_context(|| format!("cannot enter {}", dir.display()))?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .context("cannot read /proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // The directory's own descriptor is in the list and closed by now.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

/// A second keeper would unplug the first one's node. Whoever starts us holds a lock, too, but may be killed.
fn lock_out_others() -> Result<File> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(NodeDir::KEEPER_LOCK)
        .context("cannot make the keeper's lock")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another keeper is at work on this node"),
        Err(TryLockError::Error(error)) => Err(error).context("cannot lock the node's directory"),
    }
}

/// Makes a new disk. The mark comes last: a disk without it is made anew.
fn fill_new_disk(plan: &Plan, program: &Path, config: &Path, dir: &Path) -> Result<()> {
    ignition::apply_config(program, config, dir)?;
    let root = &NodeRoot::open(Path::new(NodeDir::ROOT))?;
    root::settle_resolv_conf(root, &plan.name_servers)?;
    let names: Vec<String> = plan.extensions.iter().map(|(n, _)| n.clone()).collect();
    extensions::link_extension_dirs(root, &names)?;
    if plan.unpacked {
        extensions::link_directories(root, &names)?;
    }
    // A mark that survives a power cut on a disk that does not would be an empty node for ever.
    root::sync_file_system(&disk::layers_dir(dir).join(NodeDir::UPPER))?;
    files::write_atomic(&dir.join(NodeDir::MADE), b"")?;
    log_line("Ignition has filled the disk");
    Ok(())
}

/// What stays the same from one boot to the next.
struct Keeper<'a> {
    plan: &'a Plan,
    dir: &'a Path,
    hierarchies: Vec<cgroup::Hierarchy>,
    groups: Vec<PathBuf>,
    watch: Arc<Watch>,
}

impl<'a> Keeper<'a> {
    fn new(plan: &'a Plan, dir: &'a Path) -> Result<Self> {
        let hierarchies = cgroup::hierarchies_of("self")?;
        let groups = cgroup::node_groups(&hierarchies, &plan.cluster, &plan.node);
        if super::host_runs_systemd() && cgroup::cgroup_layout(&hierarchies) == CgroupLayout::V2 {
            cgroup::step_aside(&hierarchies)?;
        }
        let lines: String = groups
            .iter()
            .map(|group| format!("{}\n", group.display()))
            .collect();
        write_for_this_boot(&dir.join(NodeDir::CGROUPS), &lines)?;
        Ok(Self {
            plan,
            dir,
            hierarchies,
            groups,
            watch: Watch::start()?,
        })
    }

    fn run(&self) -> Result<()> {
        loop {
            let ended = self.boot();
            let cleaned = self.clean();
            let again = ended?;
            cleaned?;
            if !again {
                return Ok(());
            }
            log_line("the node reboots");
        }
    }

    /// One boot, from power-on to the end; true if the node wants another.
    fn boot(&self) -> Result<bool> {
        network::connect_node(&self.plan.wiring)?;
        cgroup::make_groups(&self.hierarchies, &self.groups)?;
        if let Some(control_planes) = self.plan.real_time_among {
            cgroup::real_time::give_share(&self.groups, control_planes);
        }
        let console = std::fs::File::options()
            .create(true)
            .append(true)
            .open(NodeDir::CONSOLE);
        let console = console.context("cannot write the node's console")?;
        let mut child = self
            .plan
            .command(self.dir, &self.groups)
            .env("NOTIFY_SOCKET", self.watch.address())
            .stdin(Stdio::null())
            .stdout(console.try_clone().context("cannot share the console")?)
            .stderr(console)
            .spawn()
            .context("cannot start systemd-nspawn")?;
        if let Some(ident) = ProcessIdentity::of(child.id().cast_signed()) {
            ident.write(Path::new(NodeDir::NSPAWN_PID))?;
        }
        let status = child.wait().context("cannot wait for systemd-nspawn")?;
        log_line(&format!("systemd-nspawn has ended: {status}"));
        if !self.watch.seen.load(Ordering::SeqCst) {
            let text = std::fs::read_to_string(NodeDir::CONSOLE).unwrap_or_default();
            bail!(
                "systemd-nspawn did not start the node ({status}): {}",
                last_lines(&text)
            );
        }
        Ok(status.code() == Some(REBOOT))
    }

    fn clean(&self) -> Result<()> {
        // Should nspawn have been killed, the node's PID 1 lives on without it.
        if let Some(leader) = ProcessIdentity::alive(Path::new(NodeDir::LEADER_PID)) {
            leader.kill();
        }
        for file in [NodeDir::LEADER_PID, NodeDir::NSPAWN_PID] {
            let _ = std::fs::remove_file(file);
        }
        let unplugged = network::disconnect_node(&self.plan.wiring);
        cgroup::remove_groups(&self.groups).and(unplugged)
    }
}
