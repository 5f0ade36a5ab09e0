//! A real libvirtd that is killed, hangs or answers nonsense in the middle of a launch and of a destroy: at some of their calls,
//! or at every single one (`HA_CUTS=1/1`). Nobody's machine is lost, and what was cut off is finished by the next.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use super::*;

/// What happens to the daemon or its answer.
const HOWS: [&str; 6] = [
    "killed",
    "killed-after",
    "hung",
    "lost",
    "nonsense",
    "silent",
];
/// So long a daemon that hangs is waited for.
const PATIENCE: Duration = Duration::from_secs(4);

/// A stranger's cluster that runs, and ours, behind a virsh that can be cut off.
struct CutFixture {
    stranger: LibvirtFixture,
    ours: LibvirtFixture,
    /// All that libvirt has while ours is not there.
    before: String,
    whole: Vec<String>,
}

impl CutFixture {
    fn new() -> Self {
        install_cutter();
        let bridge = ["link", "add", "br9", "type", "bridge"];
        assert!(Command::new("ip").args(bridge).status().unwrap().success());
        let mut stranger = LibvirtFixture::with_tiny_image(", network: {bridge: br9}");
        stranger.cluster.name = "u".into();
        stranger.provider = libvirt_provider(&stranger.cluster, stranger.dir.path());
        stranger.provider.prepare().unwrap();
        stranger.ensure(0).unwrap();
        // Ours is made from another image, so that the end of it can be seen.
        let image = operator_machine::shared_dir().join("other.img");
        let mut bytes = std::fs::read(write_tiny_image()).unwrap();
        bytes.extend([0; 512]);
        std::fs::write(&image, bytes).unwrap();
        let ours = LibvirtFixture::new(&format!("{{path: {}}}", image.display()), "");
        let mut fixture = Self {
            stranger,
            ours,
            before: list_everything(),
            whole: Vec::new(),
        };
        fixture.whole = process_and_disks("u-one");
        fixture
    }

    fn own_provider(&self) -> Libvirt {
        libvirt_provider(&self.ours.cluster, self.ours.dir.path())
    }

    /// For what is cut off: whole calls may take longer on a busy machine.
    fn impatient_provider(&self) -> Libvirt {
        self.own_provider().with_patience(PATIENCE)
    }

    fn launch(&self, nodes: usize) -> Result<()> {
        self.launch_by(self.own_provider(), nodes)
    }

    fn launch_by(&self, provider: Libvirt, nodes: usize) -> Result<()> {
        provider.preflight()?;
        provider.prepare()?;
        for node in &self.ours.cluster.nodes[..nodes] {
            provider.ensure(node, &self.ours.ignition())?;
        }
        Ok(())
    }

    fn assert_stranger_is_whole(&self, when: &str) {
        assert_eq!(process_and_disks("u-one"), self.whole, "{when}");
        let state = self.stranger.provider.state(self.stranger.node(0)).unwrap();
        assert_eq!(state, Machine::Running, "{when}");
        let kept = |thing: &&str| {
            list_everything()
                .split_whitespace()
                .any(|there| there == *thing)
        };
        let lost: Vec<&str> = self
            .before
            .split_whitespace()
            .filter(|t| !kept(t))
            .collect();
        assert_eq!(lost, [""; 0], "{when}");
    }
}

/// The process of a machine, and which files its disks are.
fn process_and_disks(domain: &str) -> Vec<String> {
    let pid = std::fs::read_to_string(format!("/run/libvirt/qemu/{domain}.pid")).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap();
    assert!(stat.contains("(qemu-system"), "{stat}");
    let disks = run_virsh(&format!("domblklist {domain}"));
    let paths = disks
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    let files = paths.map(|p| format!("{p} {}", std::fs::metadata(p).unwrap().ino()));
    std::iter::once(pid).chain(files).collect()
}

fn install_cutter() {
    let program = Path::new("/usr/sbin/virsh");
    std::fs::create_dir_all("/run/cuts").unwrap();
    cut_call(0, "whole");
    std::fs::write(program, include_str!("virsh-cut.sh")).unwrap();
    std::fs::set_permissions(program, PermissionsExt::from_mode(0o755)).unwrap();
}

fn cut_call(at: usize, how: &str) {
    for (file, text) in [
        ("n", "0".into()),
        ("calls", String::new()),
        ("cut", format!("{at} {how}\n")),
    ] {
        std::fs::write(Path::new("/run/cuts").join(file), text).unwrap();
    }
}

