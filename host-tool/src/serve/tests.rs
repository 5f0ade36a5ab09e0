use std::collections::BTreeMap;

use ha_test_support::{DEMO, parse_cluster};

use super::*;
use crate::bakery::Artefact;
use crate::state::{ClusterStore, StateRoot, record_life};

const MAC: &str = "52:54:00:aa:bb:02";
/// As much of a config as is looked at here.
const CONFIG: &str = r#"{"ignition":{"version":"3.3.0"},"storage":{"links":[]}}"#;

struct ServeFixture {
    dir: tempfile::TempDir,
    store: ClusterStore,
    site: Arc<Site>,
}

/// A cluster of others' machines while it is launched; its second node is known by its MAC.
fn site_while_launching() -> ServeFixture {
    let dir = tempfile::tempdir().unwrap();
    let text = DEMO.replacen(
        "address: 10.77.0.12",
        &format!("address: 10.77.0.12, mac: \"{MAC}\""),
        1,
    );
    assert_ne!(text, DEMO, "the demo's second node is where it was");
    let file = dir.path().join("demo.yaml");
    let text = format!("{text}provider: none\n");
    std::fs::write(&file, &text).unwrap();
    let source = crate::source::read_source(&file, None).unwrap();
    let root = StateRoot::new(Some(&dir.path().join("state"))).unwrap();
    let store = root.dir("demo").lock().unwrap();
    store.accept(&source.as_accepted()).unwrap();
    record_life(&store, ClusterLife::Launching).unwrap();
    for node in &source.cluster.nodes {
        store.put_ignition(&node.name, CONFIG).unwrap();
    }
    let image = dir.path().join("haproxy.raw");
    std::fs::write(&image, "an image").unwrap();
    let site = Site::new(
        Offer {
            dir: root.dir("demo"),
            cluster: parse_cluster(&text, dir.path()),
            url: String::from("http://10.0.0.2:8080"),
            sysexts: BTreeMap::from([(
                "haproxy".to_owned(),
                Artefact {
                    file: "haproxy-3.2.26-x86-64.raw".to_owned(),
                    source: SysextSource::File(image),
                },
            )]),
            pxe: None,
            install_disk: None,
        },
        |_| (),
    );
    let site = site.unwrap();
    ServeFixture { dir, store, site }
}

/// Serves on a port of its own, and asks; answers are status and text.
fn serve_and_ask(site: &Arc<Site>, paths: &[String]) -> Vec<(u16, String)> {
    ha_host_base::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let service = site
            .router()
            .into_make_service_with_connect_info::<Client>();
        tokio::spawn(async { axum::serve(listener, service).await });
        let asked = paths
            .iter()
            .map(|path| tokio::spawn(reqwest::get(format!("http://{at}{path}"))));
        let mut answers = Vec::new();
        for answer in asked.collect::<Vec<_>>() {
            let answer = answer.await.unwrap().unwrap();
            answers.push((answer.status().as_u16(), answer.text().await.unwrap()));
        }
        answers
    })
    .unwrap()
}

fn own_path(fixture: &ServeFixture, node: usize) -> String {
    format!("/config/{}", fixture.site.tokens[node])
}

#[test]
fn of_many_who_ask_for_a_config_at_once_one_gets_it() {
    let fixture = site_while_launching();
    let answers = serve_and_ask(&fixture.site, &vec![own_path(&fixture, 0); 8]);
    let given = answers.iter().filter(|(status, _)| *status == 200);
    assert_eq!(given.count(), 1, "{answers:?}");
    let refused = answers.iter().find(|(status, _)| *status == 410).unwrap();
    assert!(
        refused.1.contains("ha-host serve --again node1"),
        "{answers:?}"
    );
    // Nor does another server of the same cluster give it out, unless somebody says so.
    let again = Site::new(
        Offer {
            dir: fixture.site.offer.dir.clone(),
            cluster: fixture.site.offer.cluster.clone(),
            url: String::new(),
            sysexts: Artefacts::default(),
            pxe: None,
            install_disk: None,
        },
        |_| (),
    );
    let again = again.unwrap();
    let path = format!("/config/{}", again.tokens[0]);
    assert_eq!(serve_and_ask(&again, std::slice::from_ref(&path))[0].0, 410);
    forget_given(&fixture.site.offer.dir, "node1").unwrap();
    assert_eq!(serve_and_ask(&again, &[path])[0].0, 200);
}

