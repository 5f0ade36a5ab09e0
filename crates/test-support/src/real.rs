//! The real programs that judge what is written. A test whose program is missing fails: passing without a word it
//! would look like proof. Whoever cannot have them sets `HA_WITHOUT_REAL=1`, and is told what was skipped.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Set to 1: a test whose real program is missing is skipped instead of failing.
const WITHOUT: &str = "HA_WITHOUT_REAL";
/// Where daemons lie, which a user's PATH leaves out.
const SBIN: [&str; 2] = ["/usr/sbin", "/sbin"];
/// As root, else as the root of a user namespace.
const NAMESPACES: [&str; 2] = ["-n", "-Urn"];

/// A program of a Debian package.
pub fn require_program(name: &str, package: &str) -> Option<PathBuf> {
    let remedy = format!("install Debian's package {package}, or call `make need`");
    require_found(in_path(name), name, &remedy)
}

/// The same, as a command that is ready for its arguments.
pub fn require_command(name: &str, package: &str) -> Option<Command> {
    require_program(name, package).map(Command::new)
}

/// The same program of this machine, and of each Debian that the lab has it of (`lab/judges.sh`).
pub fn programs_in_every_suite(name: &str, package: &str) -> Vec<PathBuf> {
    let judges = lab_directory().join("judges");
    let suites = std::fs::read_dir(judges).into_iter().flatten().flatten();
    let mut others: Vec<PathBuf> = suites
        .map(|suite| suite.path().join("judge").join(name))
        .filter(|path| path.is_file())
        .collect();
    others.sort_unstable();
    let others = Some(others).filter(|others| !others.is_empty());
    let what = format!("{name} of other Debians");
    let others = require_found(others, &what, "call `make lab` (`make test` does)");
    require_program(name, package)
        .into_iter()
        .chain(others.unwrap_or_default())
        .collect()
}

/// A program of Kubernetes: what `HA_KUBEADM` (or the like) names, else the one in the directory `HA_KUBE`, else the lab's, else
/// the first in PATH.
pub fn of_kubernetes(name: &str) -> Option<PathBuf> {
    let variable = format!("HA_{}", name.to_uppercase());
    if let Some(named) = std::env::var_os(&variable) {
        return Some(named.into());
    }
    if let Some(dir) = std::env::var_os("HA_KUBE") {
        let at = Some(Path::new(&dir).join(name)).filter(|path| path.is_file());
        return require_found(at, name, "name a directory that has it in HA_KUBE");
    }
    let at = Some(lab_directory().join("kube").join(name)).filter(|path| path.is_file());
    let remedy = format!("call `make lab-kube` (`make test` does), or name one in {variable}");
    require_found(at.or_else(|| in_path(name)), name, &remedy)
}

/// A program of a part of the lab.
pub fn of_lab(path: &str, call: &str) -> Option<PathBuf> {
    let at = Some(lab_directory().join(path)).filter(|at| at.is_file());
    require_found(at, path, &format!("call `{call}`"))
}

/// A program of the lab's operator's root, run in that root with `dir` as its `/mnt`; root alone can.
pub fn in_operators_root(program: &str, dir: &Path) -> Option<Command> {
    let at = of_lab(&format!("operator/root{program}"), "make lab")?;
    let root = lab_directory().join("operator/root");
    assert!(at.starts_with(&root));
    let mut command = Command::new("unshare");
    let enter =
        "mount --bind \"$1\" \"$0/mnt\" && root=$0 && shift && exec chroot \"$root\" \"$@\"";
    command.args(["-m", "sh", "-c", enter]);
    command.arg(root).arg(dir).arg(program);
    Some(command)
}

fn lab_directory() -> PathBuf {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab/out");
    std::env::var_os("HA_LAB").map_or_else(here, PathBuf::from)
}

/// The version that a kubeadm calls its own, e.g. `1.36.3`. It takes configurations of its minor and the one before alone.
pub fn version_of_kubeadm(kubeadm: &Path) -> String {
    let mut version = Command::new(kubeadm);
    let said = version.args(["version", "-o", "short"]).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    said.trim().trim_start_matches('v').to_owned()
}

/// `unshare`, told to give a command a network namespace of its own and root's rights in it.
pub fn own_network() -> Option<Command> {
    let unshare = require_program("unshare", "util-linux")?;
    let works = |flag: &&str| {
        let mut try_it = Command::new(&unshare);
        try_it.args([*flag, "true"]).stderr(Stdio::null());
        try_it.status().is_ok_and(|status| status.success())
    };
    let flag = NAMESPACES.into_iter().find(works);
    let remedy = "be root, or allow user namespaces (sysctl user.max_user_namespaces; on Ubuntu \
                kernel.apparmor_restrict_unprivileged_userns=0)";
    let flag = require_found(flag, "a network namespace for `keepalived -t`", remedy)?;
    let mut command = Command::new(unshare);
    command.arg(flag);
    Some(command)
}

/// Whether this is root, without whom a test can do nothing that `does` this.
pub fn is_root(does: &str) -> bool {
    let root = nix::unistd::geteuid().is_root().then_some(());
    let what = format!("root (this test {does})");
    require_found(root, &what, "run it as root (`make test` does)").is_some()
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SBIN.map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

fn require_found<T>(it: Option<T>, what: &str, remedy: &str) -> Option<T> {
    let without = std::env::var_os(WITHOUT).is_some_and(|set| set == "1");
    match skip_or_fail(it, what, remedy, without) {
        Ok(it) => Some(it),
        Err(Missing::Skip(words)) => {
            // Not `eprintln`: of a test that passes, that is never shown.
            let _ = writeln!(std::io::stderr(), "{words}");
            None
        }
        Err(Missing::Fail(words)) => panic!("{words}"),
    }
}

/// What to do without it.
#[derive(Debug, PartialEq, Eq)]
enum Missing {
    /// Say so and pass.
    Skip(String),
    /// Fail with these words.
    Fail(String),
}

fn skip_or_fail<T>(it: Option<T>, what: &str, remedy: &str, without: bool) -> Result<T, Missing> {
    it.ok_or_else(|| match without {
        true => Missing::Skip(format!("skipped ({WITHOUT}=1): {what} is not there")),
        false => Missing::Fail(format!(
            "{what} is not there: {remedy}; {WITHOUT}=1 skips what needs it"
        )),
    })
}

#[test]
fn what_is_missing_fails_unless_it_may_be_missing() {
    let none = None::<()>;
    assert_eq!(skip_or_fail(Some(()), "x", "", false), Ok(()));
    assert_eq!(
        skip_or_fail(none, "haproxy", "call `make need`", false),
        Err(Missing::Fail(
            "haproxy is not there: call `make need`; HA_WITHOUT_REAL=1 skips what needs it".into()
        ))
    );
    assert_eq!(
        skip_or_fail(none, "haproxy", "", true),
        Err(Missing::Skip(
            "skipped (HA_WITHOUT_REAL=1): haproxy is not there".into()
        ))
    );
}
/// What the program says of this text on its standard input.
pub fn output_for_stdin(mut program: Command, text: &str) -> Output {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Dropped at once: the program sees the end. One that has made up its mind early need not read it all.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    child.wait_with_output().unwrap()
}
