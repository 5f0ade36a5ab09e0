//! Over http and https: a short text, or a large file by its hash.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use ha_flatcar_image::{Bar, Step};
use ha_host_base::text::hex;
use reqwest::{Client, Response};
use sha2::{Digest, Sha256};

/// A server that does not even answer the telephone is not there.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer; a large file over a thin line may take as long as it needs.
const SILENCE: Duration = Duration::from_secs(60);

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

/// A large file, written to `file`; its hash comes back.
pub fn fetch_file(
    url: &str,
    name: &str,
    file: &mut File,
    bar: &mut dyn Bar,
) -> Result<String, FetchError> {
    let mut hash = Sha256::new();
    let mut done = 0;
    bar.note(&format!("fetching {name}"));
    let bar = RefCell::new(bar);
    let got = get_sized_body(
        url,
        |size| bar.borrow_mut().begin(Step::Download, size),
        |piece| {
            hash.update(piece);
            done += piece.len() as u64;
            bar.borrow_mut().at(done);
            file.write_all(piece)
                .map_err(|e| format!("cannot be written: {e}"))
        },
    );
    bar.borrow_mut().end();
    got?;
    Ok(hex(&hash.finalize()))
}

fn get_body(url: &str, piece: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), FetchError> {
    get_sized_body(url, |_| (), piece)
}

fn get_sized_body(
    url: &str,
    size: impl FnOnce(Option<u64>),
    mut piece: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), FetchError> {
    let got = ha_host_base::block_on(async {
        let mut answer = send_request(url).await?;
        size(answer.content_length());
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
