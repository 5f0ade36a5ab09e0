use time::{Duration, OffsetDateTime};

use super::*;
use crate::Authority;

const NAMES: Names<'static> = Names {
    cluster: "demo",
    user: "demo-admin",
};

fn sign_identity() -> (Authority, Identity) {
    let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
    let ca = Authority::create("kubernetes", now).unwrap();
    let me = ca.sign_client("x", None, Duration::hours(1), now).unwrap();
    (ca, me)
}

#[test]
fn what_is_written_is_read_again() {
    let (ca, me) = sign_identity();
    let cluster = Cluster::new("https://10.77.0.30:6444", ca.cert());
    let text = Kubeconfig::embedded(NAMES, cluster.clone(), &me).to_text();
    let read = Kubeconfig::parse(text.expose()).unwrap();
    assert_eq!(read.cluster(), Some(&cluster));
    assert_eq!(read.cluster().unwrap().ca().as_deref(), Some(ca.cert()));
    assert_eq!(read.client_certificate().as_deref(), Some(me.cert.as_str()));
    assert!(read.has_key());
    let text = Kubeconfig::with_file(NAMES, cluster, "/a.pem").to_text();
    let read = Kubeconfig::parse(text.expose()).unwrap();
    assert!(!read.has_key() && read.client_certificate().is_none());
    assert!(text.expose().contains(r#""client-key": "/a.pem""#));
}

#[test]
fn kubeadms_yaml_is_read() {
    let (ca, _) = sign_identity();
    let data = STANDARD.encode(ca.cert());
    let text = format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {data}\n    \
         server: https://10.77.0.11:6443\n  name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n    \
         user: system:node:node1\n  name: system:node:node1@kubernetes\ncurrent-context: system:node:node1@kubernetes\n\
         kind: Config\npreferences: {{}}\nusers:\n- name: system:node:node1\n  user:\n    \
         client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem\n    \
         client-key: /var/lib/kubelet/pki/kubelet-client-current.pem\n"
    );
    let read = Kubeconfig::parse(&text).unwrap();
    let cluster = read.cluster().unwrap();
    assert_eq!(cluster.server, "https://10.77.0.11:6443");
    assert_eq!(cluster.ca().as_deref(), Some(ca.cert()));
    assert!(!read.has_key());
}

#[test]
fn what_is_no_kubeconfig_is_told_apart() {
    for (text, expected) in [
        ("", "not a kubeconfig: "),
        ("a: [", "not YAML: "),
        ("a: b", "not a kubeconfig: missing field `apiVersion`"),
    ] {
        let error = Kubeconfig::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
}

#[test]
fn the_key_is_not_shown() {
    let (ca, me) = sign_identity();
    let config = Kubeconfig::embedded(NAMES, Cluster::new("https://x", ca.cert()), &me);
    let key = STANDARD.encode(me.key.expose());
    assert!(!format!("{config:?}").contains(&key));
}

#[test]
fn a_whole_kubeconfig_leads_to_a_server_and_to_an_identity() {
    let (ca, me) = sign_identity();
    let cluster = Cluster::new("https://10.77.0.30:6444", ca.cert());
    let embedded = Kubeconfig::embedded(NAMES, cluster.clone(), &me);
    assert!(embedded.is_whole());
    assert!(Kubeconfig::with_file(NAMES, cluster.clone(), "/a.pem").is_whole());
    type Break<'a> = (&'a str, &'a dyn Fn(&mut Kubeconfig));
    let broken: [Break<'_>; 5] = [
        ("no context", &|c| c.contexts.clear()),
        ("no cluster", &|c| c.clusters.clear()),
        ("no user", &|c| c.users.clear()),
        ("no key", &|c| c.users[0].user.client_key_data = None),
        ("another's key", &|c| {
            let other = STANDARD.encode(sign_identity().1.key.expose());
            c.users[0].user.client_key_data = Some(Secret::new(other));
        }),
    ];
    for (what, breaks) in broken {
        let mut config = embedded.clone();
        breaks(&mut config);
        assert!(!config.is_whole(), "{what}");
    }
}
