//! From a release server, or a mirror of it. Nothing that comes from there is believed before its signature was checked.

use std::io::Write;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use ha_host_base::interrupt::Interrupt;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE, RANGE,
};
use reqwest::{Client, Response, StatusCode};

use super::partial_download::{Origin, PartialDownload};
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

/// One server's images.
pub struct Server<'a> {
    client: Client,
    stop: &'a Interrupt,
    /// What a 404 means, e.g. `channel stable has no version 1.2.3 for x86-64`.
    missing: String,
}

/// How one attempt ended.
enum Attempt {
    Whole,
    /// It broke off after this many new bytes.
    Broken(u64, anyhow::Error),
    /// The server's answer does not fit what is there already.
    Unfit,
}

impl<'a> Server<'a> {
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

    /// A large file, into `part`; goes on where an earlier pull ended if that is certain. Says whether it did.
    pub async fn large(
        &self,
        url: &str,
        part: &PartialDownload,
        bar: &mut dyn Bar,
    ) -> Result<bool> {
        let mut went_on = false;
        for _ in 0..=BREAKS {
            let had = part.have(url)?;
            if had.as_ref().is_some_and(|(o, bytes)| *bytes == o.length) {
                return Ok(true);
            }
            let attempt = self.attempt(url, part, had.as_ref(), bar).await;
            bar.end();
            match attempt? {
                Attempt::Whole => return Ok(went_on || had.is_some()),
                Attempt::Unfit => part.forget()?,
                Attempt::Broken(0, error) => return Err(error),
                Attempt::Broken(_, error) => {
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
        had: Option<&(Origin, u64)>,
        bar: &mut dyn Bar,
    ) -> Result<Attempt> {
        let mut headers = Vec::new();
        if let Some((origin, bytes)) = had {
            headers.push((RANGE, format!("bytes={bytes}-")));
            // A weak tag promises nothing about bytes.
            if let Some(tag) = origin.etag.as_ref().filter(|t| !t.starts_with("W/")) {
                headers.push((IF_RANGE, tag.clone()));
            }
        }
        let mut response = self.ask(url, &headers).await?;
        let (mut file, from, length) = match (response.status(), had) {
            (StatusCode::PARTIAL_CONTENT, Some((origin, bytes)))
                if is_the_rest(response.headers(), origin, *bytes) =>
            {
                check_room_for(part.path(), Some(origin.length), *bytes)?;
                (part.go_on()?, *bytes, Some(origin.length))
            }
            (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => {
                return Ok(Attempt::Unfit);
            }
            _ => {
                self.good(url, &response)?;
                let length = response.content_length();
                part.forget()?;
                check_room_for(part.path(), length, 0)?;
                let origin = length.map(|length| Origin {
                    url: url.to_owned(),
                    etag: etag_of(response.headers()),
                    length,
                });
                (part.begin(origin.as_ref())?, 0, length)
            }
        };
        bar.begin(Step::Download, length);
        let mut at = from;
        loop {
            match self.chunk(&mut response).await {
                Ok(Some(chunk)) => {
                    let need = length.map_or(chunk.len() as u64, |l| l.saturating_sub(at));
                    file.write_all(&chunk)
                        .map_err(|e| space::write_failed(e, part.path(), need))?;
                    at += chunk.len() as u64;
                    bar.at(at);
                }
                Ok(None) => break,
                Err(error) => {
                    self.stop.check()?;
                    return Ok(Attempt::Broken(at - from, error));
                }
            }
        }
        file.sync_all()
            .map_err(|e| space::write_failed(e, part.path(), 0))?;
        Ok(Attempt::Whole)
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

fn etag_of(headers: &HeaderMap) -> Option<String> {
    headers.get(ETAG)?.to_str().ok().map(str::to_owned)
}

/// Whether the rest that comes is the rest of what is there.
fn is_the_rest(headers: &HeaderMap, origin: &Origin, bytes: u64) -> bool {
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
