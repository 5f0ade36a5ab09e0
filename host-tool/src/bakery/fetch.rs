//! Over http and https: a short text, or a large file by its hash.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use ha_flatcar_image::{Bar, Step};
use ha_host_base::text::hex_digits;
use indicatif::BinaryBytes;
use nix::sys::statvfs::fstatvfs;
use reqwest::{Client, Response};
use sha2::{Digest, Sha256};

/// A server that does not even answer the telephone is not there.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer; a large file over a thin line may take as long as it needs.
const SILENCE: Duration = Duration::from_secs(60);

/// What a download leaves free on the disk: whatever else writes there must not fail for it.
const LEFT_FREE: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub enum FetchError {
    /// The server has no such thing: its code.
    Missing(u16),
    /// Everything else, in words.
    Other(String),
}

pub fn fetch_text(url: &str, most: u64) -> Result<String, FetchError> {
    let mut bytes = Vec::new();
    get_body(url, |piece| {
        bytes.extend_from_slice(piece);
        if bytes.len() as u64 > most {
            return Err(format!("more than {most} bytes: this is something else"));
        }
        Ok(())
    })?;
    String::from_utf8(bytes).map_err(|_| FetchError::Other("not text".to_owned()))
}

/// A large file of at most `most` bytes, written to `file` as long as there is room; its hash comes back.
pub fn fetch_file(
    url: &str,
    name: &str,
    file: &mut File,
    most: u64,
    bar: &mut dyn Bar,
) -> Result<String, FetchError> {
    let mut hash = Sha256::new();
    let mut done = 0;
    bar.note(&format!("fetching {name}"));
    let bar = RefCell::new(bar);
    let place = file
        .try_clone()
        .map_err(|e| FetchError::Other(e.to_string()))?;
    let got = get_sized_body(
        url,
        |size| {
            let size_or_more = size.unwrap_or(1);
            check_download_size(size_or_more, most)?;
            check_room(&place, size_or_more)?;
            bar.borrow_mut().begin(Step::Download, size);
            Ok(())
        },
        |piece| {
            hash.update(piece);
            done += piece.len() as u64;
            check_download_size(done, most)?;
            check_room(&place, piece.len() as u64)?;
            bar.borrow_mut().at(done);
            file.write_all(piece)
                .map_err(|e| format!("cannot be written: {e}"))
        },
    );
    bar.borrow_mut().end();
    got?;
    Ok(hex_digits(&hash.finalize()))
}

fn get_body(url: &str, piece: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), FetchError> {
    get_sized_body(url, |_| Ok(()), piece)
}

fn check_download_size(bytes: u64, most: u64) -> Result<(), String> {
    if bytes > most {
        let most = BinaryBytes(most);
        return Err(format!("more than {most}: this is something else"));
    }
    Ok(())
}

/// Whether so many more bytes fit, and [`LEFT_FREE`] beside them.
fn check_room(place: &File, more: u64) -> Result<(), String> {
    let there = fstatvfs(place).map_err(|e| format!("cannot look at the disk: {e}"))?;
    let free = there.blocks_available() as u64 * there.fragment_size() as u64;
    if free < more.saturating_add(LEFT_FREE) {
        return Err(format!(
            "the disk that it is kept on has {} left: make room there, or set XDG_DATA_HOME to a larger one",
            BinaryBytes(free)
        ));
    }
    Ok(())
}

fn get_sized_body(
    url: &str,
    size: impl FnOnce(Option<u64>) -> Result<(), String>,
    mut piece: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), FetchError> {
    let got = ha_host_base::block_on(async {
        let mut answer = send_request(url).await?;
        size(answer.content_length()).map_err(FetchError::Other)?;
        while let Some(bytes) = answer.chunk().await.map_err(innermost_cause)? {
            piece(&bytes).map_err(FetchError::Other)?;
        }
        Ok(())
    });
    got.map_err(|e| FetchError::Other(format!("{e:#}")))?
}

async fn send_request(url: &str) -> Result<Response, FetchError> {
    let client = Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .user_agent(concat!("ha-host/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(innermost_cause)?;
    let answer = client.get(url).send().await.map_err(innermost_cause)?;
    match answer.status().as_u16() {
        200 => Ok(answer),
        code @ (404 | 410) => Err(FetchError::Missing(code)),
        code => Err(FetchError::Other(format!("it answers {code}"))),
    }
}

/// The innermost cause: what is around it names the URL again.
fn innermost_cause(error: reqwest::Error) -> FetchError {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    FetchError::Other(cause.to_string())
}
