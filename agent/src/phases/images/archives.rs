//! Archives of container images that came on the assets disk. Each says in its own list which images it holds; one whose
//! images are all there is not read again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context as _, Result};
use ha_wire::paths;
use ha_wire::phase::Phase;
use serde_json::Value;
use tracing::{info, warn};

use super::store;
use crate::context::Context;

/// Size of a header and of what contents are filled up to.
const BLOCK: u64 = 512;
/// The list of images is far smaller; an archive that says otherwise is not read.
const MAX_LIST: u64 = 4 << 20;
/// What `docker save` and `ctr images export` call their list.
const LIST: &str = "manifest.json";

/// Imports what is not there. Each archive by itself: a broken one is a warning and stops no other.
pub async fn import_archives(cx: &Context) -> Result<()> {
    let archives: Vec<String> = cx
        .sys
        .files
        .names(paths::ASSETS_IMAGES)?
        .into_iter()
        .filter(|name| name.ends_with(".tar"))
        .collect();
    if archives.is_empty() {
        return Ok(());
    }
    let here = store::local_images(cx).await?;
    let total = u32::try_from(archives.len()).unwrap_or(u32::MAX);
    for (done, name) in (0_u32..).zip(&archives) {
        cx.report.progress(Phase::Images, done, total);
        if let Err(error) = import_missing_images(cx, name, &here).await {
            warn!("images: {name}: {error:#}");
            cx.report
                .waiting(Phase::Images, "images", &format!("{name}: {error:#}"));
        }
    }
    cx.report.progress(Phase::Images, total, total);
    store::sync_store(cx).await
}

async fn import_missing_images(cx: &Context, name: &str, here: &[String]) -> Result<()> {
    let file = format!("{}/{name}", paths::ASSETS_IMAGES);
    let path = cx.sys.files.path(&file);
    let holds = images_in_archive(cx.sys.files.open(&file)?)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if !holds.is_empty() && holds.iter().all(|image| here.contains(image)) {
        info!("images: {name}: all of its images are there");
        return Ok(());
    }
    store::import_archive(cx, &path.to_string_lossy()).await
}

/// The images of an archive as the runtime calls them; none: it has no list that is known here (or is compressed), and whether
/// its images are there cannot be told.
fn images_in_archive(mut file: File) -> Result<Vec<String>> {
    let Some(list) = find_image_list(&mut file)? else {
        return Ok(Vec::new());
    };
    let Ok(Value::Array(entries)) = serde_json::from_slice(&list) else {
        return Ok(Vec::new());
    };
    let tags = entries.iter().filter_map(|e| e["RepoTags"].as_array());
    Ok(tags
        .flatten()
        .filter_map(Value::as_str)
        .map(full_image_name)
        .collect())
}

/// Goes from header to header; contents are not read.
fn find_image_list(file: &mut File) -> Result<Option<Vec<u8>>> {
    let mut header = [0; BLOCK as usize];
    loop {
        // A file that ends, or goes on with something else: no tar, or no list in it.
        if file.read_exact(&mut header).is_err() || &header[257..262] != b"ustar" {
            return Ok(None);
        }
        let name = header[..100]
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        let Some(size) = parse_size(&header[124..136]) else {
            return Ok(None);
        };
        if name == LIST.as_bytes() && size <= MAX_LIST {
            let mut list = vec![0; usize::try_from(size)?];
            file.read_exact(&mut list)?;
            return Ok(Some(list));
        }
        let rest = i64::try_from(size.div_ceil(BLOCK).saturating_mul(BLOCK))?;
        file.seek(SeekFrom::Current(rest))?;
    }
}

/// Octal digits; what is larger than 8 GiB is written in binary, behind a first byte of 0x80.
fn parse_size(field: &[u8]) -> Option<u64> {
    if field[0] == 0x80 {
        let bytes: [u8; 8] = field[4..].try_into().ok()?;
        return Some(u64::from_be_bytes(bytes));
    }
    let digits = std::str::from_utf8(field).ok()?;
    let digits = digits.trim_matches(|c: char| c == '\0' || c == ' ');
    u64::from_str_radix(digits, 8).ok()
}

fn full_image_name(name: &str) -> String {
    match name.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

#[cfg(test)]
mod tests;
