//! Tests that need QEMU, libvirt or the guest agent run in the lab's operator machine (`make lab`; lab/operator/hold): each
//! starts itself again in there, in namespaces of its own, and everything of it dies with the test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::machine_tests::test_around;

/// Names the directory of the lab's artefacts, `lab/out`.
const LAB: &str = "HA_OPERATOR";
/// Set in the second life of a test: its scratch directory, the same inside and outside.
const INSIDE: &str = "HA_TEST_INSIDE";

/// Left in the scratch directory by a second life: that it has run at all.
const HAS_RUN: &str = "has-run";

/// Runs `test`, a closure in a test's own function, in an operator machine, as its ordinary user or as root.
pub fn run_in_operator_machine<T: Fn()>(root: bool, test: T) {
    if std::env::var_os(INSIDE).is_some() {
        std::fs::write(shared_dir().join(HAS_RUN), "").unwrap();
        return test();
    }
    let name = test_around::<T>();
    let lab = std::env::var(LAB).expect("HA_OPERATOR names lab/out");
    let dir = tempfile::tempdir().unwrap();
    let shared = dir.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&shared, open).unwrap();
    let this = std::env::current_exe().unwrap();
    let target = this.ancestors().nth(2).unwrap();
    let lab = Path::new(&lab);
    let vm = lab.join("vm").canonicalize().unwrap();
    let hold = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab/operator/hold");
    let mut machine = Command::new("unshare")
        .args([
            "-m",
            "-n",
            "-p",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
            "--",
        ])
        .arg(hold)
        .arg(lab.join("operator/root"))
        .args([dir.path(), &shared, target, &vm])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(machine.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    let pid = said
        .trim()
        .strip_prefix("ready ")
        .expect("the operator machine is ready")
        .to_owned();
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid, "-m", "-n", "-p", "-r", "-w", "--"]);
    if !root {
        command.args([
            "setpriv",
            "--reuid",
            "1000",
            "--regid",
            "1000",
            "--init-groups",
        ]);
    }
    let status = command
        .args([
            "env",
            "HOME=/home/operator",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        ])
        .arg(format!("{INSIDE}={}", shared.display()))
        .arg(format!("HA_VM={}", vm.display()))
        .arg(&this)
        .args(["--exact", "--ignored", "--nocapture", &name])
        .status()
        .unwrap();
    // The end of its stdin is the end of the machine.
    drop(machine.stdin.take());
    machine.wait().unwrap();
    assert!(status.success(), "{name} failed in the operator machine");
    // The test program is content when it finds no test of that name.
    assert!(
        shared.join(HAS_RUN).exists(),
        "{name} was not found in the operator machine"
    );
}

/// Where a test may write, in the operator machine.
pub fn shared_dir() -> std::path::PathBuf {
    std::env::var_os(INSIDE)
        .expect("in the operator machine")
        .into()
}
