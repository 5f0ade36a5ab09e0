//! Manifests of the pod network: files, URLs, and URLs with a hash.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::path::Path;

use ha_cluster_file::check::{FileKind, named_files};
use ha_wire::settings::Cni;

mod least;

use least::{LEAST, valid_cluster};

#[test]
fn a_manifest_with_a_hash_is_known_by_its_url() {
    let hash = "6105D6CC76AF400325E94D588CE511BE5BFDBB73B437DC51ECA43917D7A43E3D";
    let text = LEAST.replace(
        "1.36.3",
        &format!("1.36.3, proxy: nftables, cni: {{manifests: [a.yaml, {{url: \"https://c/d\", sha256: {hash}}}]}}"),
    );
    let kubernetes = valid_cluster(&text).kubernetes;
    let sources = ["/base/a.yaml", "https://c/d"].map(str::to_owned).to_vec();
    assert_eq!(kubernetes.cni, Cni::Manifests { sources });
    let hashes = [("https://c/d".to_owned(), hash.to_lowercase())].into();
    assert_eq!(kubernetes.manifest_hashes, hashes);
    let named = named_files(&text, Path::new("/base"));
    let named = named.iter().map(|file| (file.kind, file.path.as_path()));
    let (fetched, local) = (FileKind::FetchedManifest, FileKind::Manifest);
    let expected = [(fetched, "https://c/d"), (local, "/base/a.yaml")];
    let expected = expected.map(|(kind, path)| (kind, Path::new(path)));
    assert!(expected.into_iter().eq(named));
}
