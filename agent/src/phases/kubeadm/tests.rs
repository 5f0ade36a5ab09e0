use ha_wire::event::Origin;

use super::*;
use crate::phases::kubeadm_run_config::{config_file, machine_traits};
use crate::sys::Cmd;

#[test]
fn lines_of_kubeadm_become_words() {
    let cases = [
        (
            "[certs] Generating \"apiserver\" certificate and key",
            Some("kubeadm certs: Generating \"apiserver\" certificate and key"),
        ),
        (
            "[control-plane-check] Waiting for healthy control plane components. This can take up to 4m0s",
            Some("kubeadm control-plane-check: Waiting for healthy control plane components"),
        ),
        (
            "\t[WARNING FileExisting-tc]: tc not found in system path",
            None,
        ),
        (
            "[WARNING Hostname]: hostname \"node1\" could not be reached",
            None,
        ),
        (
            "[bootstrap-token] Using token: abcdef.0123456789abcdef",
            None,
        ),
        (
            "Your Kubernetes control-plane has initialized successfully!",
            None,
        ),
        ("", None),
    ];
    for (line, expected) in cases {
        assert_eq!(describe_line(line).as_deref(), expected, "{line}");
    }
}

#[test]
fn tokens_have_kubeadms_form_and_differ() {
    let (one, other) = (random_token().unwrap(), random_token().unwrap());
    assert_ne!(one, other);
    let (id, secret) = one.split_once('.').unwrap();
    assert_eq!((id.len(), secret.len()), (6, 16));
    assert!(
        one.bytes()
            .all(|b| b == b'.' || b.is_ascii_lowercase() || b.is_ascii_digit())
    );
}

/// The real kubeadm looks at configurations; whatever else is run of it is only noted.
#[derive(Debug)]
struct OnlyValidates {
    kubeadm: std::path::PathBuf,
    ran: std::cell::RefCell<Vec<String>>,
}

impl crate::sys::Commands for OnlyValidates {
    fn run_watched<'a>(
        &'a self,
        mut cmd: Cmd,
        line: &'a dyn Fn(&str),
    ) -> crate::sys::Boxed<'a, Result<crate::sys::Output>> {
        if cmd.program == "kubeadm" && cmd.args[0] == "config" {
            cmd.program = self.kubeadm.to_string_lossy().into_owned();
            return crate::sys::command::ChildProcesses.run_watched(cmd, line);
        }
        if cmd.program == "kubeadm" {
            self.ran.borrow_mut().push(cmd.args[0].clone());
        }
        Box::pin(async { Ok(crate::sys::Output::default()) })
    }
}

/// What the real kubeadm makes of a cluster file's clusterConfiguration: which of its commands ran, and how it ended.
async fn init_with(cluster: serde_json::Value) -> Option<(Vec<String>, Result<()>)> {
    use crate::render::kubeadm::init_config;
    let kubeadm = ha_test_support::real::of_kubernetes("kubeadm")?;
    let mut node = crate::testing::founder();
    node.kubernetes.version = ha_test_support::real::version_of_kubeadm(&kubeadm);
    node.kubernetes.cluster_configuration = cluster.as_object().unwrap().clone();
    let mut machine = crate::testing::fake_machine(node);
    let commands = std::rc::Rc::new(OnlyValidates {
        kubeadm,
        ran: Vec::new().into(),
    });
    machine.cx.sys.commands = commands.clone();
    let cx = &machine.cx;
    let token = random_token().unwrap();
    let text = init_config(&cx.node, machine_traits(cx), Some(&token), &[]);
    let config = config_file("init", text);
    let ended = run_kubeadm(cx, Phase::Init, &["init"], &config).await;
    assert!(!cx.sys.files.exists(&config.name), "it holds a token");
    Some((commands.ran.take(), ended))
}

#[tokio::test]
async fn what_kubeadm_refuses_is_for_a_person_and_nothing_is_begun_with_it() {
    let cases = [
        (
            serde_json::json!({"apiServer": {"extraArgs": {"audit-log-path": "/x"}}}),
            "json: cannot unmarshal object into Go struct field APIServer.apiServer.",
            "apiServer.extraArgs",
        ),
        (
            serde_json::json!({"networking": {"dnsDomain": "Cluster.Local"}}),
            "networking.dnsDomain: Invalid value: \"Cluster.Local\"",
            "networking.dnsDomain",
        ),
    ];
    for (cluster, word, path) in cases {
        let Some((ran, ended)) = init_with(cluster).await else {
            return;
        };
        let error = ended.unwrap_err();
        let words = format!("{error:#}");
        assert!(
            words.contains(word) && !words.contains("stack trace"),
            "{words}"
        );
        let found: &FailedBeneath = error.downcast_ref().expect(&words);
        assert!(found.is_final && found.found.part == "kubeadm");
        let path = path.to_owned();
        assert_eq!(found.found.origin, Some(Origin::Field { path }), "{words}");
        assert_eq!(ran, Vec::<String>::new(), "{words}");
    }
}

#[tokio::test]
async fn what_kubeadm_takes_is_run() {
    let good = serde_json::json!({"networking": {"dnsDomain": "cluster.local"}});
    let Some((ran, ended)) = init_with(good).await else {
        return;
    };
    ended.unwrap();
    assert_eq!(ran, ["init"]);
}
