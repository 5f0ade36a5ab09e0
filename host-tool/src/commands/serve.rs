//! `serve CLUSTER --listen ADDRESS:PORT`: gives the nodes' configs out to machines that others boot, until all have joined.

use std::time::Duration;

use anyhow::{Context, Result};
use ha_host_base::exit::Stop;
use ha_host_base::text::{printable_line, shown_path};
use tokio::net::TcpListener;

use super::KnownCluster;
use crate::cli::ServeArgs;
use crate::inputs::OperatorFiles;
use crate::progress;
use crate::serve::tls::{TlsListener, read_server_config};
use crate::serve::{
    Client, ConfigAsked, Offer, Site, forget_given, lock_serving, missing_pxe_file,
};
use crate::state::StateRoot;

/// How often it is looked whether the launch has ended well.
const LOOK: Duration = Duration::from_secs(1);

pub fn run(args: &ServeArgs, root: &StateRoot) -> Result<()> {
    let known = KnownCluster::find(root, &args.cluster)?;
    let name = &known.cluster.name;
    if known.cluster.provider.makes_machines() {
        return Err(Stop::bad_input(format!(
            "{name} is of `provider: {}`, which gives its machines their configs itself: serve is for `provider: none`",
            known.cluster.provider.name()
        )));
    }
    if let Some(node) = &args.again {
        forget_given(&known.dir, &known.node(node)?.name)?;
    }
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(read_server_config(certificate, key)?),
        _ => None,
    };
    let site = Site::new(build_offer(args, known)?, print_asked)?;
    if !site.is_launching()? {
        return Err(Stop::bad_input(
            "configs are given out only while a cluster is being launched: run `ha-host launch FILE` beside this",
        ));
    }
    let lock = lock_serving(site.dir())?;
    if let (None, Some(node)) = (&lock, &args.again) {
        println!("the server that runs gives {node}'s config out once more");
        return Ok(());
    }
    ha_host_base::block_on(serve_offer(args, &site, tls))?
}

fn build_offer(args: &ServeArgs, known: KnownCluster) -> Result<Offer> {
    if let Some(dir) = &args.pxe
        && let Some(missing) = missing_pxe_file(dir)
    {
        return Err(Stop::bad_input(format!(
            "--pxe: {} has no {missing}: fetch it from Flatcar's release server, beside the image of the same version",
            dir.display()
        )));
    }
    let files = OperatorFiles::read(&known.cluster, known.dir.path())?;
    let scheme = if args.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    let url = args.url.clone();
    Ok(Offer {
        url: url.unwrap_or_else(|| format!("{scheme}://{}", args.listen)),
        sysexts: match args.without_sysexts {
            true => Default::default(),
            false => files.sysexts,
        },
        pxe: args.pxe.clone(),
        install_disk: args.install_disk.clone(),
        dir: known.dir,
        cluster: known.cluster,
    })
}

async fn serve_offer(
    args: &ServeArgs,
    site: &std::sync::Arc<Site>,
    tls: Option<tokio_rustls::rustls::ServerConfig>,
) -> Result<()> {
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
    print_offer(args, site, tls.is_some());
    let service = site
        .router()
        .into_make_service_with_connect_info::<Client>();
    let served = async {
        match tls {
            None => axum::serve(listener, service).await,
            Some(config) => axum::serve(TlsListener::new(listener, config)?, service).await,
        }
    };
    tokio::select! {
        ended = served => ended.context("the server ended"),
        ended = wait_for_launch_end(site) => ended,
    }
}

/// Comes to its end with the launch.
async fn wait_for_launch_end(site: &Site) -> Result<()> {
    while site.is_launching()? {
        tokio::time::sleep(LOOK).await;
    }
    println!("the launch has ended: no config is given out any more");
    Ok(())
}

fn print_asked(asked: &ConfigAsked<'_>) {
    let (node, by) = (asked.node, asked.by);
    match asked.refused {
        None => println!("{node}'s config was given to {by}"),
        Some(why) => eprintln!("{by} asked for {node}'s config: {}", printable_line(why)),
    }
}

fn print_offer(args: &ServeArgs, site: &Site, encrypted: bool) {
    if !encrypted {
        eprintln!(
            "{}",
            progress::warning_line(
                "configs go out unencrypted, and each holds its node's keys: use a network that only these machines and you \
                 are on, or --tls-cert and --tls-key"
            )
        );
    }
    for line in site.offered() {
        println!("{line}");
    }
    if let Some(dir) = &args.pxe {
        println!(
            "  iPXE  chain {}/boot.ipxe    ({})",
            site.url(),
            shown_path(dir)
        );
    }
}