fn heal_libvirtd() {
    cut_call(0, "whole");
    let pid = std::fs::read_to_string("/run/libvirtd.pid").unwrap();
    // It may be dead; then it is started.
    let _ = Command::new("kill").args(["-CONT", pid.trim()]).output();
    start_libvirtd();
}

fn recorded_calls() -> Vec<String> {
    let text = std::fs::read_to_string("/run/cuts/calls").unwrap();
    text.lines().map(String::from).collect()
}

/// Which calls are cut off, and how: all of both, or so many of them, spread evenly.
fn chosen_cuts(whole: usize, some: usize) -> Vec<(usize, &'static str)> {
    if let Some((which, of)) = share_of_every_cut() {
        let all = (1..=whole).flat_map(|at| HOWS.map(|how| (at, how)));
        return all.skip(which - 1).step_by(of).collect();
    }
    let spread = (0..some).map(|i| (1 + i * (whole - 1) / (some - 1), HOWS[i % HOWS.len()]));
    spread.collect()
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn a_launch_that_is_cut_off_at_a_call() {
    operator_machine::run_in_operator_machine(true, || {
        let fixture = CutFixture::new();
        cut_call(0, "whole");
        fixture.launch(1).unwrap();
        let whole = recorded_calls().len();
        fixture.own_provider().destroy().unwrap();
        assert_eq!(list_everything(), fixture.before);
        for (at, how) in chosen_cuts(whole, 6) {
            cut_call(at, how);
            let launched = fixture.launch_by(fixture.impatient_provider(), 1);
            let when = format!("{how} at {at}: {launched:?} {:#?}", recorded_calls());
            heal_libvirtd();
            fixture.assert_stranger_is_whole(&when);
            fixture
                .launch(1)
                .unwrap_or_else(|e| panic!("{when}: {e:#}"));
            let state = fixture.own_provider().state(fixture.ours.node(0)).unwrap();
            assert_eq!(state, Machine::Running, "{when}");
            fixture.own_provider().destroy().unwrap();
            assert_eq!(list_everything(), fixture.before, "{when}");
            fixture.assert_stranger_is_whole(&when);
            println!("{how} at {at} of {whole}: launched again");
        }
    });
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn a_launch_of_what_runs_that_is_cut_off_at_a_call() {
    operator_machine::run_in_operator_machine(true, || {
        let fixture = CutFixture::new();
        fixture.launch(2).unwrap();
        let both = || [process_and_disks("t-one"), process_and_disks("t-two")];
        let running = both();
        cut_call(0, "whole");
        fixture.launch(2).unwrap();
        for (at, how) in chosen_cuts(recorded_calls().len(), 4) {
            cut_call(at, how);
            let launched = fixture.launch_by(fixture.impatient_provider(), 2);
            let when = format!("{how} at {at}: {launched:?} {:#?}", recorded_calls());
            heal_libvirtd();
            assert_eq!(both(), running, "{when}");
            fixture.assert_stranger_is_whole(&when);
        }
        fixture.launch(2).unwrap();
        assert_eq!(both(), running);
        fixture.own_provider().destroy().unwrap();
        assert_eq!(list_everything(), fixture.before);
    });
}

#[test]
#[ignore = "needs root and HA_OPERATOR"]
fn a_destroy_that_is_cut_off_at_a_call() {
    operator_machine::run_in_operator_machine(true, || {
        let fixture = CutFixture::new();
        fixture.launch(2).unwrap();
        cut_call(0, "whole");
        fixture.own_provider().destroy().unwrap();
        let whole = recorded_calls().len();
        assert_eq!(list_everything(), fixture.before);
        for (at, how) in chosen_cuts(whole, 6) {
            fixture.launch(2).unwrap();
            cut_call(at, how);
            let destroyed = fixture.impatient_provider().destroy();
            let when = format!("{how} at {at}: {destroyed:?} {:#?}", recorded_calls());
            heal_libvirtd();
            fixture.assert_stranger_is_whole(&when);
            match destroyed {
                Ok(()) => assert_eq!(list_everything(), fixture.before, "{when}"),
                Err(_) => assert!(
                    fixture
                        .own_provider()
                        .machines
                        .join("libvirt.json")
                        .exists(),
                    "{when}"
                ),
            }
            fixture
                .own_provider()
                .destroy()
                .unwrap_or_else(|e| panic!("{when}: {e:#}"));
            assert_eq!(list_everything(), fixture.before, "{when}");
            fixture.assert_stranger_is_whole(&when);
            println!("{how} at {at} of {whole}: destroyed");
        }
    });
}
