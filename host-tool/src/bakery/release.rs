//! One release of the bakery: its names, its URLs, and what its `SHA256SUMS` says.

use anyhow::Result;
use ha_cluster_file::cluster::Arch;
use ha_host_base::exit::Stop;

use super::fetch::{self, FetchError};

/// The bakery's redirector, with the releases below it.
pub const BAKERY: &str = "https://extensions.flatcar.org/extensions";
/// Far more than a release's few lines.
const MAX_SUMS: u64 = 1 << 20;

/// One extension in one version, for one architecture.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    pub name: &'a str,
    /// As the bakery writes it, `v` or not.
    pub version: &'a str,
    pub arch: Arch,
}

impl<'a> Release<'a> {
    /// By its three parts.
    pub fn new(name: &'a str, version: &'a str, arch: Arch) -> Self {
        Self {
            name,
            version,
            arch,
        }
    }

    /// The image's file name.
    pub fn file(&self) -> String {
        format!("{}-{}-{}.raw", self.name, self.version, self.arch)
    }

    pub fn url(&self, base: &str) -> String {
        self.below(base, &self.file())
    }

    fn below(&self, base: &str, file: &str) -> String {
        let base = base.trim_end_matches('/');
        format!("{base}/{}-{}/{file}", self.name, self.version)
    }

    /// Asks for the image's hash.
    pub fn sha256(&self, base: &str) -> Result<String> {
        let url = self.below(base, "SHA256SUMS");
        let sums =
            fetch::fetch_text(&url, MAX_SUMS).map_err(|failed| self.unknown(&url, failed))?;
        hash_in_sums(&sums, &self.file()).ok_or_else(|| {
            Stop::bad_input(format!(
                "sysexts.{}: {url} names no {}: the bakery has no such image for {}; name another version, or a file",
                self.name,
                self.file(),
                self.arch
            ))
        })
    }

    fn unknown(&self, url: &str, failed: FetchError) -> anyhow::Error {
        let name = self.name;
        match failed {
            FetchError::Missing(code) => Stop::bad_input(format!(
                "sysexts.{name}: the bakery has no {name}-{}: {url} answers {code}; its releases are at \
                 https://github.com/flatcar/sysext-bakery/releases/tag/{name}, write `{name}: {{version: V}}`",
                self.version
            )),
            FetchError::Other(cause) => anyhow::anyhow!(
                "sysexts.{name}: cannot fetch {url}: {cause}; without a way there name files of this machine \
                 (`sysexts: {{{name}: {{path: FILE.raw}}, ...}}`), or a mirror: {}=URL",
                super::MIRROR
            ),
        }
    }
}

/// The hash of a file in the format of sha256sum.
fn hash_in_sums(sums: &str, file: &str) -> Option<String> {
    sums.lines().find_map(|line| {
        let (hash, name) = line.trim().split_once([' ', '\t'])?;
        let name = name.trim_start().trim_start_matches('*');
        let name = name.strip_prefix("./").unwrap_or(name);
        let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        (is_hash && name == file).then(|| hash.to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_bakerys() {
        let release = Release::new("kubernetes", "v1.36.3", Arch::X86_64);
        assert_eq!(
            release.url(BAKERY),
            "https://extensions.flatcar.org/extensions/kubernetes-v1.36.3/kubernetes-v1.36.3-x86-64.raw"
        );
        let release = Release::new("haproxy", "3.2.5", Arch::Arm64);
        assert_eq!(
            release.url("http://mirror:8080/releases/download/"),
            "http://mirror:8080/releases/download/haproxy-3.2.5/haproxy-3.2.5-arm64.raw"
        );
    }

    #[test]
    fn sums_are_read_as_sha256sum_writes_them() {
        let (a, b) = ("a".repeat(64), "B".repeat(64));
        let sums = format!("# note\n{a}  x-1-arm64.raw\n{b} *./x-1-x86-64.raw\nshort  y.raw\n");
        assert_eq!(hash_in_sums(&sums, "x-1-arm64.raw"), Some(a));
        assert_eq!(hash_in_sums(&sums, "x-1-x86-64.raw"), Some("b".repeat(64)));
        assert_eq!(hash_in_sums(&sums, "y.raw"), None);
        assert_eq!(
            hash_in_sums("<html>not found</html>", "x-1-arm64.raw"),
            None
        );
    }
}
