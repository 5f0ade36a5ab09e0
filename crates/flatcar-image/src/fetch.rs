//! From a release server, or a mirror of it. Nothing that comes from there is believed before its signature was checked.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use ha_host_base::interrupt::Interrupt;
use indicatif::DecimalBytes;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE, RANGE,
};
use reqwest::{Client, Response, StatusCode};

use super::partial_download::{DownloadOrigin, PartialDownload};
use super::progress::{Bar, Step};
use super::space;

/// A server that has not answered by then is not there.
const CONNECT: Duration = Duration::from_secs(20);
/// So long may nothing come before it counts as broken off.
const SILENCE: Duration = Duration::from_secs(60);
/// A pull goes on by itself after so many breaks, as long as each brought something.
const BREAKS: u32 = 5;
/// Signatures and version.txt are below one kilobyte.
const SMALL: usize = 64 * 1024;
/// A certificate with all the subkeys of ten years has some ten kilobytes.
const MAX_KEY_FILE: u64 = 1 << 20;

/// One server's images.
pub struct ReleaseServer<'a> {
    client: Client,
    stop: &'a Interrupt,
    /// What a 404 means, e.g. `channel stable has no version 1.2.3 for x86-64`.
    missing: String,
}

/// How one attempt ended.
enum DownloadAttempt {
    Whole,
    /// It broke off after this many new bytes.
    Broken(u64, anyhow::Error),
    /// The server's answer does not fit what is there already.
    Unfit,
}

impl<'a> ReleaseServer<'a> {
    /// No connection is made yet.
    pub fn new(missing: String, stop: &'a Interrupt) -> Result<Self> {
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            // Every request may come from a runtime of its own.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("ha-host/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            stop,
            missing,
        })
    }

    /// A small file.
    pub async fn small(&self, url: &str) -> Result<Vec<u8>> {
        let mut response = self.ask(url, &[]).await?;
        self.good(url, &response)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > SMALL {
                bail!("{url} is larger than {SMALL} bytes: that is not what it should be");
            }
        }
        Ok(bytes)
    }

    /// A large file of at most `most` bytes, into `part`; goes on where an earlier pull ended if that is certain. Says whether it did.
    pub async fn large(
        &self,
        url: &str,
        part: &PartialDownload,
        most: u64,
        bar: &mut dyn Bar,
    ) -> Result<bool> {
        let mut went_on = false;
        for _ in 0..=BREAKS {
            let had = part.have(url)?;
            if had.as_ref().is_some_and(|(o, bytes)| *bytes == o.length) {
                return Ok(true);
            }
            let attempt = self.attempt(url, part, had.as_ref(), most, bar).await;
            bar.end();
            match attempt? {
                DownloadAttempt::Whole => return Ok(went_on || had.is_some()),
                DownloadAttempt::Unfit => part.forget()?,
                DownloadAttempt::Broken(0, error) => return Err(error),
                DownloadAttempt::Broken(_, error) => {
                    bar.note(&format!("broken off ({error:#}): going on"));
                    went_on = true;
                }
            }
        }
        bail!(
            "{url} broke off {} times: run it again, it goes on from where it is",
            BREAKS + 1
        )
    }

    async fn attempt(
        &self,
        url: &str,
        part: &PartialDownload,
        had: Option<&(DownloadOrigin, u64)>,
        most: u64,
        bar: &mut dyn Bar,
    ) -> Result<DownloadAttempt> {
        let mut response = self.ask(url, &headers_to_go_on(had)).await?;
        let mut incoming = match (response.status(), had) {
            (StatusCode::PARTIAL_CONTENT, Some((origin, bytes)))
                if is_the_rest(response.headers(), origin, *bytes) =>
            {
                IncomingFile::rest(part, origin.length, *bytes)?
            }
            (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => {
                return Ok(DownloadAttempt::Unfit);
            }
            _ => {
                self.good(url, &response)?;
                IncomingFile::whole(part, url, &response, most)?
            }
        };
        let from = incoming.at;
        bar.begin(Step::Download, incoming.length);
        loop {
            match self.chunk(&mut response).await {
                Ok(Some(chunk)) => {
                    incoming.write(url, &chunk)?;
                    bar.at(incoming.at);
                }
                Ok(None) => break,
                Err(error) => {
                    self.stop.check()?;
                    return Ok(DownloadAttempt::Broken(incoming.at - from, error));
                }
            }
        }
        let durable = incoming.file.sync_all();
        durable.map_err(|e| space::write_failed(e, part.path(), 0))?;
        Ok(DownloadAttempt::Whole)
    }

    async fn ask(&self, url: &str, headers: &[(HeaderName, String)]) -> Result<Response> {
        // The bytes as they were signed, not as a proxy packs them.
        let mut request = self.client.get(url).header(ACCEPT_ENCODING, "identity");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = tokio::select! {
            answer = request.send() => answer,
            () = self.stop.wait() => { self.stop.check()?; bail!("interrupted") }
        };
        answer
            .map_err(reqwest::Error::without_url)
            .with_context(|| {
                format!(
                    "cannot reach {url}; give a server that this machine can reach by --mirror URL, or a file by --file PATH"
                )
            })
    }

    async fn chunk(
        &self,
        response: &mut Response,
    ) -> Result<Option<impl Deref<Target = [u8]> + use<>>> {
        let chunk = tokio::select! {
            chunk = response.chunk() => chunk,
            () = self.stop.wait() => { self.stop.check()?; bail!("interrupted") }
        };
        let url = response.url().clone();
        chunk
            .map_err(reqwest::Error::without_url)
            .with_context(|| format!("{url} broke off: run it again, it goes on from where it is"))
    }

    fn good(&self, url: &str, response: &Response) -> Result<()> {
        match response.status() {
            StatusCode::OK => Ok(()),
            StatusCode::NOT_FOUND => Err(anyhow!("{}: {url} is not there (404)", self.missing)),
            other => Err(anyhow!(
                "{url} was answered with {other}: try again later, or another server by --mirror URL"
            )),
        }
    }
}

