use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;
use ha_test_support::real;

use crate::Authority;
use crate::testing::{client_identity, run_local, server_certificate, test_authority};

/// An answer of etcd 3.6.5, shortened.
const LIST: &str = r#"{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437"},
  "members":[
   {"ID":"10276657743932975437","name":"node1","peerURLs":["https://10.77.0.11:2380"],"clientURLs":["https://10.77.0.11:2379"]},
   {"ID":"9372538179322589801","peerURLs":["https://10.77.0.12:2380"],"isLearner":true}]}"#;

#[test]
fn members_are_read_and_told_apart() {
    let list: MemberList = serde_json::from_str(LIST).unwrap();
    let (first, second) = (&list.members[0], &list.members[1]);
    assert!(first.is_voter() && first.is_started());
    assert!(!second.is_voter() && !second.is_started());
    assert!(second.is_of("node2", "10.77.0.12".parse().unwrap()));
    assert!(
        !second.is_of("node2", "10.77.0.1".parse().unwrap()),
        "an address is not a prefix"
    );
    assert!(
        first.is_of("node1", "10.77.0.99".parse().unwrap()),
        "a started member is known by its name"
    );
}

#[test]
fn addresses_of_version_six_stand_in_brackets() {
    let member = Member {
        peer_urls: vec!["https://[fd00::12]:2380".into()],
        ..Member::default()
    };
    assert!(member.is_of("x", "fd00::12".parse().unwrap()));
    assert!(!member.is_of("x", "fd00::1".parse().unwrap()));
}

/// A real etcd on 127.0.9.1, ended with the test.
struct Real {
    child: Child,
    _dir: tempfile::TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(etcd: &Path, ca: &Authority) -> Real {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = server_certificate(ca, "127.0.9.1".parse().unwrap());
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).to_string_lossy().into_owned()
    };
    let (ca_file, cert, key) = (
        file("ca", ca.cert()),
        file("cert", &cert.pem()),
        file("key", &key.serialize_pem()),
    );
    let child = Command::new(etcd)
        .args(["--name", "node1", "--data-dir"])
        .arg(dir.path().join("data"))
        .args([
            "--listen-client-urls",
            "https://127.0.9.1:2379",
            "--advertise-client-urls",
            "https://127.0.9.1:2379",
        ])
        .args([
            "--listen-peer-urls",
            "http://127.0.9.1:2380",
            "--initial-advertise-peer-urls",
            "http://127.0.9.1:2380",
        ])
        .args([
            "--initial-cluster",
            "node1=http://127.0.9.1:2380",
            "--client-cert-auth",
            "--trusted-ca-file",
            &ca_file,
        ])
        .args(["--cert-file", &cert, "--key-file", &key])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Real { child, _dir: dir }
}

#[test]
fn the_real_etcd_is_understood() {
    let Some(program) = real::of_kubernetes("etcd") else {
        return;
    };
    run_local(async {
        let ca = test_authority("etcd-ca");
        let real = start(&program, &ca);
        let me = client_identity(&ca);
        // The first address is dead: the next one is asked.
        let urls = ["https://127.0.9.2:2379", "https://127.0.9.1:2379"].map(String::from);
        let etcd = Etcd::at(urls, ca.cert(), &me).unwrap();
        let mut tries = 0;
        while etcd.members().await.is_err() && tries < 300 {
            tries += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let members = etcd.members().await.unwrap();
        assert_eq!(
            (
                members.len(),
                members[0].name.as_str(),
                members[0].is_voter()
            ),
            (1, "node1", true)
        );
        let status = etcd.status().await.unwrap();
        assert_eq!(
            (&status.id, &status.leader),
            (&members[0].id, &members[0].id)
        );

        let learner = json!({"peerURLs": ["http://127.0.9.3:2380"], "isLearner": true});
        etcd.ask::<Value>("/v3/cluster/member/add", &learner)
            .await
            .unwrap();
        let members = etcd.members().await.unwrap();
        let added = members
            .iter()
            .find(|m| m.is_of("node3", "127.0.9.3".parse().unwrap()))
            .unwrap();
        assert!(added.is_learner && !added.is_started());
        etcd.remove(&added.id).await.unwrap();
        etcd.remove(&added.id).await.expect("gone is gone");
        assert_eq!(etcd.members_as_known().await.unwrap().len(), 1);

        let stranger = test_authority("etcd-ca");
        let not_me = client_identity(&stranger);
        let refused = Etcd::at(["https://127.0.9.1:2379".to_owned()], ca.cert(), &not_me)
            .unwrap()
            .members()
            .await;
        assert!(refused.is_err());
        drop(real);
    });
}