#[test]
fn a_machine_is_known_by_its_mac_however_its_boot_program_writes_it() {
    let fixture = site_while_launching();
    let by = |mac: &str| format!("/config?mac={mac}");
    let hyphens = MAC.to_uppercase().replace(':', "-");
    let answers = serve_and_ask(
        &fixture.site,
        &[by("52:54:00:00:00:01"), by(""), by(&hyphens)],
    );
    let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [404, 404, 200], "{answers:?}");
    assert_eq!(
        serve_and_ask(&fixture.site, &[own_path(&fixture, 1)])[0].0,
        410,
        "it was node2's"
    );
}

#[test]
fn no_config_is_given_out_before_or_after_a_launch() {
    let fixture = site_while_launching();
    for life in [
        ClusterLife::Rendered,
        ClusterLife::Standing,
        ClusterLife::Destroying,
    ] {
        record_life(&fixture.store, life).unwrap();
        let (status, words) = serve_and_ask(&fixture.site, &[own_path(&fixture, 0)]).remove(0);
        assert_eq!(status, 403, "{life:?}");
        assert!(!words.contains("ignition"), "{words}");
    }
    record_life(&fixture.store, ClusterLife::Launching).unwrap();
    assert_eq!(
        serve_and_ask(&fixture.site, &[own_path(&fixture, 0)])[0].0,
        200
    );
}

#[test]
fn a_node_fetches_local_extensions_from_here_and_knows_their_hashes() {
    let fixture = site_while_launching();
    let (_, config) = serve_and_ask(&fixture.site, &[own_path(&fixture, 0)]).remove(0);
    if let Some(judge) = ha_test_support::real::require_program("ignition-validate", "ignition") {
        let path = fixture.dir.path().join("given.ign");
        std::fs::write(&path, &config).unwrap();
        let judged = std::process::Command::new(judge)
            .arg(&path)
            .output()
            .unwrap();
        assert!(judged.status.success(), "{judged:?}");
    }
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let file = &config["storage"]["files"][0];
    assert_eq!(
        file["path"],
        "/opt/extensions/haproxy/haproxy-3.2.26-x86-64.raw"
    );
    let url = file["contents"]["source"].as_str().unwrap();
    let path = url.strip_prefix("http://10.0.0.2:8080").unwrap().to_owned();
    let (status, image) = serve_and_ask(&fixture.site, &[path]).remove(0);
    assert_eq!((status, image.as_str()), (200, "an image"));
    // echo -n "an image" | sha256sum
    assert_eq!(
        file["contents"]["verification"]["hash"],
        "sha256-a5df3fde7b200c3fa2791144c7e05c5c2bced4c6ad863d3a4cf76c972c1712f9"
    );
}

#[test]
fn over_https_somebody_who_says_nothing_keeps_nobody_waiting() {
    let fixture = site_while_launching();
    let ca = ha_kube::testing::test_authority("desk");
    let (certificate, key) = ha_kube::testing::server_certificate(&ca, [127, 0, 0, 1].into());
    let (chain, private) = (
        fixture.dir.path().join("c.pem"),
        fixture.dir.path().join("k.pem"),
    );
    std::fs::write(&chain, certificate.pem()).unwrap();
    std::fs::write(&private, key.serialize_pem()).unwrap();
    let config = tls::read_server_config(&chain, &private).unwrap();
    let path = own_path(&fixture, 0);
    let given = ha_host_base::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let listener = TlsListener::new(listener, config).unwrap();
        let service = fixture
            .site
            .router()
            .into_make_service_with_connect_info::<Client>();
        tokio::spawn(async { axum::serve(listener, service).await });
        let _silent = tokio::net::TcpStream::connect(at).await.unwrap();
        let ca = reqwest::Certificate::from_pem(ca.cert().as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only([ca])
            // Less than a handshake may take.
            .timeout(std::time::Duration::from_secs(5))
            .build()
            .unwrap();
        client
            .get(format!("https://{at}{path}"))
            .send()
            .await
            .map(|answer| answer.status().as_u16())
    });
    assert_eq!(given.unwrap().unwrap(), 200);
    let error = tls::read_server_config(&private, &private)
        .unwrap_err()
        .to_string();
    assert!(error.contains("k.pem"), "{error}");
}
