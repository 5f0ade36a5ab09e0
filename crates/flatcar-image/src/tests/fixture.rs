//! A store, a signer, a server.

use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Result;
use bzip2::Compression;
use bzip2::write::BzEncoder;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::keys::{Authority, Subkey, years_ago};
use super::server::{Served, Server};
use crate::keys::TrustedSigner;
use crate::progress::Step;
use crate::{Arch, Bar, ImageStore, WantedImage, watched};

/// The name on the server.
pub const IMAGE: &str = "flatcar_production_qemu_image.img.bz2";

/// All that a pull needs.
pub struct Fixture {
    dir: TempDir,
    pub authority: Authority,
    /// Has signed for half a year.
    pub signer: Subkey,
    /// Serves what was published.
    pub server: Server,
}

impl Fixture {
    /// Nothing is stored, nothing is served.
    pub fn new() -> Self {
        let mut authority = Authority::new();
        let signer = authority.subkey(years_ago(0.5), None);
        Self {
            dir: tempfile::tempdir().unwrap(),
            authority,
            signer,
            server: Server::start(),
        }
    }

    /// The store, as a new process would open it.
    pub fn store(&self) -> ImageStore {
        let pin = self.authority.cert.fingerprint();
        ImageStore::trusting(
            &self.path(""),
            TrustedSigner::of(pin, &self.authority.public()),
        )
    }

    /// Something in the store.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("store").join(name)
    }

    /// Something beside the store.
    pub fn path_out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file beside the store.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path_out(name), bytes).unwrap();
        self.path_out(name)
    }

    /// What the store's directory holds.
    pub fn names(&self) -> Vec<String> {
        let mut names = crate::names_in(&self.path("")).unwrap();
        names.sort();
        names
    }

    /// From this fixture's server.
    pub fn wanted(&self, version: Option<&str>) -> WantedImage {
        WantedImage {
            channel: "stable".to_owned(),
            version: version.map(str::to_owned),
            arch: Arch::X86_64,
            mirror: Some(self.server.url()),
            file: None,
            signing_key: None,
        }
    }

    /// Serves this as that version and as the current one, signed now.
    pub fn publish(&self, version: &str, packed: &[u8]) {
        self.put(&format!("/amd64-usr/{version}/{IMAGE}"), packed);
        let text = format!("FLATCAR_BUILD=1\nFLATCAR_VERSION={version}\n");
        let body = text.into_bytes();
        let served = Served {
            body,
            ..Served::default()
        };
        self.server.serve("/amd64-usr/current/version.txt", served);
    }

    /// Serves a file and its signature, made now.
    pub fn put(&self, path: &str, packed: &[u8]) {
        self.put_signed(path, packed, self.signer.sign(packed, SystemTime::now()));
    }

    /// Serves a file and its signature.
    pub fn put_signed(&self, path: &str, packed: &[u8], signature: Vec<u8>) {
        let served = Served {
            body: packed.to_vec(),
            ranges: true,
            etag: Some("\"one\"".to_owned()),
            ..Served::default()
        };
        self.server.serve(path, served);
        let served = Served {
            body: signature,
            ..Served::default()
        };
        self.server.serve(&format!("{path}.sig"), served);
    }

    /// Serves a version's image with a fault; its signature stays.
    pub fn fault(&self, version: &str, served: Served) {
        self.server
            .serve(&format!("/amd64-usr/{version}/{IMAGE}"), served);
    }

    /// Pulls this version.
    pub fn pull(&self, version: &str) -> Result<PathBuf> {
        self.store().pull(
            &self.wanted(Some(version)),
            &mut RecordedProgress::default(),
        )
    }

    /// Pulls what cannot be pulled, and returns the one message.
    pub fn refuse(&self, wanted: &WantedImage) -> String {
        let error = self
            .store()
            .pull(wanted, &mut RecordedProgress::default())
            .unwrap_err();
        assert_eq!(self.store().list().unwrap(), [], "nothing is stored");
        format!("{error:#}")
    }
}

/// Notes what it is told.
#[derive(Default)]
pub struct RecordedProgress {
    /// The steps that began.
    pub steps: Vec<&'static str>,
    pub notes: Vec<String>,
    /// The most bytes of a step that were done.
    pub most: u64,
}

impl Bar for RecordedProgress {
    fn begin(&mut self, step: Step, _total: Option<u64>) {
        self.steps.push(step.name());
    }

    fn at(&mut self, done: u64) {
        self.most = self.most.max(done);
    }

    fn end(&mut self) {}

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
}

/// An image that cannot be packed much, so many bytes long.
pub fn incompressible_image(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let mut bytes = b"QFI\xfb".to_vec();
    bytes.resize_with(size, &mut next);
    bytes
}

/// One bzip2 stream for each part.
pub fn bzip2_streams(parts: &[&[u8]]) -> Vec<u8> {
    let mut packed = Vec::new();
    for part in parts {
        let mut encoder = BzEncoder::new(&mut packed, Compression::fast());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap();
    }
    packed
}

/// SHA-256 in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    watched::finished_sum(Sha256::new_with_prefix(bytes))
}
