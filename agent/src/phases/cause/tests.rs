use anyhow::anyhow;
use ha_wire::event::{Beneath, Origin};

use super::*;
use crate::phases::{NeedsAPerson, kubeadm, preflight};
use crate::sys::Output;
use crate::testing::{self, FakeMachine};

const INIT: &str = "kubeadm init";
const QUOTA: &str = include_str!("../../../tests/captured/etcd-quota.log");
const SAYS: &str = r#"invalid value "8G" for flag -quota-backend-bytes: parse error"#;
const KUBELET_SAYS: &str = r#"E1126 07:41:58.580583    1676 run.go:72] "command failed" err="failed to decode: json: maxPods""#;

async fn run(machine: &FakeMachine) -> Result<()> {
    let config = kubeadm_run_config::config_file("init", "{}\n".to_owned());
    kubeadm::run_kubeadm(&machine.cx, Phase::Init, &["init"], &config).await
}

/// Seconds since the fake clock's begin, as the runtime writes them.
fn with_timestamps(text: &str, second: u64) -> String {
    let time = format!("2023-11-14T22:13:{:02}Z", 20 + second);
    let lines = text.lines().map(|line| line.split_once(' ').unwrap().1);
    lines.map(|line| format!("{time} {line}\n")).collect()
}

fn etcd_log(machine: &FakeMachine, number: u32, second: u64) {
    let name = format!("/var/log/pods/kube-system_etcd-node1_0a1b/etcd/{number}.log");
    machine.file(&name, &with_timestamps(QUOTA, second));
}

#[tokio::test]
async fn a_static_pod_that_ends_thrice_alike_ends_kubeadm_with_its_own_word() {
    let machine = testing::fake_machine(testing::founder());
    let _never = machine.commands.lasts(INIT);
    for (number, second) in [(0, 1), (1, 2), (2, 13)] {
        etcd_log(&machine, number, second);
    }
    let error = run(&machine).await.unwrap_err();
    let found: &FailedBeneath = error.downcast_ref().unwrap();
    let expected = Beneath {
        part: "etcd".to_owned(),
        does: "exits at its start, 3 times in 12 s".to_owned(),
        word: SAYS.to_owned(),
        origin: Some(Origin::Argument {
            name: "quota-backend-bytes".to_owned(),
        }),
    };
    assert_eq!((&found.found, found.is_final), (&expected, true));
    let took = machine.clock.0.get() - 1_700_000_000_000;
    assert!(took < 20_000, "{took} ms");
}

#[tokio::test]
async fn a_failure_of_kubeadms_carries_what_failed_beneath_it() {
    let machine = testing::fake_machine(testing::founder());
    let failed = CommandFailed {
        command: "kubeadm init".to_owned(),
        outcome: "exit code 1".to_owned(),
        code: Some(1),
        tail: vec!["error: timed out".to_owned()],
    };
    machine.commands.answer(INIT, Err(failed.into()));
    etcd_log(&machine, 0, 1);
    etcd_log(&machine, 1, 2);
    etcd_log(&machine, 2, 3);
    let error = run(&machine).await.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        format!(
            "etcd exits at its start, 2 times in 1 s: {SAYS}: kubeadm init: exit code 1: error: timed out"
        )
    );
    assert!(!error.downcast_ref::<FailedBeneath>().unwrap().is_final);
}

#[tokio::test]
async fn a_failure_with_nothing_beneath_it_is_left_as_it_is() {
    let machine = testing::fake_machine(testing::founder());
    machine.commands.answer(INIT, Err(anyhow!("no disk")));
    let error = run(&machine).await.unwrap_err();
    assert_eq!(format!("{error:#}"), "no disk");
}

