//! `render FILE --out DIR`: one Ignition config per node, for machines that people make themselves.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use ha_host_base::clock::now_ms;
use ha_host_base::exit::Stop;
use ha_host_base::text::{pluralize, shown_path};
use ha_providers::{ByOthers, Provider};

mod output;

use crate::api::Api;
use crate::assets::{self, PackedDisk};
use crate::cli::RenderArgs;
use crate::ignition::{ConfigRenderer, NodeConfig, founder_permission};
use crate::inputs::OperatorFiles;
use crate::launch;
use crate::pki::Pki;
use crate::pki::kubeconfig::Server;
use crate::source::Source;
use crate::state::{ClusterDir, ClusterLife, ClusterStore, StateRoot};
use crate::{progress, source};

/// A cluster that `launch` made is not touched: its configs are written, and nothing else.
pub fn run(args: &RenderArgs, root: &StateRoot) -> Result<()> {
    let source = source::read_source(&args.file, Some(root))?;
    super::print_warnings(&source);
    let dir = root.dir(&source.cluster.name);
    if !args.force {
        output::refuse_existing(&args.out, &config_names(&source))?;
    }
    if is_launched(&dir)? {
        return render_launched(args, &source, &dir);
    }
    dir.refuse_foreign()?;
    let files = OperatorFiles::read(&source.cluster, dir.path())?;
    let store = dir.lock()?;
    if is_launched(&store)? {
        // A launch was quicker.
        return render_launched(args, &source, &store);
    }
    let provider = Arc::new(ByOthers::new(&source.cluster, store.path()));
    let founding = permit_founding(args.found, &source, &store, provider)?;
    render_rendered(args, &source, &store, &files, founding)
}

/// Whether there are machines that `launch` made.
fn is_launched(dir: &ClusterDir) -> Result<bool> {
    let record = dir.record()?;
    Ok(record.is_some_and(|record| record.life != ClusterLife::Rendered))
}

fn render_launched(args: &RenderArgs, source: &Source, dir: &ClusterDir) -> Result<()> {
    let cluster = &source.cluster;
    let pki = dir.keys()?;
    let files = OperatorFiles::read(cluster, dir.path())?;
    launch::judge_changes(dir, source, &files, &launch::provider_maker(dir))?;
    if args.found {
        return Err(Stop::bad_input(format!(
            "--found: {name} was launched, and `ha-host launch` itself gives its first control plane the permission to found \
             while it may have it",
            name = cluster.name
        )));
    }
    let configs = render_configs(source, &pki, &files, false)?;
    write_configs(args, source, &files, &configs)?;
    println!("  {} was launched: nothing else was written", cluster.name);
    println!("{}", describe_founding(FoundingPermission::Launched));
    Ok(())
}

/// The keys are kept in the state directory, so that the next render belongs to the same cluster.
fn render_rendered(
    args: &RenderArgs,
    source: &Source,
    store: &ClusterStore,
    files: &OperatorFiles,
    founding: FoundingPermission,
) -> Result<()> {
    let cluster = &source.cluster;
    store.accept_for_render(&source.as_accepted())?;
    let (pki, new) = store.ensure_pki()?;
    files.keep(store.path())?;
    let provider = ByOthers::new(cluster, store.path());
    store.ensure_kubeconfig(cluster, &pki, &Server::of(cluster, &provider))?;
    let configs = render_configs(
        source,
        &pki,
        files,
        founding == FoundingPermission::Permitted,
    )?;
    let bar = &mut *progress::pull::download_bar(false);
    let packed = assets::pack_disk(store.path(), cluster, &files.sysexts, bar)?;
    write_configs(args, source, files, &configs)?;
    println!(
        "  keys ({}) and kubeconfig in {}",
        if new { "new" } else { "kept" },
        shown_path(store.path())
    );
    print_assets(packed.as_ref());
    println!("{}", describe_founding(founding));
    Ok(())
}

/// Whether the first control plane is permitted to found the cluster, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FoundingPermission {
    Permitted,
    /// The cluster was seen to stand.
    Founded,
    /// Configs with a permission may be about, and machines made from them.
    NotFirst,
    /// That is for `launch` to permit.
    Launched,
}

/// With new keys nothing can stand. With others somebody has to say that nothing does, and be right as far as can be seen.
fn permit_founding(
    asked_for: bool,
    source: &Source,
    store: &ClusterStore,
    provider: Arc<dyn Provider>,
) -> Result<FoundingPermission> {
    let founded = store.record()?.is_some_and(|record| record.founded);
    let Some(pki) = store.pki()? else {
        return Ok(FoundingPermission::Permitted);
    };
    if !asked_for {
        return Ok(if founded {
            FoundingPermission::Founded
        } else {
            FoundingPermission::NotFirst
        });
    }
    let name = &source.cluster.name;
    let refuse = |why: &str| launch::refuse_found(name, why);
    if founded {
        return Err(refuse("was founded"));
    }
    let api = Api::new(&source.cluster, &pki, provider)?;
    match ha_host_base::block_on(api.find_answer())? {
        Ok(place) => {
            launch::close_founding(store, &source.cluster)?;
            Err(refuse(&format!("answers at {place}")))
        }
        Err(_) => Ok(FoundingPermission::Permitted),
    }
}

fn render_configs(
    source: &Source,
    pki: &Pki,
    files: &OperatorFiles,
    permit_founding: bool,
) -> Result<Vec<NodeConfig>> {
    ConfigRenderer {
        cluster: &source.cluster,
        pki,
        files,
        founder: permit_founding.then(|| founder_permission(now_ms())),
    }
    .render_all()
}

fn config_names(source: &Source) -> Vec<String> {
    let nodes = source.cluster.nodes.iter();
    nodes.map(|node| format!("{}.ign", node.name)).collect()
}

/// Warns, writes, says so.
fn write_configs(
    args: &RenderArgs,
    source: &Source,
    files: &OperatorFiles,
    configs: &[NodeConfig],
) -> Result<()> {
    let large = configs.iter().filter_map(|config| config.warning.as_ref());
    for warning in files.warnings.iter().chain(large) {
        eprintln!("{}", progress::warning_line(warning));
    }
    let names = config_names(source);
    let texts = configs.iter().map(|config| &config.text);
    let named: Vec<_> = names.iter().map(String::as_str).zip(texts).collect();
    output::write_all(&args.out, &named, args.force)?;
    let cluster = &source.cluster;
    println!("{}: {}", cluster.name, progress::cluster_headline(cluster));
    println!(
        "  {} in {}, each with secrets of its node",
        pluralize(configs.len(), "Ignition config"),
        args.out.display()
    );
    Ok(())
}

fn print_assets(packed: Option<&PackedDisk>) {
    if let Some(packed) = packed {
        let path: &Path = &packed.path;
        println!(
            "  assets disk in {}: give it to every machine as a read-only virtio disk with the serial number ha-assets",
            shown_path(path)
        );
    }
}

fn describe_founding(founding: FoundingPermission) -> &'static str {
    match founding {
        FoundingPermission::Permitted => {
            "  the nodes' certificates in them end in 24 hours, the permission to found in one: boot the nodes before"
        }
        FoundingPermission::Founded | FoundingPermission::Launched => {
            "  the nodes' certificates in them end in 24 hours: boot the nodes before; none of them may found a cluster"
        }
        FoundingPermission::NotFirst => {
            "  the nodes' certificates in them end in 24 hours: boot the nodes before; none of them may found the cluster, \
             since the keys are not new: if no cluster stands, render with --found"
        }
    }
}

#[cfg(test)]
mod tests;
