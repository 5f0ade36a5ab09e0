use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;
use ha_test_support::real;

use crate::Authority;
use crate::testing::{client_identity, run_local, server_certificate, test_authority};

/// What a database may take when nobody says otherwise, bytes.
const DEFAULT_QUOTA: u64 = 2 << 30;
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

/// A real etcd on an address of its own, ended with the test.
struct RunningEtcd {
    child: Child,
    _dir: tempfile::TempDir,
}

impl Drop for RunningEtcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client_url(host: &str) -> String {
    format!("https://127.0.9.{host}:2379")
}

fn peer_url(host: &str) -> String {
    format!("http://127.0.9.{host}:2380")
}

/// The member at this host of the cluster of these; each is called `node` and its host.
fn start_member(etcd: &Path, ca: &Authority, host: &str, cluster: &[&str]) -> RunningEtcd {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = server_certificate(ca, format!("127.0.9.{host}").parse().unwrap());
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).to_string_lossy().into_owned()
    };
    let (ca_file, cert, key) = (
        file("ca", ca.cert()),
        file("cert", &cert.pem()),
        file("key", &key.serialize_pem()),
    );
    let (client, peer) = (client_url(host), peer_url(host));
    let all = cluster.iter().map(|h| format!("node{h}={}", peer_url(h)));
    let all = all.collect::<Vec<_>>().join(",");
    let child = Command::new(etcd)
        .args(["--name", &format!("node{host}"), "--data-dir"])
        .arg(dir.path().join("data"))
        .args(["--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &all, "--client-cert-auth"])
        .args(["--trusted-ca-file", &ca_file])
        .args(["--cert-file", &cert, "--key-file", &key])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    RunningEtcd { child, _dir: dir }
}

/// Asks until it goes well; etcd takes its time to elect, and five seconds to call its peers connected.
async fn retry_until_ok<T>(mut ask: impl AsyncFnMut() -> Result<T, ApiError>) -> T {
    for _ in 0..600 {
        if let Ok(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ask().await.unwrap()
}

#[test]
fn the_real_etcd_is_understood() {
    let Some(program) = real::of_kubernetes("etcd") else {
        return;
    };
    run_local(async {
        let ca = test_authority("etcd-ca");
        let real = start_member(&program, &ca, "1", &["1"]);
        let me = client_identity(&ca);
        // The first address is dead: the next one is asked.
        let urls = ["https://127.0.9.2:2379", "https://127.0.9.1:2379"].map(String::from);
        let etcd = Etcd::at(urls, ca.cert(), &me).unwrap();
        let members = retry_until_ok(async || etcd.members().await).await;
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
        assert!(status.database_bytes.is_some(), "{status:?}");

        assert_eq!(etcd.alarms().await.unwrap(), []);
        let member = &members[0].id;
        let raise = json!({"action": "ACTIVATE", "memberID": member, "alarm": "NOSPACE"});
        etcd.ask::<Value>("/v3/maintenance/alarm", &raise)
            .await
            .unwrap();
        let raised = Alarm {
            member: member.clone(),
            kind: "NOSPACE".to_owned(),
        };
        assert_eq!(etcd.alarms().await.unwrap(), [raised]);
        let disarm = json!({"action": "DEACTIVATE", "memberID": member, "alarm": "NOSPACE"});
        etcd.ask::<Value>("/v3/maintenance/alarm", &disarm)
            .await
            .unwrap();

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

/// Why a join asks every voter before it takes the lease, and removes its own dead member first.
#[test]
fn the_real_etcd_takes_no_learner_while_a_voter_is_away_and_lets_that_one_go() {
    let Some(program) = real::of_kubernetes("etcd") else {
        return;
    };
    run_local(async {
        let ca = test_authority("etcd-ca");
        let hosts = ["21", "22", "23"];
        let mut reals: Vec<RunningEtcd> =
            hosts.map(|h| start_member(&program, &ca, h, &hosts)).into();
        let me = client_identity(&ca);
        let at = |host: &str| Etcd::at([client_url(host)], ca.cert(), &me).unwrap();
        let etcd = at("21");
        let add = async |host: &str| {
            let learner = json!({"peerURLs": [peer_url(host)], "isLearner": true});
            etcd.ask::<Value>("/v3/cluster/member/add", &learner).await
        };
        let remove = async |host: &str| {
            let url = peer_url(host);
            let members = retry_until_ok(async || etcd.members().await).await;
            let there = members.iter().find(|m| m.peer_urls == [url.clone()]);
            retry_until_ok(async || etcd.remove(&there.unwrap().id).await).await;
        };
        // All are there and connected: it takes one.
        retry_until_ok(async || add("24").await).await;
        remove("24").await;

        drop(reals.pop());
        let refused = add("25").await.unwrap_err();
        assert!(
            refused.to_string().contains("unhealthy cluster"),
            "{refused}"
        );
        at("23").status().await.unwrap_err();
        at("22").status().await.unwrap();

        remove("23").await;
        add("25")
            .await
            .expect("who is away is not a voter any more");
    });
}

#[test]
fn the_real_etcd_tells_how_full_it_is_and_what_it_has_raised() {
    let Some(program) = real::of_kubernetes("etcd") else {
        return;
    };
    run_local(async {
        let ca = test_authority("etcd-ca");
        let _real = start_member(&program, &ca, "8", &["8"]);
        let urls = [client_url("8")];
        let etcd = Etcd::at(urls, ca.cert(), &client_identity(&ca)).unwrap();
        let status = retry_until_ok(async || etcd.status().await).await;
        // It was told nothing by argument: 3.6.5 says nothing of it, 3.6.8 and 3.7 say what holds then.
        assert!(matches!(status.quota_bytes, None | Some(DEFAULT_QUOTA)));
        assert!(status.term.is_some_and(|term| term > 0), "{status:?}");
        let bytes = status.database_bytes.unwrap();
        assert!((4096..1 << 28).contains(&bytes), "{bytes}");
        assert_eq!(etcd.alarms().await.unwrap(), []);
        let id = retry_until_ok(async || etcd.members().await).await[0]
            .id
            .clone();
        let raise = json!({"action": "ACTIVATE", "memberID": id, "alarm": "NOSPACE"});
        etcd.ask::<Value>("/v3/maintenance/alarm", &raise)
            .await
            .unwrap();
        let kind = "NOSPACE".to_owned();
        let raised = etcd.alarms().await.unwrap();
        assert_eq!(raised, [Alarm { member: id, kind }]);
    });
}

#[test]
fn the_real_etcd_is_claimed_once_and_only_while_it_holds_nothing() {
    let Some(program) = real::of_kubernetes("etcd") else {
        return;
    };
    run_local(async {
        let ca = test_authority("etcd-ca");
        let _real = start_member(&program, &ca, "31", &["31"]);
        let urls = [client_url("31")];
        let etcd = Etcd::at(urls, ca.cert(), &client_identity(&ca)).unwrap();
        let claim = |owner: &str, prefix: &str| Claim {
            key: format!("/flatcar-ha/cluster-of{prefix}"),
            owner: owner.to_owned(),
            prefix: prefix.to_owned(),
        };
        let put = async |key: &str| {
            let encode = |text: &str| {
                use base64::Engine as _;
                base64::engine::general_purpose::STANDARD.encode(text)
            };
            let pair = json!({"key": encode(key), "value": encode("x")});
            etcd.ask::<Value>("/v3/kv/put", &pair).await.unwrap();
        };
        let before = |owner: Option<&str>, keys| Claimed::Before {
            owner: owner.map(str::to_owned),
            keys,
        };
        retry_until_ok(async || etcd.members().await).await;
        // Beside the prefix, and not below it.
        for beside in ["/registry", "/registry0", "/registrz"] {
            put(beside).await;
        }
        let ours = claim("demo 1", "/registry/");
        assert_eq!(etcd.claim(&ours).await.unwrap(), Claimed::Now);
        assert_eq!(etcd.claim(&ours).await.unwrap(), before(Some("demo 1"), 0));
        put("/registry/pods/a").await;
        put("/registry/pods/b").await;
        let other = claim("other 2", "/registry/");
        assert_eq!(etcd.claim(&other).await.unwrap(), before(Some("demo 1"), 2));
        put("/elsewhere/pods/a").await;
        let third = claim("other 2", "/elsewhere/");
        assert_eq!(etcd.claim(&third).await.unwrap(), before(None, 1));
    });
}
