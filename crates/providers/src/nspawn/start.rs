//! From nothing, or from a disk, to a node with a PID 1.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use ha_cluster_file::cluster::Node;
use ha_host_base::files;
use ha_host_base::text::shown_path;
use ha_wire::format::Version;
use serde::Deserialize;

use super::answer::Answer;
use super::layout::{DATA, Layout, NodeDir};
use super::network::NamespaceOwner;
use super::plan::Plan;
use super::root;
use super::{Nspawn, destroy, disk, extensions, host_runs_systemd, ignition, store};
use crate::process::ProcessIdentity;
use crate::{Machine, Made};

/// What the node does. A leader without its keeper still runs.
pub fn machine_state(dir: &NodeDir) -> Machine {
    let runs = [NodeDir::KEEPER_PID, NodeDir::LEADER_PID]
        .iter()
        .any(|file| ProcessIdentity::alive(&dir.join(file)).is_some());
    if runs {
        Machine::Running
    } else if dir.join(NodeDir::MADE).exists() {
        Machine::Off
    } else {
        Machine::Absent
    }
}

/// Makes the node unless it is there, and switches it on.
pub fn ensure_node(provider: &Nspawn, node: &Node, config: &Path) -> Result<Made> {
    let dir = provider.dir(node);
    match machine_state(&dir) {
        Machine::Running => return Ok(Made::Running),
        Machine::Off => return power_on(provider, node).map(|()| Made::PoweredOn),
        Machine::Absent => {}
    }
    // What an earlier try left has no mark: nobody has ever used that disk.
    destroy::remove_node(&dir, &provider.wiring(node))?;
    root::lay_out(&dir)?;
    record_image(&provider.image, &dir)?;
    if provider.disks_as_images {
        disk::make_image(&dir)?;
    }
    if provider.runs_containerd(node) {
        store::link_image_store(
            &provider.image.join("containerd"),
            &dir.join(NodeDir::DATA).join(DATA[0].0),
        )?;
    }
    let program = ignition::find_ignition(&provider.image)
        .context("Ignition is not installed: apt-get install ignition")?;
    let config =
        std::path::absolute(config).with_context(|| format!("cannot find {}", config.display()))?;
    start_keeper(provider, node, Some((program, config)))?;
    Ok(Made::New { warning: None })
}

/// Boots a node from its disk, unless it runs.
pub fn power_on(provider: &Nspawn, node: &Node) -> Result<()> {
    match machine_state(&provider.dir(node)) {
        Machine::Running => Ok(()),
        Machine::Off => start_keeper(provider, node, None),
        Machine::Absent => bail!("{} has no disk; `ha-host launch` makes it", node.name),
    }
}

fn start_keeper(
    provider: &Nspawn,
    node: &Node,
    ignition: Option<(PathBuf, PathBuf)>,
) -> Result<()> {
    let dir = provider.dir(node);
    if provider.segment.owner() != NamespaceOwner::Us {
        let bridge = provider.layout.bridge_namespace();
        bail!("the cluster's network {bridge} is gone; `ha-host launch` makes it again");
    }
    boot_plan(provider, node, ignition)?.write(&dir)?;
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(dir.join(NodeDir::KEEPER_LOG));
    let mut child =
        keeper_command(&provider.keeper, &provider.layout, node)
            .arg("nspawn-keeper")
            .arg(&dir.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.with_context(|| {
                format!("cannot write {}", dir.join(NodeDir::KEEPER_LOG).display())
            })?)
            .spawn()
            .with_context(|| format!("cannot start the keeper of {}", node.name))?;
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout
            .read_to_string(&mut said)
            .with_context(|| format!("lost the keeper of {}", node.name))?;
    }
    match serde_json::from_str(&said) {
        Ok(Answer::Running) => {
            // The keeper lives on; should it end before we do, somebody must take note of it.
            std::thread::spawn(move || child.wait());
            Ok(())
        }
        Ok(Answer::Failed(error)) => {
            // It has nothing left to do.
            let _ = child.wait();
            bail!("{}: {error}", node.name)
        }
        Err(_) => {
            let status = child
                .wait()
                .with_context(|| format!("cannot wait for the keeper of {}", node.name))?;
            bail!(
                "the keeper of {} has died ({status}); see {}",
                node.name,
                dir.join(NodeDir::KEEPER_LOG).display()
            )
        }
    }
}

fn boot_plan(provider: &Nspawn, node: &Node, ignition: Option<(PathBuf, PathBuf)>) -> Result<Plan> {
    let image_root = image_root(&provider.dir(node))?;
    let network = &provider.network;
    let servers = if network.dns.is_empty() {
        std::slice::from_ref(&network.gateway)
    } else {
        &network.dns[..]
    };
    // Only those that are there: the disk's links to others are its own affair.
    let (local, _) = extensions::local_files(&provider.sysexts);
    let home = provider.layout.extensions();
    Ok(Plan {
        version: Version,
        cluster: provider.layout.machines.cluster().into(),
        node: node.name.clone(),
        machine: provider.layout.machine(&node.name),
        image_root,
        wiring: provider.wiring(node),
        name_servers: servers.iter().map(ToString::to_string).collect(),
        extensions: local
            .into_iter()
            .map(|(name, _)| (name.clone(), home.join(name)))
            .collect(),
        unpacked: provider.unpack_reason().is_some(),
        real_time_among: real_time_among(provider, node),
        ignition,
    })
}

/// For keepalived alone.
fn real_time_among(provider: &Nspawn, node: &Node) -> Option<u32> {
    let balancers = &provider.balancers;
    balancers.iter().find(|name| **name == node.name)?;
    u32::try_from(balancers.len()).ok()
}

