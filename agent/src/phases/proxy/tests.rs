use super::*;
use crate::sys::{EnvironmentProxy, environment_proxy};
use crate::testing::{self, FakeMachine};

const EXPECTED: &str = "intra.example.com,10.77.0.30,localhost,127.0.0.0/8,::1,10.77.0.0/24,10.77.0.11,10.77.0.12,10.77.0.13,\
    10.244.0.0/16,10.96.0.0/12,.svc,.cluster.local";

fn with_proxy(no_proxy: &str) -> FakeMachine {
    let mut machine = testing::fake_machine(testing::founder());
    machine.cx.sys.proxy = Some(EnvironmentProxy {
        exceptions: no_proxy.to_owned(),
        is_for_fetching: false,
    });
    machine
}

fn kubeadm_init() -> Cmd {
    Cmd::new("kubeadm", &["init"], std::time::Duration::from_secs(1))
}

#[test]
fn a_proxy_is_not_asked_for_what_lies_in_the_cluster() {
    let machine = with_proxy("intra.example.com, 10.77.0.30,");
    let env = bypass_proxy(&machine.cx, kubeadm_init()).env;
    let both = ["no_proxy", "NO_PROXY"].map(|name| (name.to_owned(), EXPECTED.to_owned()));
    assert_eq!(env, both);
    let mut node = testing::founder();
    let dns = serde_json::json!({"dnsDomain": "k8s.example.com"});
    node.kubernetes.cluster_configuration = [("networking".to_owned(), dns)].into_iter().collect();
    let named = proxy::exceptions(std::iter::empty(), &node);
    assert!(named.ends_with(",.svc,.k8s.example.com"), "{named}");
}

/// kubeadm would hand it to the static pods, whose manifests everybody can read who may read pods.
#[test]
fn the_proxy_of_the_cluster_file_is_not_kubeadms() {
    let mut machine = with_proxy("intra.example.com");
    assert!(
        kubeadm_command(&machine.cx, &["init"], kubeadm_init().deadline).env[0]
            .1
            .starts_with("intra.example.com,")
    );
    machine.cx.sys.proxy.as_mut().unwrap().is_for_fetching = true;
    let env = kubeadm_command(&machine.cx, &["init"], kubeadm_init().deadline).env;
    assert!(env.iter().all(|(_, value)| value.is_empty()), "{env:?}");
    for name in ["HTTP_PROXY", "https_proxy", "NO_PROXY"] {
        assert!(env.iter().any(|(n, _)| n == name), "{name}");
    }
    let fetching = bypass_proxy(&machine.cx, kubeadm_init()).env;
    assert!(
        fetching
            .iter()
            .all(|(_, value)| value.contains("10.77.0.0/24")),
        "{fetching:?}"
    );
}

#[tokio::test]
async fn without_a_proxy_nothing_is_changed() {
    let machine = testing::fake_machine(testing::founder());
    assert_eq!(bypass_proxy(&machine.cx, kubeadm_init()).env, []);
    let_kubelet_bypass_proxy(&machine.cx).await.unwrap();
    assert!(!machine.cx.sys.files.exists(KUBELET_DROP_IN));
    assert_eq!(machine.orders(), Vec::<String>::new());
}

#[tokio::test]
async fn the_kubelets_unit_is_told_once() {
    let machine = with_proxy("a%b");
    for _ in 0..2 {
        let_kubelet_bypass_proxy(&machine.cx).await.unwrap();
    }
    assert_eq!(machine.orders(), ["daemon-reload"]);
    let text = machine.cx.sys.files.read(KUBELET_DROP_IN).unwrap().unwrap();
    assert!(text.contains("\"NO_PROXY=a%%b,localhost,"), "{text}");
}

#[test]
fn only_a_proxy_counts_whatever_its_case() {
    let of = |vars: &[(&str, &str)]| {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        environment_proxy(vars.iter().map(own)).map(|p| (p.exceptions, p.is_for_fetching))
    };
    assert_eq!(of(&[("NO_PROXY", "x"), ("PATH", "/bin")]), None);
    assert_eq!(of(&[("HTTPS_PROXY", ""), ("PROXY", "x")]), None);
    let with_password = [("https_proxy", "http://u:p@10.0.0.1")];
    assert_eq!(of(&with_password), Some((String::new(), false)));
    let both = [("HTTP_PROXY", "http://10.0.0.1"), ("no_proxy", "x,y")];
    assert_eq!(of(&both), Some(("x,y".to_owned(), false)));
    let owned = [("HA_PROXY_OWNER", "cluster-file"), both[0], both[1]];
    assert_eq!(of(&owned), Some(("x,y".to_owned(), true)));
}
