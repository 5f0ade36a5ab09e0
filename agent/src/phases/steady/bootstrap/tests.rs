use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ha_test_support::real;

use super::*;
use crate::kube::testing::{run_local, test_authority};
use crate::kube::{KUBELET_CONF, KUBELET_PEM, kubeconfig};
use crate::testing::{self, FakeMachine};

const WAL: &str = "/var/lib/etcd/member/wal/0000000000000000-0000000000000000.wal";
/// As kubeadm writes it on a founder, as far as etcd needs it.
const OPEN: &str = "\
spec:
  containers:
  - command:
    - etcd
    - --advertise-client-urls=http://127.245.0.11:2379
    - --data-dir=/var/lib/etcd
    - --initial-advertise-peer-urls=http://127.245.0.11:2380
    - --initial-cluster=node1=http://127.245.0.11:2380
    - --listen-client-urls=http://127.245.0.11:2379
    - --listen-peer-urls=http://127.245.0.11:2380
    - --name=node1
";

/// As kubeadm leaves it when an apiserver has signed for the kubelet.
fn write_signed_kubelet_conf(machine: &FakeMachine) {
    let ca = test_authority("kubernetes");
    let text = kubeconfig::render_with_file("https://10.77.0.11:6443", ca.cert(), KUBELET_PEM);
    machine.file(KUBELET_CONF, text.expose());
    machine.file(KUBELET_PEM, "");
}

/// A founder whose cluster stands.
fn founded_machine() -> FakeMachine {
    let machine = testing::fake_machine(testing::founder());
    write_signed_kubelet_conf(&machine);
    machine.file(&pod_manifest("etcd"), OPEN);
    machine
}

fn is_open(machine: &FakeMachine) -> bool {
    can_bootstrap(&read_manifest(&machine.cx).unwrap())
}

#[test]
fn a_booting_member_is_closed_before_its_kubelet_starts() {
    for has_data in [true, false] {
        run_local(async {
            let machine = founded_machine();
            if has_data {
                machine.file(WAL, "");
            }
            assert!(close_before_start(&machine.cx).await.unwrap());
            assert!(!is_open(&machine));
            assert!(!close_before_start(&machine.cx).await.unwrap(), "once");
        });
    }
}

#[test]
fn an_init_that_goes_on_and_a_single_control_plane_are_left_alone() {
    run_local(async {
        let fresh = testing::fake_machine(testing::founder());
        fresh.file(&pod_manifest("etcd"), OPEN);
        let resumed = founded_machine();
        resumed.file(ha_wire::paths::IDENTITY_KEY, "");
        resumed.file(WAL, "");
        let mut node = testing::founder();
        node.control_planes.truncate(1);
        let single = testing::fake_machine(node);
        write_signed_kubelet_conf(&single);
        single.file(&pod_manifest("etcd"), OPEN);
        for machine in [fresh, resumed, single] {
            assert!(!close_before_start(&machine.cx).await.unwrap());
            assert!(check_data(&machine.cx).is_ok());
            assert!(is_open(&machine));
        }
    });
}

#[test]
fn lost_data_are_named_and_the_manifest_is_closed_at_once() {
    let machine = founded_machine();
    machine.file(WAL, "");
    assert!(check_data(&machine.cx).is_ok());
    assert!(is_open(&machine), "a changed manifest restarts etcd");
    machine.cx.sys.files.remove_file(WAL).unwrap();
    let error = check_data(&machine.cx).unwrap_err().to_string();
    assert!(
        error.contains("/var/lib/etcd/member/wal holds no data"),
        "{error}"
    );
    assert!(!is_open(&machine));
}

/// Ends with the test.
struct Etcd(Child);

impl Etcd {
    /// The real one, with the arguments of a manifest and its data in this directory.
    fn start(program: &Path, manifest: &str, data: &Path) -> Self {
        let arguments = manifest
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- --"));
        let mut command = Command::new(program);
        for argument in arguments.filter(|a| !a.starts_with("data-dir=")) {
            command.arg(format!("--{argument}"));
        }
        command.arg("--data-dir").arg(data);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Whether it serves clients before it ends.
    fn serves(&mut self) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(60) {
            if is_healthy() {
                return true;
            }
            if self.0.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("etcd neither serves nor ends");
    }
}

/// It accepts connections before it knows whether it has a cluster.
fn is_healthy() -> bool {
    let Ok(mut stream) = TcpStream::connect("127.245.0.11:2379") else {
        return false;
    };
    let request = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    let patience = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let asked = patience.and_then(|()| stream.write_all(request));
    asked.is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.contains(r#""health":"true""#)
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn the_real_etcd_begins_nothing_with_a_closed_manifest_and_goes_on_with_its_data() {
    let Some(etcd) = real::of_kubernetes("etcd") else {
        return;
    };
    let closed = without_bootstrap(OPEN);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("etcd");
    let mut without_data = Etcd::start(&etcd, &closed, &data);
    assert!(!without_data.serves(), "an empty cluster");
    drop(without_data);
    assert!(
        Etcd::start(&etcd, OPEN, &data).serves(),
        "as kubeadm leaves it"
    );
    assert!(Etcd::start(&etcd, &closed, &data).serves(), "with its data");
}