/// Notes which image a new disk lies over: later starts use that one, even if the cluster file or a link names another by then.
/// An upper layer over another lower one is not a disk.
fn record_image(image: &Path, dir: &NodeDir) -> Result<()> {
    let root = canonical_root(&image.join("root"))?;
    files::write_atomic(&dir.join(NodeDir::IMAGE), root.as_os_str().as_bytes())
}

/// The image below a disk.
fn image_root(dir: &NodeDir) -> Result<PathBuf> {
    /// What an ha-host that made no such note wrote at every start.
    #[derive(Deserialize)]
    struct OldPlan {
        image_root: PathBuf,
    }
    let (note, plan) = (dir.join(NodeDir::IMAGE), dir.join(NodeDir::PLAN));
    let root = match std::fs::read(&note) {
        Ok(path) if !path.is_empty() => Ok(PathBuf::from(OsString::from_vec(path))),
        _ => std::fs::read_to_string(&plan)
            .map_err(anyhow::Error::from)
            .and_then(|text| Ok(serde_json::from_str::<OldPlan>(&text)?.image_root)),
    };
    canonical_root(&root.with_context(|| {
        format!(
            "neither {} nor {} says which image the disk lies over; write the path of the image's root directory into the \
             first, without a newline",
            note.display(),
            plan.display()
        )
    })?)
}

fn canonical_root(root: &Path) -> Result<PathBuf> {
    root.canonicalize().with_context(|| {
        let remedy = "build it again, or remove the node and launch anew";
        format!("the node image {} is gone; {remedy}", shown_path(root))
    })
}

/// The keeper's program. Under systemd in a scope of its own, from the manual pages and not run so far: that takes it out of
/// the login session's cgroup (and its end), and delegates the scope's cgroups to it. A scope, not a service: a service
/// would start in PID 1's namespaces, and the network namespace that ha-host runs in is the one that counts.
fn keeper_command(program: &Path, layout: &Layout, node: &Node) -> Command {
    if !host_runs_systemd() {
        return Command::new(program);
    }
    let mut command = Command::new("systemd-run");
    command
        .args([
            "--scope",
            "--quiet",
            "--collect",
            "--no-ask-password",
            "-p",
            "Delegate=yes",
            "-p",
            "TasksMax=infinity",
        ])
        .arg(format!(
            "--unit=ha-{}.{}",
            layout.machines.cluster(),
            node.name
        ))
        .arg("--")
        .arg(program);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use ha_cluster_file::cluster::ProviderOptions;

    /// A cluster of one whose image is `dir/image`.
    fn nspawn_provider(dir: &Path) -> Nspawn {
        let text = format!(
            "version: 1\nname: t\nkubernetes: {{version: 1.36.3}}\nendpoint: {{vip: 10.79.0.30}}\n\
             network: {{prefix: 24, gateway: 10.79.0.1}}\nnodes:\n\
             - {{name: one, role: control-plane, address: 10.79.0.11}}\n\
             provider: {{nspawn: {{image: {}}}}}\n",
            dir.join("image").display()
        );
        let cluster = ha_test_support::parse_cluster(&text, Path::new("/"));
        let ProviderOptions::Nspawn(options) = &cluster.provider else {
            panic!("provider nspawn")
        };
        std::fs::create_dir_all(dir.join("image/root")).unwrap();
        Nspawn::new(&cluster, options, dir).unwrap()
    }

    #[test]
    fn a_disk_starts_whatever_became_of_its_boot_plan() {
        let dir = tempfile::tempdir().unwrap();
        let provider = nspawn_provider(dir.path());
        let node = provider.dir(&provider.nodes[0]);
        root::lay_out(&node).unwrap();
        let image = dir.path().join("image/root");
        let root = || image_root(&node).map_err(|error| format!("{error:#}"));
        let plan = |text: &str| std::fs::write(node.join(NodeDir::PLAN), text).unwrap();
        // A disk of an earlier ha-host names its image in the plan alone; a field of a later one is not a fault.
        plan(&format!(
            "{{\"version\": 7, \"image_root\": {image:?}, \"later\": 1}}"
        ));
        assert_eq!(root(), Ok(image.canonicalize().unwrap()));
        record_image(&provider.image, &node).unwrap();
        for damaged in ["", "{", "\0\0\0"] {
            plan(damaged);
            assert_eq!(root(), Ok(image.canonicalize().unwrap()), "{damaged:?}");
        }
        std::fs::write(node.join(NodeDir::IMAGE), "").unwrap();
        let error = root().unwrap_err();
        assert!(error.contains("which image the disk lies over"), "{error}");
    }

    #[test]
    fn only_nodes_that_run_containerd_get_its_images() {
        use ha_wire::phase::Role;
        use ha_wire::settings::Cri;
        let dir = tempfile::tempdir().unwrap();
        let mut provider = nspawn_provider(dir.path());
        let mut node = provider.nodes[0].clone();
        assert!(provider.runs_containerd(&node));
        node.role = Role::LoadBalancer;
        assert!(!provider.runs_containerd(&node));
        (node.role, provider.cri) = (Role::Worker, Cri::Crio);
        assert!(!provider.runs_containerd(&node));
    }

    #[test]
    fn a_node_that_another_ha_host_starts_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let provider = nspawn_provider(dir.path());
        let node = &provider.nodes[0];
        root::lay_out(&provider.dir(node)).unwrap();
        std::fs::write(provider.dir(node).join(NodeDir::MADE), "").unwrap();
        crate::machine_tests::leaves_a_locked_node_alone(&provider, node, dir.path());
        assert!(!provider.dir(node).join(NodeDir::PLAN).exists());
    }
}
