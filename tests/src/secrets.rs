//! What a cluster keeps to itself: no key where it is not needed, none in anything that is made to be read.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ha_wire::node::NodeFile;
use ha_wire::paths;

use crate::cluster::Cluster;
use crate::ignition::file_in_config;
use crate::private_keys::{FIRST_BOOT, PrivateKeys};
use crate::story::Story;

/// Lists text files with a private key; binaries are the operating system's own. One is put there to be found.
const FIND_TEXT_KEYS: &str =
    "set -e; echo '-----BEGIN PLANTED PRIVATE KEY-----' > /var/lib/e2e-planted.pem
    grep -rlsI --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr --exclude-dir=dev \
         -e '-----BEGIN [A-Z ]*PRIVATE KEY-----' -e client-key-data / || [ $? = 2 ]
    rm /var/lib/e2e-planted.pem";
/// See [`FIND_TEXT_KEYS`].
const PLANTED: &str = "/var/lib/e2e-planted.pem";
/// Files that only root may read, where others may, too.
const OPEN_SECRETS: &str =
    "-type f \\( -name '*.key' -o -name '*.conf' -o -name node.json \\) -perm /077";
/// What phase finish wipes and every provider's nodes have had. (A node that boots from a partition for the OEM has the
/// Ignition config there, too; containers and the lab's machines have none: agent/src/phases/finish/tests.rs looks at that.)
const WIPED: [&str; 3] = [paths::IDENTITY_KEY, paths::IDENTITY_CERT, paths::DISCOVERY];

/// Looks at disks, journals and the operator's files. The first node's Ignition config of its first boot lies in the test's
/// directory as [`FIRST_BOOT`].
pub fn keeps_secrets(story: &Story, cluster: &Cluster) {
    let keys = story.step("the cluster's private keys are read", || {
        PrivateKeys::of_cluster(cluster)
    });
    story.step(
        "no private key of the cluster is on a worker, in any form; a control plane has its own",
        || {
            for worker in cluster.workers() {
                let found = keys.found_on(cluster.node(&worker))?;
                ensure!(found.is_empty(), "{worker} holds {found:?}");
            }
            let control_plane = cluster.control_planes().pop().context("no control plane")?;
            let found = keys.found_on(cluster.node(&control_plane))?;
            let ca = format!("{}/ca.key", paths::PKI_DIR);
            ensure!(
                found.contains(&ca),
                "{control_plane} is not seen to hold {ca}: {found:?}"
            );
            Ok(())
        },
    );
    story.step(
        "a worker's disk holds no private key but the kubelet's own",
        || {
            for worker in cluster.workers() {
                let found = cluster.node(&worker).sh(FIND_TEXT_KEYS)?;
                let (own, foreign): (Vec<&str>, Vec<&str>) = found
                    .lines()
                    .filter(|p| *p != PLANTED)
                    .partition(|p| p.starts_with("/var/lib/kubelet/pki/"));
                ensure!(
                    found.contains(PLANTED) && !own.is_empty(),
                    "the search missed what is there: {found:?}"
                );
                ensure!(foreign.is_empty(), "{worker} holds {foreign:?}");
            }
            Ok(())
        },
    );
    tells_no_key(story, cluster, &keys);
    story.step(
        "secrets are for root alone; the first identity is gone",
        || {
            for (name, _, _) in cluster.plan().nodes() {
                let node = cluster.node(&name);
                let open = node.sh(&format!(
                    "find {} /etc/kubernetes {OPEN_SECRETS}",
                    paths::NODE_FILE
                ))?;
                ensure!(open.trim().is_empty(), "{name}: others may read {open}");
                let all_gone = WIPED.map(|path| format!("[ ! -e {path} ]")).join(" && ");
                node.sh(&all_gone)
                    .with_context(|| format!("one of {WIPED:?} is still there"))?;
            }
            Ok(())
        },
    );
    story.step(
        "the stored Ignition of the first node no longer may found; the one of its first boot might",
        || {
            let state = cluster.operator().state_of(cluster.name());
            let first_boot = cluster.dir().join(FIRST_BOOT);
            for (config, may_found) in [(first_boot, true), (state.join("nodes/node1.ign"), false)] {
                let text = file_in_config(&fs::read_to_string(&config)?, paths::NODE_FILE)?;
                let node = NodeFile::parse(&text)?;
                ensure!(
                    node.founder.is_some() == may_found,
                    "{}: {:?}",
                    config.display(),
                    node.founder
                );
            }
            Ok(())
        },
    );
}

/// Journals, events, consoles, what `ha-host` printed: nothing that is made to be read holds a key.
fn tells_no_key(story: &Story, cluster: &Cluster, keys: &PrivateKeys) {
    story.step("no journal tells a private key", || {
        for (name, _, _) in cluster.plan().nodes() {
            let lines = keys.lines_in_journal(cluster.node(&name))?;
            ensure!(lines == 0, "{name}: {lines} lines");
        }
        Ok(())
    });
    story.step("nor does ha-host's output, an event or a console", || {
        let state = cluster.operator().state_of(cluster.name());
        let mut told = files_in(cluster.dir())?;
        for (name, _, _) in cluster.plan().nodes() {
            let machine = cluster.machine_of(&name);
            told.extend(files_in(&machine)?);
            told.extend(files_in(&machine.join("report"))?);
        }
        told.retain(|path| path.extension().is_none_or(|e| e != "ign"));
        for wanted in ["launch-1.txt", "console.log", "events.jsonl"] {
            let there = told.iter().any(|path| path.ends_with(wanted));
            ensure!(there, "no {wanted} among {told:?}");
        }
        let found = keys.found_in(&told)?;
        ensure!(found.is_empty(), "{found:?} hold a key");
        let config = state.join("nodes/node1.ign");
        let found = keys.found_in(std::slice::from_ref(&config))?;
        ensure!(found == [config], "the search does not see a key in base64");
        Ok(())
    });
}

/// The files of a directory, without those of its directories.
fn files_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}
