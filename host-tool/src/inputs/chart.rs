//! Cilium's chart as Helm packs it: whether a file is one, and of which version.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use super::file::{FileFault, open_file};
use super::tar;

/// Cilium's are a quarter of a MiB.
const MAX_PACKED: u64 = 8 << 20;
/// They unpack to two.
const MAX_UNPACKED: u64 = 64 << 20;
/// What says which chart it is.
const CHART_FILE: &str = "cilium/Chart.yaml";

/// The chart's bytes, if they are Cilium's chart of this version.
pub fn read_chart(path: &Path, version: &str) -> Result<Vec<u8>, FileFault> {
    let mut packed = Vec::new();
    open_file(path)?
        .take(MAX_PACKED)
        .read_to_end(&mut packed)
        .map_err(|e| FileFault::new(format!("cannot be read: {e}"), "look at it with ls -l"))?;
    let about = find_chart_file(&packed).ok_or_else(|| {
        let what = format!("is not a Cilium chart: a gzipped tar archive with {CHART_FILE} in it");
        let remedy = format!("fetch it: helm pull cilium --version {version}");
        FileFault::new(what, remedy)
    })?;
    let found = about.lines().find_map(|line| line.strip_prefix("version:"));
    let found = found.unwrap_or_default().trim().trim_matches(['"', '\'']);
    if found != version {
        let what = format!("is Cilium's chart {found}, not {version}");
        return Err(FileFault::new(
            what,
            "write its version beside it: `version: V`",
        ));
    }
    Ok(packed)
}

/// The text of [`CHART_FILE`] in a gzipped tar archive.
fn find_chart_file(packed: &[u8]) -> Option<String> {
    let mut archive = Vec::new();
    let mut unpack = GzDecoder::new(packed).take(MAX_UNPACKED);
    unpack.read_to_end(&mut archive).ok()?;
    let mut rest = archive.as_slice();
    loop {
        let (header, behind) = rest.split_first_chunk()?;
        let name = tar::entry_name(header);
        if name.is_empty() {
            return None;
        }
        let size = tar::entry_size(header)?;
        if name == CHART_FILE.as_bytes() {
            let text = behind.get(..usize::try_from(size).ok()?)?;
            return String::from_utf8(text.to_vec()).ok();
        }
        rest = behind.get(usize::try_from(tar::padded(size)?).ok()?..)?;
    }
}

#[cfg(test)]
pub mod tests {
    use std::io::Write;

    use super::tar::BLOCK;
    use super::*;

    /// A chart as Helm packs it, with something in front of what is looked for.
    pub fn packed_chart(name: &str, version: &str) -> Vec<u8> {
        let about = format!(
            "apiVersion: v2\nname: {name}\nversion: {version}\nannotations: {{version: 9}}\n"
        );
        let mut tar = Vec::new();
        for (file, text) in [
            (format!("{name}/README.md"), "x".repeat(700)),
            (format!("{name}/Chart.yaml"), about),
        ] {
            let mut header = [0; BLOCK];
            header[..file.len()].copy_from_slice(file.as_bytes());
            header[124..136].copy_from_slice(format!("{:011o} ", text.len()).as_bytes());
            tar.extend(header);
            tar.extend(text.as_bytes());
            tar.resize(tar.len().next_multiple_of(BLOCK), 0);
        }
        tar.extend([0; 2 * BLOCK]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn what_is_no_chart_of_this_version_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cilium.tgz");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_chart(&path, "1.20.2").map_err(|fault| fault.to_string())
        };
        let good = packed_chart("cilium", "1.20.2");
        assert_eq!(read(&good), Ok(good.clone()));
        for (bytes, told) in [
            (
                packed_chart("cilium", "1.20.1"),
                "is Cilium's chart 1.20.1, not 1.20.2",
            ),
            (packed_chart("calico", "1.20.2"), "is not a Cilium chart"),
            (good[..good.len() / 2].to_vec(), "is not a Cilium chart"),
            (
                b"apiVersion: v2\nversion: 1.20.2\n".to_vec(),
                "is not a Cilium chart",
            ),
            (Vec::new(), "is empty"),
        ] {
            let error = read(&bytes).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
