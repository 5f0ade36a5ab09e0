//! One pull: which version, from where, is it Flatcar's, into the store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use ha_host_base::block_on;
use ha_host_base::clock::now_ms;
use ha_host_base::exit::Stop as End;
use ha_host_base::files;
use ha_host_base::interrupt::Interrupt;
use reqwest::Url;
use sequoia_openpgp::cert::Cert;

use super::fetch::{self, ReleaseServer};
use super::partial_download::PartialDownload;
use super::progress::{Bar, Step};
use super::record::{self, ImageRecord};
use super::unpack::{check_same_content, unpack_image};
use super::verify::{ValidSignature, check_signature_can_hold, verify_signature};
use super::watched::WatchedReader;
use super::{Arch, CHANNELS, ImageStore, age, names_on_server, space};

/// Which image, and from where.
#[derive(Debug, Clone)]
pub struct WantedImage {
    /// `stable`, `beta`, `alpha` or `lts`.
    pub channel: String,
    /// Exact, or a name on the server such as `current-2024` of lts; none: what the channel has now.
    pub version: Option<String>,
    /// The machines' kind.
    pub arch: Arch,
    /// Instead of `https://CHANNEL.release.flatcar-linux.net`.
    pub mirror: Option<String>,
    /// Instead of any server: the image, with its signature in a file of the same name and `.sig`.
    pub file: Option<PathBuf>,
    /// A newer certificate of Flatcar's than the built-in one.
    pub signing_key: Option<PathBuf>,
}

/// How a pull ended.
#[derive(Debug)]
pub struct PulledImage {
    /// What is stored.
    pub record: ImageRecord,
    /// It was stored before.
    pub already: bool,
}

/// Stores an image unless it is there.
pub fn pull_image(
    store: &ImageStore,
    wanted: &WantedImage,
    bar: &mut dyn Bar,
) -> Result<PulledImage> {
    let base = wanted.base()?;
    let cert = store.trust.certificate(wanted.signing_key.as_deref())?;
    let stop = Interrupt::of_process();
    let pull = Pull {
        store,
        wanted,
        base,
        cert,
        stop,
    };
    let result = pull.run(bar);
    if let Some(cause) = stop.cause().filter(|_| result.is_err()) {
        bar.note(&format!(
            "{}: nothing was stored; run it again, it goes on from where it is",
            cause.label()
        ));
        return Err(End::Said(cause.into()).into());
    }
    result
}

impl WantedImage {
    /// Where the server's images are; an error for what cannot be meant.
    fn base(&self) -> Result<Url> {
        if !CHANNELS.contains(&self.channel.as_str()) {
            let (channel, known) = (&self.channel, CHANNELS.join(", "));
            return Err(End::bad_input(format!(
                "Flatcar has no channel {channel}; its channels are {known}"
            )));
        }
        let exact = self.version.as_deref().is_some_and(record::is_version);
        if let Some(version) = self.version.as_deref().filter(|v| !exact && !is_current(v)) {
            return Err(End::bad_input(format!(
                "`{version}` is not a version of Flatcar: write it like 4230.2.3, or leave it out for the channel's current one"
            )));
        }
        if self.file.is_some() && !exact {
            return Err(End::bad_input(
                "--file needs --version V, like 4230.2.3: the file does not say which it is",
            ));
        }
        let official = format!("https://{}.release.flatcar-linux.net", self.channel);
        let base = self
            .mirror
            .as_deref()
            .unwrap_or(&official)
            .trim_end_matches('/');
        let wrong = |why: &str| End::bad_input(format!("--mirror {base}: {why}"));
        let url = Url::parse(base).map_err(|e| wrong(&format!("is not a valid URL: {e}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            // Not repeated: it would be in logs.
            return Err(End::bad_input(
                "--mirror: no user and no password in the URL, everybody could read them",
            ));
        }
        if !matches!(url.scheme(), "http" | "https")
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(wrong(
                "write http://HOST/PATH or https://HOST/PATH; files are given by --file PATH",
            ));
        }
        Ok(url)
    }
}

/// The names that servers keep for what is current: `current`, and in lts one per year.
fn is_current(name: &str) -> bool {
    let year = |rest: &str| {
        rest.strip_prefix('-')
            .is_some_and(|y| y.len() == 4 && y.bytes().all(|b| b.is_ascii_digit()))
    };
    name.strip_prefix("current")
        .is_some_and(|rest| rest.is_empty() || year(rest))
}

/// What is judged and unpacked.
struct PackedImage<'a> {
    file: &'a Path,
    /// Where it came from, for people.
    source: &'a str,
    signature: &'a [u8],
    version: &'a str,
}

