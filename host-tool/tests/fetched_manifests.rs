//! Manifests behind a URL with a hash: fetched here, once, and on the nodes they are files like others.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

mod cli_fixture;

use cli_fixture::{CliFixture, DEMO};

const NET: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: net}}\n";
/// echo '{apiVersion: v1, kind: Namespace, metadata: {name: net}}' | sha256sum
const NET_HASH: &str = "f79822929d3a0b45b4cfb7fc859878c399c763f16066625989cdb729802fb6d9";
/// echo '<!DOCTYPE html>' | sha256sum
const PAGE_HASH: &str = "3d0b6f5e309df8fce8815f908dd6821b0496cf43cd9fb4ff7ea9c0ce74770826";

/// Answers one request with this text, and is gone.
fn serve_once(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/net.yaml", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let size = text.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n{text}"
        )
        .unwrap();
    });
    url
}

fn write_cluster_file(fixture: &CliFixture, url: &str, hash: &str) {
    let manifest = format!("cni: {{manifests: [{{url: \"{url}\", sha256: {hash}}}]}}");
    fs::write(
        fixture.path("mine.yaml"),
        DEMO.replace("cni: none", &manifest),
    )
    .unwrap();
}

fn run_ha_host(fixture: &CliFixture, args: &[&str]) -> (i32, String, String) {
    let mut command = fixture.command(args);
    command.env("XDG_DATA_HOME", fixture.path("data"));
    fixture.finish(command)
}

#[test]
fn what_was_fetched_once_needs_no_network_again() {
    let fixture = CliFixture::new();
    write_cluster_file(&fixture, &serve_once(NET), NET_HASH);
    let (code, out, err) = run_ha_host(&fixture, &["check", "mine.yaml"]);
    assert!(code == 0 && out.starts_with("demo: "), "{out}{err}");
    assert!(!fixture.path("data").exists(), "check fetches nothing");
    // The server answers once.
    for _ in 0..2 {
        let (code, _, err) = run_ha_host(
            &fixture,
            &["render", "mine.yaml", "--out", "out", "--force"],
        );
        assert_eq!(code, 0, "{err}");
        let config = fs::read_to_string(fixture.path("out/node1.ign")).unwrap();
        assert!(
            config.contains("/etc/ha-agent/manifests.d/00-net.yaml"),
            "{config}"
        );
        let worker = fs::read_to_string(fixture.path("out/node4.ign")).unwrap();
        assert!(!worker.contains("00-net.yaml"), "{worker}");
    }
}

#[test]
fn check_says_of_what_was_fetched_that_it_is_no_manifest() {
    let fixture = CliFixture::new();
    let url = serve_once("<!DOCTYPE html>\n");
    write_cluster_file(&fixture, &url, PAGE_HASH);
    let words = format!(
        "kubernetes.cni.manifests[0]: {url} is not a Kubernetes manifest: line 1: it is a web page"
    );
    let (code, _, err) = run_ha_host(&fixture, &["render", "mine.yaml", "--out", "out"]);
    assert!(code == 2 && err.contains(&words), "{err}");
    assert!(!fixture.path("out").exists());
    let (code, _, err) = run_ha_host(&fixture, &["check", "mine.yaml"]);
    let words = words.replace("manifests[0]:", "manifests[0].url:");
    assert!(
        code == 2 && err.contains(&words) && err.contains("mine.yaml:"),
        "{err}"
    );
}
