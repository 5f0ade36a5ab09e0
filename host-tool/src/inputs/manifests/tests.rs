use ha_host_base::text::hex_digits;
use sha2::{Digest, Sha256};

use super::*;
use crate::testing::serve_files;

const NET: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: net}}\n";
const KEY: &str = "kubernetes.cni.manifests[0]";

fn sha256_of(text: &str) -> String {
    hex_digits(&Sha256::digest(text))
}

fn cache_in(dir: &tempfile::TempDir) -> Cache {
    Cache::at(dir.path().join("manifests"), MANIFESTS)
}

#[test]
fn a_manifest_is_fetched_once_and_then_like_a_file() {
    let (base, asked) = serve_files(vec![("net.yaml".to_owned(), NET.into())]);
    let dir = tempfile::tempdir().unwrap();
    let (url, hash) = (format!("{base}/net.yaml"), sha256_of(NET));
    for _ in 0..2 {
        let manifest = read_fetched(KEY, &url, &hash, &cache_in(&dir)).unwrap();
        assert_eq!(
            (manifest.name.as_str(), manifest.text.as_str()),
            ("net.yaml", NET)
        );
    }
    assert_eq!(*asked.lock().unwrap(), ["/extensions/net.yaml"]);
    // The name on the node is the URL's, where that can be one.
    assert_eq!(
        file_name_of_url("https://x.org/a/net.yaml?ref=v1"),
        "net.yaml"
    );
    assert_eq!(file_name_of_url("https://x.org/a/"), "manifest.yaml");
}

#[test]
fn what_cannot_be_had_or_is_something_else_is_bad_input() {
    let page = "<!DOCTYPE html>\n";
    let (base, _) = serve_files(vec![
        ("net.yaml".to_owned(), NET.into()),
        ("page.yaml".to_owned(), page.into()),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let nobody = "http://127.0.0.1:1/net.yaml".to_owned();
    for (url, hash, cause, remedy) in [
        (
            format!("{base}/net.yaml"),
            sha256_of("other"),
            "not ",
            "write its hash",
        ),
        (
            format!("{base}/gone.yaml"),
            sha256_of(NET),
            "it answers 404",
            "name a file of this machine in `kubernetes.cni.manifests`",
        ),
        (
            nobody,
            sha256_of(NET),
            "refused",
            "launch again when it can be reached",
        ),
        (
            format!("{base}/page.yaml"),
            sha256_of(page),
            "line 1: it is a web page",
            "fetch the raw file itself",
        ),
    ] {
        let error = read_fetched(KEY, &url, &hash, &cache_in(&dir))
            .err()
            .unwrap();
        assert!(matches!(error.downcast_ref(), Some(Stop::BadInput(_))));
        let told = error.to_string();
        assert!(told.starts_with(&format!("{KEY}: ")), "{told}");
        for words in [url.as_str(), cause, remedy] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
    let mut kept: Vec<_> = files_below(dir.path())
        .into_iter()
        .filter(|path| !path.ends_with("lock"))
        .collect();
    kept.sort();
    assert_eq!(
        kept,
        [dir.path()
            .join("manifests")
            .join(sha256_of(page))
            .join("page.yaml")]
    );
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let below = |path: PathBuf| {
        if path.is_dir() {
            files_below(&path)
        } else {
            vec![path]
        }
    };
    entries
        .flat_map(|entry| below(entry.unwrap().path()))
        .collect()
}
