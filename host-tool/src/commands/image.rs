//! `image pull | ls | rm`.

use anyhow::Result;
use ha_cluster_file::cluster::Arch;
use ha_flatcar_image::{self as image, ImageRecord, ImageStore, PulledImage, WantedImage};
use ha_host_base::exit::Stop;
use ha_host_base::text::{Paint, shown_path};
use indicatif::DecimalBytes;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::cli::{ImageArgs, ImageLsArgs, ImagePullArgs, ImageRmArgs, ImageVerb};
use crate::progress;
use crate::state::StateRoot;

/// The version of the JSON.
const VERSION: u32 = 1;

/// Does one of them. The clusters' state matters only to those that look for who uses an image.
pub fn run(args: &ImageArgs, root: Result<StateRoot>) -> Result<()> {
    let store = ImageStore::open(args.store.as_deref())?;
    match &args.verb {
        ImageVerb::Pull(args) => pull_image(args, &store),
        ImageVerb::Ls(args) => list_images(args, &store, &root?),
        ImageVerb::Rm(args) => remove_images(args, &store, &root?),
    }
}

fn pull_image(args: &ImagePullArgs, store: &ImageStore) -> Result<()> {
    let wanted = WantedImage {
        channel: args.channel.clone(),
        version: args.version.clone(),
        arch: parse_arch(args.arch.as_deref())?.unwrap_or(Arch::HOST),
        mirror: args.mirror.clone(),
        file: args.file.clone(),
        signing_key: args.signing_key.clone(),
    };
    let result = store.pull_told(&wanted, &mut *progress::pull::download_bar(args.json));
    match &result {
        Ok(pulled) if args.json => println!("{}", json_of(store, pulled)),
        Ok(pulled) => println!("{}", text_of(store, pulled)),
        Err(error) if args.json && !matches!(error.downcast_ref(), Some(Stop::Said(_))) => {
            let message = format!("{error:#}");
            println!(
                "{}",
                json!({"version": VERSION, "type": "error", "message": message})
            );
        }
        Err(_) => {}
    }
    result.map(|_| ())
}

fn json_of(store: &ImageStore, pulled: &PulledImage) -> serde_json::Value {
    let kind = if pulled.already {
        "already-stored"
    } else {
        "stored"
    };
    json!({"version": VERSION, "type": kind, "path": store.image(&pulled.record), "image": pulled.record})
}

fn text_of(store: &ImageStore, pulled: &PulledImage) -> String {
    let r = &pulled.record;
    let (path, name) = (
        shown_path(&store.image(r)),
        format!("Flatcar {} ({}, {})", r.version, r.channel, r.arch),
    );
    if pulled.already {
        return format!("{name} is there already: {path}");
    }
    let signed = format!("signed by {} on {}", r.signed_by, format_time(r.signed_ms));
    let head = Paint::stdout().green(&format!("{name} is stored"));
    format!("{head}: {signed}\n  {path}")
}

fn list_images(args: &ImageLsArgs, store: &ImageStore, root: &StateRoot) -> Result<()> {
    let (mut rows, clusters) = (Vec::new(), store.with_remembered(&root.machines())?);
    for record in store.list()? {
        let users = image::clusters_using(&clusters, &store.image(&record));
        rows.push((record, users));
    }
    let unfinished = store.unfinished()?;
    if args.json {
        let images: Vec<_> = rows
            .iter()
            .map(|(r, users)| json!({"path": store.image(r), "usedBy": users, "image": r}))
            .collect();
        println!(
            "{}",
            json!({"version": VERSION, "store": store.dir(), "images": images, "unfinished": unfinished})
        );
        return Ok(());
    }
    if rows.is_empty() && unfinished.is_empty() {
        println!(
            "no images in {}; `ha-host image pull` fetches one",
            shown_path(store.dir())
        );
    }
    print_table(&rows);
    for (name, bytes) in unfinished {
        let size = DecimalBytes(bytes);
        println!("unfinished: {name}, {size}; `image pull` goes on with it, `image rm` removes it");
    }
    Ok(())
}

fn print_table(rows: &[(ImageRecord, Vec<String>)]) {
    if rows.is_empty() {
        return;
    }
    let width = rows.iter().map(|(r, _)| r.version.len()).max().unwrap_or(0);
    let width = width.max("VERSION".len());
    println!(
        "{:<width$}  CHANNEL  ARCH         SIZE  PULLED            USED BY",
        "VERSION"
    );
    for (r, users) in rows {
        let (size, time) = (DecimalBytes(r.size).to_string(), format_time(r.pulled_ms));
        let users = users.join(", ");
        let line = format!(
            "{:<width$}  {:<7}  {:<6}  {size:>9}  {time}  {users}",
            r.version, r.channel, r.arch
        );
        println!("{}", line.trim_end());
    }
}

fn remove_images(args: &ImageRmArgs, store: &ImageStore, root: &StateRoot) -> Result<()> {
    for dir in store.remove(
        &args.versions,
        parse_arch(args.arch.as_deref())?,
        &root.machines(),
        &mut *progress::pull::download_bar(false),
    )? {
        println!("removed {}", shown_path(&dir));
    }
    Ok(())
}

fn parse_arch(name: Option<&str>) -> Result<Option<Arch>> {
    name.map(image::arch_of).transpose()
}

/// `2026-11-21 17:32`, UTC.
fn format_time(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]");
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|t| t.format(&format).ok())
        .unwrap_or_default()
}
