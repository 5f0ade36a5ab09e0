//! `render FILE --out DIR`: one Ignition config per node, for machines that people make themselves.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use ha_host_base::clock::now_ms;
use ha_host_base::exit::Stop;
use ha_host_base::files;
use ha_host_base::text::{count, home};
use ha_providers::RenderOnly;
use tempfile::Builder;

use crate::assets;
use crate::cli::Render;
use crate::ignition::{ConfigRenderer, NodeConfig, founder_permission};
use crate::inputs::OperatorFiles;
use crate::pki::kubeconfig::Server;
use crate::state::StateRoot;
use crate::{progress, source};
use ha_kube::Secret;

/// The keys are kept in the state directory, so that the next render belongs to the same cluster.
pub fn run(args: &Render, root: &StateRoot) -> Result<()> {
    let source = source::read_source(&args.file)?;
    super::print_warnings(&source);
    let cluster = &source.cluster;
    let files = OperatorFiles::read(cluster, root.dir(&cluster.name).path())?;
    let names: Vec<String> = cluster
        .nodes
        .iter()
        .map(|n| format!("{}.ign", n.name))
        .collect();
    if !args.force {
        refuse_existing(&args.out, &names)?;
    }
    let store = root.dir(&cluster.name).lock()?;
    let record = store.accept_for_render(&source.as_accepted())?;
    let (pki, new) = store.ensure_pki()?;
    files.keep(store.path())?;
    store.ensure_kubeconfig(cluster, &pki, &Server::of(cluster, &RenderOnly))?;
    let founder = (!record.founded).then(|| founder_permission(now_ms()));
    let configs = ConfigRenderer {
        cluster,
        pki: &pki,
        files: &files,
        founder,
    }
    .render_all()?;
    for warning in collect_warnings(&files, &configs) {
        eprintln!("{}", progress::warning_line(warning));
    }
    let bar = &mut *progress::pull::download_bar(false);
    let packed = assets::pack_disk(store.path(), cluster, &files.sysexts, bar)?;
    files::make_dir(&args.out)?;
    for (name, config) in names.iter().zip(&configs) {
        write_config(&args.out, name, &config.text, args.force)?;
    }
    println!("{}: {}", cluster.name, progress::cluster_headline(cluster));
    println!(
        "  {} in {}, each with secrets of its node",
        count(configs.len(), "Ignition config"),
        args.out.display()
    );
    println!(
        "  keys ({}) and kubeconfig in {}",
        if new { "new" } else { "kept" },
        home(store.path())
    );
    if let Some(packed) = packed {
        println!(
            "  assets disk in {}: give it to every machine as a read-only virtio disk with the serial number ha-assets",
            home(&packed.path)
        );
    }
    println!(
        "  the nodes' certificates in them end in 24 hours, the permission to found in one: boot the nodes before"
    );
    Ok(())
}

fn collect_warnings<'a>(
    files: &'a OperatorFiles,
    configs: &'a [NodeConfig],
) -> impl Iterator<Item = &'a String> {
    let large = configs.iter().filter_map(|c| c.warning.as_ref());
    files.warnings.iter().chain(large)
}

fn refuse_existing(dir: &Path, names: &[String]) -> Result<()> {
    match names.iter().find(|n| dir.join(n).exists()) {
        Some(name) => {
            let path = dir.join(name);
            Err(Stop::bad_input(format!(
                "{} exists and was not touched; --force replaces it",
                path.display()
            )))
        }
        None => Ok(()),
    }
}

/// Whole or not at all. Not synced to disk: what is lost in a power cut is rendered again.
fn write_config(dir: &Path, name: &str, config: &Secret, replace: bool) -> Result<()> {
    let path = dir.join(name);
    let written = if replace {
        rename_over(dir, &path, config)
    } else {
        create_config(&path, config)
    };
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn create_config(path: &Path, config: &Secret) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    Ok(file.write_all(config.expose().as_bytes())?)
}

fn rename_over(dir: &Path, path: &Path, config: &Secret) -> Result<()> {
    let mut file = Builder::new().prefix(".new-").tempfile_in(dir)?;
    file.write_all(config.expose().as_bytes())?;
    file.persist(path)?;
    Ok(())
}