impl PackedImage<'_> {
    fn open(&self) -> Result<File> {
        File::open(self.file).with_context(|| format!("cannot open {}", self.file.display()))
    }
}

/// Why an image is not stored.
#[derive(Debug, thiserror::Error)]
enum NotStored {
    /// It is not Flatcar's.
    #[error(transparent)]
    Signature(anyhow::Error),
    #[error(transparent)]
    Other(anyhow::Error),
}

struct Pull<'a> {
    store: &'a ImageStore,
    wanted: &'a WantedImage,
    base: Url,
    cert: Cert,
    stop: &'a Interrupt,
}

impl Pull<'_> {
    fn run(&self, bar: &mut dyn Bar) -> Result<PulledImage> {
        let version = self.version(bar)?;
        if let Some(there) = self.there(&version)? {
            return Ok(there);
        }
        let _lock = self.store.lock(bar, self.stop)?;
        // Whoever had the lock may have pulled this very image.
        if let Some(there) = self.there(&version)? {
            return Ok(there);
        }
        self.store.sweep()?;
        let part = self.store.part(self.wanted.arch, &version)?;
        part.forget_ready()?;
        let record = match &self.wanted.file {
            Some(file) => self.by_file(file, &version, &part, bar),
            None => self.by_server(&version, &part, bar),
        };
        if let Ok(new) = &record {
            let exact = self.wanted.version.as_deref() == Some(&new.version);
            // A record that cannot be read is told by `image ls`.
            let stored = self.store.list().unwrap_or_default();
            if let Some(warning) = age::warning_of_age(new, exact, &stored) {
                bar.note(&warning);
            }
        }
        if record.is_ok() || !part.can_be_continued() || self.wanted.file.is_some() {
            part.remove()?;
        }
        let already = false;
        Ok(PulledImage {
            record: record?,
            already,
        })
    }

    fn there(&self, version: &str) -> Result<Option<PulledImage>> {
        let dir = self.store.version_dir(self.wanted.arch, version);
        let record = ImageRecord::read(&dir)?;
        Ok(record.map(|record| PulledImage {
            record,
            already: true,
        }))
    }

    /// The exact version. version.txt is not signed: a mirror may answer with any version, and no signature says which one an
    /// image is. What counts is that Flatcar signed the image's content.
    fn version(&self, bar: &mut dyn Bar) -> Result<String> {
        let asked = self.wanted.version.as_deref().unwrap_or("current");
        if record::is_version(asked) {
            return Ok(asked.to_owned());
        }
        let url = self.url(asked, "version.txt");
        let text = block_on(self.server(asked)?.small(&url))??;
        let text = String::from_utf8_lossy(&text);
        let version = text
            .lines()
            .find_map(|l| l.strip_prefix("FLATCAR_VERSION="));
        let version = version.map(|v| v.trim().trim_matches('"').to_owned());
        let version = version.filter(|v| record::is_version(v)).ok_or_else(|| {
            anyhow!("{url} contains no version: is this a server of Flatcar's releases? Else give --version V")
        })?;
        bar.note(&format!("{asked} of {} is {version}", self.wanted.channel));
        Ok(version)
    }

    /// From the network; what broke off may be there already.
    fn by_server(
        &self,
        version: &str,
        part: &PartialDownload,
        bar: &mut dyn Bar,
    ) -> Result<ImageRecord> {
        let url = self.url(
            version,
            &format!("{}.bz2", names_on_server(self.wanted.arch).1),
        );
        let server = self.server(version)?;
        let signature = block_on(server.small(&format!("{url}.sig")))??;
        check_signature_can_hold(&signature, &self.cert).with_context(|| url.clone())?;
        let file = part.file();
        let what = PackedImage {
            file: &file,
            source: &url,
            signature: &signature,
            version,
        };
        let went_on = block_on(server.large(&url, part, self.store.max_packed, bar))??;
        let mut kept = self.keep(&what, part, bar);
        if matches!(kept, Err(NotStored::Signature(_))) && went_on && !self.stop.asked() {
            // What an earlier pull left may have been hurt by a power cut: once more, all of it.
            bar.note("what was fetched in pieces does not fit: once more, from the beginning");
            part.forget()?;
            block_on(server.large(&url, part, self.store.max_packed, bar))??;
            kept = self.keep(&what, part, bar);
        }
        match kept {
            // There is nothing to go on with, unless it was not looked at to the end.
            Err(NotStored::Signature(_)) if !self.stop.asked() => part.remove()?,
            Err(_) => part.forget_ready()?,
            Ok(_) => {}
        }
        Ok(kept?)
    }

    /// From a file of the user's, which stays as it is.
    fn by_file(
        &self,
        file: &Path,
        version: &str,
        part: &PartialDownload,
        bar: &mut dyn Bar,
    ) -> Result<ImageRecord> {
        let file = std::path::absolute(file)?;
        let source = file.display().to_string();
        let mut sig = file.clone().into_os_string();
        sig.push(".sig");
        let sig = PathBuf::from(sig);
        let size = std::fs::metadata(&file)
            .map_err(|e| End::bad_input(format!("--file {source} cannot be read: {e}")))?
            .len();
        let signature = fetch::read_small_file(&sig).map_err(|e| {
            let sig = sig.display();
            End::bad_input(format!(
                "the image's signature {sig} cannot be read: {e}; fetch it from beside the image"
            ))
        })?;
        check_signature_can_hold(&signature, &self.cert).with_context(|| source.clone())?;
        space::check_room(part.path(), size.saturating_mul(space::UNPACKED))?;
        let what = PackedImage {
            file: &file,
            source: &source,
            signature: &signature,
            version,
        };
        Ok(self.keep(&what, part, bar)?)
    }

    /// Verifies, then stores.
    fn keep(
        &self,
        what: &PackedImage,
        part: &PartialDownload,
        bar: &mut dyn Bar,
    ) -> Result<ImageRecord, NotStored> {
        let (signed, sum) = self.verify(what, bar).map_err(NotStored::Signature)?;
        self.put(what, part, signed, sum, bar)
            .map_err(NotStored::Other)
    }

    /// Unpacks, and puts the image in its place: all at once or not at all.
    fn put(
        &self,
        what: &PackedImage,
        part: &PartialDownload,
        signed: ValidSignature,
        verified: String,
        bar: &mut dyn Bar,
    ) -> Result<ImageRecord> {
        let (arch, ready) = (self.wanted.arch, part.ready());
        std::fs::create_dir(&ready).map_err(|e| space::write_failed(e, part.path(), 0))?;
        let name = names_on_server(arch).1;
        let unpacked = unpack_image(what.open()?, &ready.join(name), bar, self.stop)?;
        check_same_content(&verified, &unpacked.packed_sha256, what.file)?;
        let record = ImageRecord {
            format: record::FORMAT,
            version: what.version.to_owned(),
            channel: self.wanted.channel.clone(),
            arch: arch.name().to_owned(),
            file: name.to_owned(),
            size: unpacked.size,
            sha256: unpacked.sha256,
            packed_sha256: verified,
            source: what.source.to_owned(),
            signed_by: signed.by,
            signed_ms: unix_ms(signed.at),
            pulled_ms: now_ms(),
        };
        files::write_atomic(
            &ready.join(record::NAME),
            &serde_json::to_vec_pretty(&record)?,
        )?;
        self.stop.check()?;
        let dir = self.store.version_dir(arch, what.version);
        let above = dir.parent().unwrap_or_else(|| self.store.dir());
        std::fs::create_dir_all(above)
            .with_context(|| format!("cannot make {}", above.display()))?;
        std::fs::rename(&ready, &dir).with_context(|| format!("cannot make {}", dir.display()))?;
        files::sync_dir(above)?;
        Ok(record)
    }

    fn verify(&self, what: &PackedImage, bar: &mut dyn Bar) -> Result<(ValidSignature, String)> {
        let file = what.open()?;
        let total = file.metadata()?.len();
        let mut data = WatchedReader::new(file, Step::Verify, total, bar, self.stop);
        let verdict = verify_signature(&mut data, what.signature, &self.cert);
        let sum = data.finish();
        self.stop.check()?;
        Ok((verdict.with_context(|| what.source.to_owned())?, sum))
    }

    fn server(&self, version: &str) -> Result<ReleaseServer<'_>> {
        let (channel, arch) = (&self.wanted.channel, self.wanted.arch.name());
        let missing = format!("channel {channel} has no {version} for {arch}");
        ReleaseServer::new(missing, self.stop)
    }

    fn url(&self, version: &str, name: &str) -> String {
        let base = self.base.as_str().trim_end_matches('/');
        format!(
            "{base}/{}/{version}/{name}",
            names_on_server(self.wanted.arch).0
        )
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
