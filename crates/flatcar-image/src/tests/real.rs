//! What the programs make that Flatcar's build uses: gpg's RSA keys and signatures, bzip2's streams.

use std::path::Path;
use std::process::Command;

use ha_test_support::real::require_command;
use sequoia_openpgp::Cert;
use sequoia_openpgp::parse::Parse;

use super::fixture::{IMAGE, RecordedProgress};
use super::*;

/// Runs gpg in a home of the test's own.
fn run_gpg(home: &Path, args: &[&str]) -> Option<Vec<u8>> {
    let mut gpg = require_command("gpg", "gnupg")?;
    gpg.args([
        "--batch",
        "--quiet",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
    ]);
    let output = gpg.arg("--homedir").arg(home).args(args).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "gpg {args:?}: {words}");
    Some(output.stdout)
}

/// Ends the agent that gpg left, also when the test fails.
struct Agent<'a>(&'a Path);

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        let mut gpgconf = Command::new("gpgconf");
        let _ = gpgconf
            .arg("--homedir")
            .arg(self.0)
            .args(["--kill", "all"])
            .output();
    }
}

#[test]
fn gpg_signs_and_bzip2_packs() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    let home = fixture.path_out("gpg");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
    let Some(_) = run_gpg(&home, &["--version"]) else {
        return;
    };
    let _agent = Agent(&home);
    // As Flatcar's: an RSA primary key, and RSA subkeys that sign and end.
    run_gpg(
        &home,
        &[
            "--quick-generate-key",
            "Buildbot",
            "rsa2048",
            "cert",
            "never",
        ],
    );
    let key = run_gpg(&home, &["--export"]).unwrap();
    let primary = Cert::from_bytes(&key).unwrap().fingerprint();
    run_gpg(
        &home,
        &[
            "--quick-add-key",
            &primary.to_hex(),
            "rsa2048",
            "sign",
            "1y",
        ],
    );
    let key = run_gpg(&home, &["--export"]).unwrap();

    let image = incompressible_image(60_000);
    let mut packed = Vec::new();
    for part in [&image[..20_000], &image[20_000..]] {
        let file = fixture.file("part", part);
        let Some(mut bzip2) = require_command("bzip2", "bzip2") else {
            return;
        };
        packed.extend(bzip2.arg("-c").arg(file).output().unwrap().stdout);
    }
    let file = fixture.file("packed", &packed).display().to_string();
    let signature = run_gpg(
        &home,
        &[
            "--digest-algo",
            "SHA512",
            "--output",
            "-",
            "--detach-sign",
            &file,
        ],
    );
    fixture.put_signed(
        &format!("/amd64-usr/1.2.3/{IMAGE}"),
        &packed,
        signature.unwrap(),
    );

    let store = ImageStore::trusting(&fixture.path(""), TrustedSigner::of(primary.clone(), &key));
    let path = store
        .pull(
            &fixture.wanted(Some("1.2.3")),
            &mut RecordedProgress::default(),
        )
        .unwrap();
    assert_eq!(std::fs::read(path).unwrap(), image);
    let subkey = Cert::from_bytes(&key).unwrap();
    let subkey = subkey.keys().subkeys().next().unwrap().key().fingerprint();
    assert_eq!(store.list().unwrap()[0].signed_by, subkey.to_hex());
}