/// A file as it comes in: no more of it than the server said, or than an image can have.
struct IncomingFile<'a> {
    part: &'a PartialDownload,
    file: File,
    /// Bytes that are there.
    at: u64,
    /// Of the whole file, if the server said.
    length: Option<u64>,
    /// Bytes that the file may have.
    most: u64,
}

impl<'a> IncomingFile<'a> {
    /// From the beginning.
    fn whole(part: &'a PartialDownload, url: &str, response: &Response, most: u64) -> Result<Self> {
        let length = response.content_length();
        if length.is_some_and(|length| length > most) {
            return Err(too_large(url, most));
        }
        part.forget()?;
        check_room_for(part.path(), length, 0)?;
        let origin = length.map(|length| DownloadOrigin {
            url: url.to_owned(),
            etag: etag_of(response.headers()),
            length,
        });
        Ok(Self {
            file: part.begin(origin.as_ref())?,
            part,
            at: 0,
            length,
            most: length.unwrap_or(most),
        })
    }

    /// What is missing behind the bytes that are there.
    fn rest(part: &'a PartialDownload, length: u64, at: u64) -> Result<Self> {
        check_room_for(part.path(), Some(length), at)?;
        Ok(Self {
            file: part.go_on()?,
            part,
            at,
            length: Some(length),
            most: length,
        })
    }

    fn write(&mut self, url: &str, chunk: &[u8]) -> Result<()> {
        let (dir, next) = (self.part.path(), self.at + chunk.len() as u64);
        if next > self.most {
            self.part.forget()?;
            return Err(too_large(url, self.most));
        }
        let need = match self.length {
            Some(length) => length - self.at,
            None => {
                // Nobody said how much comes: no more of it than could be unpacked beside it, so most of the disk stays free.
                let need = chunk.len() as u64 + next.saturating_mul(space::UNPACKED);
                space::check_room(dir, need)?;
                need
            }
        };
        let written = self.file.write_all(chunk);
        written.map_err(|e| space::write_failed(e, dir, need))?;
        self.at = next;
        Ok(())
    }
}

fn too_large(url: &str, most: u64) -> anyhow::Error {
    anyhow!(
        "{url} sends more than {}: that is not a Flatcar image, and nothing was stored; take another server by --mirror URL",
        DecimalBytes(most)
    )
}

/// A signature or a certificate of the user's, which cannot be large.
pub fn read_small_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?.take(MAX_KEY_FILE + 1);
    file.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_KEY_FILE {
        let what = format!("larger than {}", DecimalBytes(MAX_KEY_FILE));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// Asks for the rest of what is there.
fn headers_to_go_on(had: Option<&(DownloadOrigin, u64)>) -> Vec<(HeaderName, String)> {
    let mut headers = Vec::new();
    if let Some((origin, bytes)) = had {
        headers.push((RANGE, format!("bytes={bytes}-")));
        // A weak tag promises nothing about bytes.
        if let Some(tag) = origin.etag.as_ref().filter(|t| !t.starts_with("W/")) {
            headers.push((IF_RANGE, tag.clone()));
        }
    }
    headers
}

fn etag_of(headers: &HeaderMap) -> Option<String> {
    headers.get(ETAG)?.to_str().ok().map(str::to_owned)
}

/// Whether the rest that comes is the rest of what is there.
fn is_the_rest(headers: &HeaderMap, origin: &DownloadOrigin, bytes: u64) -> bool {
    let last = origin.length - 1;
    let wanted = format!("bytes {bytes}-{last}/{}", origin.length);
    let range = headers.get(CONTENT_RANGE).and_then(|r| r.to_str().ok());
    range == Some(wanted.as_str()) && etag_of(headers) == origin.etag
}

/// Room for the rest of the packed file and for the unpacked one.
fn check_room_for(dir: &Path, length: Option<u64>, have: u64) -> Result<()> {
    match length {
        Some(length) => {
            space::check_room(dir, length - have + length.saturating_mul(space::UNPACKED))
        }
        None => Ok(()),
    }
}