/// How systemd and the journal show a kubelet that died `restarts + 1` times.
fn kubelet_died(machine: &FakeMachine, restarts: u32) {
    // It died before anybody looked, and then each ten seconds.
    let died = 1_700_000_001 + u64::from(restarts) * 10;
    let stdout = format!(
        "ActiveState=activating\nNRestarts={restarts}\nInvocationID=run{restarts}\n\
         ExecMainStartTimestamp=@{died}\nExecMainExitTimestamp=@{died}\n"
    );
    machine
        .commands
        .answer("systemctl show", Ok(Output { stdout }));
    let stdout = format!("I1126 07:41:58.1    1676 a.go:1] \"x\"\n{KUBELET_SAYS}\n");
    let journal = format!("journalctl _SYSTEMD_INVOCATION_ID=run{restarts}");
    machine.commands.answer(&journal, Ok(Output { stdout }));
}

#[tokio::test]
async fn a_kubelet_that_refuses_its_configuration_ends_kubeadm() {
    let machine = testing::fake_machine(testing::founder());
    let _never = machine.commands.lasts(INIT);
    for restarts in 0..3 {
        kubelet_died(&machine, restarts);
    }
    let error = run(&machine).await.unwrap_err();
    let found: &FailedBeneath = error.downcast_ref().unwrap();
    assert!(found.is_final);
    assert_eq!(found.found.part, "kubelet");
    assert_eq!(found.found.does, "exits at its start, 3 times in 20 s");
    assert_eq!(found.found.word, "failed to decode: json: maxPods");
    let told = machine.events();
    let told = told.iter().filter_map(|e| e["lastError"].as_str());
    let told: Vec<&str> = told.collect();
    assert!(
        told.contains(&"kubelet exits at its start: failed to decode: json: maxPods"),
        "told while kubeadm waits: {told:?}"
    );
}

#[tokio::test]
async fn a_kubelet_that_cannot_start_a_pod_is_quoted() {
    let machine = testing::fake_machine(testing::founder());
    let stdout = "ActiveState=active\nInvocationID=run0\n".to_owned();
    machine
        .commands
        .answer("systemctl show", Ok(Output { stdout }));
    let stdout = r#"E1126 07:00:00.0 123 pod_workers.go:1324] "Error syncing pod, skipping" err="failed to \"StartContainer\" for \"etcd\" with ErrImagePull: \"not found\"" pod="kube-system/etcd-node1" podUID="0a"
E1126 07:00:01.0 123 nodelease.go:49] "Failed to get node" err="connection refused"
"#;
    let answer = Ok(Output {
        stdout: stdout.to_owned(),
    });
    machine
        .commands
        .answer("journalctl _SYSTEMD_INVOCATION_ID=run0", answer);
    machine.commands.answer(INIT, Err(anyhow!("timed out")));
    let error = run(&machine).await.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "kubelet cannot start etcd: failed to \"StartContainer\" for \"etcd\" with ErrImagePull: \"not found\": timed out"
    );
}

#[tokio::test]
async fn a_runtime_without_cri_is_named_before_kubeadm_begins() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let machine = testing::fake_machine(testing::founder());
    let socket = machine.cx.sys.files.path("/run/containerd/containerd.sock");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let serve = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 24]).await.unwrap();
            let refused = include_bytes!("../../../tests/captured/cri-refused.http2");
            stream.write_all(refused).await.unwrap();
        }
    };
    let error = tokio::select! {
        ended = run(&machine) => ended.unwrap_err(),
        () = serve => unreachable!(),
    };
    let found: &FailedBeneath = error.downcast_ref().unwrap();
    assert!(found.is_final && found.found.part == "containerd");
    let words = format!("{error:#}");
    let answer = &cri::RuntimeAnswer::NoCri;
    let check = preflight::runtime::check_runtime(&machine.cx.node, answer).unwrap();
    let (of_unit, remedy) = (check.reason.replace(".service", ""), check.remedy);
    assert_eq!(
        words,
        format!("{of_unit}: {remedy}"),
        "preflight's own words"
    );
    assert_eq!(machine.orders(), Vec::<String>::new());
    assert!(!error.is::<NeedsAPerson>());
}
