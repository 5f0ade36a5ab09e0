//! An etcd of somebody else's, as a cluster file names it.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{client_identity, test_authority};
use crate::Identity;

/// The value of `kubernetes.etcd` in a cluster file: its CA and a client's pair are files in `dir`; nobody is at its address.
pub fn external_etcd(dir: &Path) -> String {
    let ca = test_authority("their-etcd");
    let Identity { cert, key } = client_identity(&ca);
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        file.unwrap().write_all(text.as_bytes()).unwrap();
        path.display().to_string()
    };
    format!(
        "{{external: {{endpoints: [\"https://198.51.100.5:2379\"], caFile: {}, certFile: {}, keyFile: {}}}}}",
        file("ca", ca.cert()),
        file("cert", &cert),
        file("key", key.expose()),
    )
}
