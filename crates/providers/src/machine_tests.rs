//! For tests of real machines: how long they are waited for, and what a failed one shows.
//!
//! How long a boot takes depends on who else is at work: under TCG it was seen to take half a minute on an idle machine, and
//! six at a load of 13 on two processors with a busy disk. So a machine is given up when it stands still, or has had its share
//! of the processors, and not for being slow.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use ha_cluster_file::cluster::Node;
use ha_host_base::command::last_lines;
use ha_host_base::files::LockedFile;

use crate::{Machine, Power, Provider};

/// A machine that has said nothing and hardly computed for so long stands still.
const STILL: Duration = Duration::from_secs(300);
/// More than an idle guest uses in that time, less than one gets that shares two processors with thirty others.
const HARDLY: Duration = Duration::from_secs(15);
/// What all hypervisors together may compute until one thing is so: four times what a whole boot takes under TCG.
const WORK: Duration = Duration::from_secs(900);
/// In any case: a suite ends.
const LONGEST: Duration = Duration::from_secs(1800);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);
/// The kernel counts processor time in hundredths of a second (`getconf CLK_TCK`).
const TICK: Duration = Duration::from_millis(10);

/// What machines write while they work.
pub struct Evidence(pub Vec<PathBuf>);

impl Evidence {
    /// Waits until something is so, as long as the machines get on.
    pub fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let mut progress = Progress::new(Instant::now(), self.bytes(), hypervisors_work());
        while !done() {
            if let Some(why) = progress.given_up(Instant::now(), self.bytes(), hypervisors_work()) {
                panic!("{what}: given up, {why}");
            }
            std::thread::sleep(LOOK);
        }
    }

    /// For a test that fails: the last that every file says.
    pub fn show(&self) {
        for file in &self.0 {
            let text = std::fs::read(file).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            println!("--- the end of {}:\n{}", file.display(), last_lines(&text));
        }
    }

    /// At the end of a test, of a failed one, too.
    pub fn destroy(&self, provider: &dyn Provider) {
        if std::thread::panicking() {
            self.show();
        }
        let destroyed = provider.destroy();
        if !std::thread::panicking() {
            destroyed.unwrap();
        }
    }

    fn bytes(&self) -> u64 {
        let length = |file: &PathBuf| std::fs::metadata(file).map_or(0, |meta| meta.len());
        self.0.iter().map(length).sum()
    }
}

struct Progress {
    begun: (Instant, Duration),
    moved: (Instant, Duration),
    bytes: u64,
}

impl Progress {
    fn new(now: Instant, bytes: u64, work: Duration) -> Self {
        Self {
            begun: (now, work),
            moved: (now, work),
            bytes,
        }
    }

    /// Why there is nothing more to wait for; none: it gets on.
    fn given_up(&mut self, now: Instant, bytes: u64, work: Duration) -> Option<String> {
        // Processes that have ended take their count with them.
        if bytes != self.bytes || work < self.moved.1 || work - self.moved.1 >= HARDLY {
            (self.moved, self.bytes) = ((now, work), bytes);
        }
        let done = work.saturating_sub(self.begun.1);
        if now - self.moved.0 >= STILL {
            return Some(format!("nothing moves since {STILL:?}"));
        }
        if done >= WORK || now - self.begun.0 >= LONGEST {
            let waited = now - self.begun.0;
            return Some(format!("after {waited:.0?} and {done:.0?} of computing"));
        }
        None
    }
}

/// What the hypervisors of this pid namespace have computed so far.
fn hypervisors_work() -> Duration {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats = processes.filter_map(|p| std::fs::read_to_string(p.path().join("stat")).ok());
    stats.filter_map(|stat| hypervisor_work(&stat)).sum()
}

/// User and system time in `/proc/PID/stat`, if it is QEMU's.
fn hypervisor_work(stat: &str) -> Option<Duration> {
    let (head, rest) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    // Fields 14 and 15 of the manual page; the rest begins with field 3.
    let mut times = rest.split(' ').skip(11);
    let mut ticks = || times.next()?.parse::<u32>().ok();
    name.starts_with("qemu-system")
        .then_some(TICK * (ticks()? + ticks()?))
}

#[test]
fn a_slow_machine_is_waited_for_and_a_still_one_is_not() {
    let begun = Instant::now();
    let seconds = Duration::from_secs;
    let mut slow = Progress::new(begun, 0, Duration::ZERO);
    for minute in 1..29 {
        let now = begun + seconds(60 * minute);
        assert_eq!(slow.given_up(now, 0, seconds(4 * minute)), None, "{minute}");
    }
    assert!(
        slow.given_up(begun + seconds(1801), 0, seconds(120))
            .is_some()
    );
    let mut silent = Progress::new(begun, 7, seconds(50));
    assert_eq!(silent.given_up(begun + seconds(299), 7, seconds(60)), None);
    let why = silent.given_up(begun + seconds(300), 7, seconds(60));
    assert!(why.unwrap().contains("nothing moves"));
    let mut says = Progress::new(begun, 7, Duration::ZERO);
    assert_eq!(says.given_up(begun + seconds(299), 8, Duration::ZERO), None);
    assert_eq!(says.given_up(begun + seconds(598), 8, Duration::ZERO), None);
    let mut spins = Progress::new(begun, 7, seconds(50));
    assert_eq!(spins.given_up(begun + seconds(100), 7, seconds(949)), None);
    assert!(
        spins
            .given_up(begun + seconds(100), 7, seconds(950))
            .is_some()
    );
}

#[test]
fn processor_time_of_hypervisors_is_read() {
    let stat = |name: &str| {
        format!("7 ({name}) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0 4242 1000")
    };
    let work = hypervisor_work(&stat("qemu-system-x86"));
    assert_eq!(work, Some(Duration::from_secs(2)));
    assert_eq!(hypervisor_work(&stat("sh")), None);
}

/// The test whose function holds a closure of this type, as the test program calls it: without the crate.
pub fn test_around<T>() -> String {
    let path = std::any::type_name::<T>();
    let path = path.strip_suffix("::{{closure}}").unwrap_or(path);
    let (_, name) = path.split_once("::").unwrap();
    name.to_owned()
}

#[test]
fn a_test_knows_its_name() {
    fn name_of_test<T: Fn()>(_: T) -> String {
        test_around::<T>()
    }
    assert_eq!(name_of_test(|| ()), "machine_tests::a_test_knows_its_name");
}

/// Two ha-host switch a node on at the same time: it runs once, and who comes too late says why.
pub fn is_switched_on_by_two(one: &dyn Provider, two: &dyn Provider, node: &Node) {
    let start = Barrier::new(2);
    let switch_on = |provider: &dyn Provider| {
        start.wait();
        provider.power(node, Power::On)
    };
    let orders = std::thread::scope(|scope| {
        [one, two]
            .map(|provider| scope.spawn(move || switch_on(provider)))
            .map(|order| order.join().unwrap())
    });
    let errors = orders.iter().filter_map(|order| order.as_ref().err());
    let errors: Vec<String> = errors.map(|error| format!("{error:#}")).collect();
    assert!(
        errors.len() < 2 && errors.iter().all(|e| e.contains("another ha-host")),
        "{errors:?}"
    );
    assert_eq!(one.state(node).unwrap(), Machine::Running);
}

/// A node that is off runs no commands, and can be switched off again.
pub fn is_off(provider: &dyn Provider, node: &Node) {
    let refused = provider.exec(node, &["true"]).unwrap_err().to_string();
    assert!(refused.contains("does not run"), "{refused}");
    provider.power(node, Power::Off).unwrap();
    assert_eq!(provider.state(node).unwrap(), Machine::Off);
}

/// While another ha-host is at a node, nothing is done to it, and the message says so. `dir` is the cluster's state directory.
pub fn leaves_a_locked_node_alone(provider: &dyn Provider, node: &Node, dir: &Path) {
    let machines = dir.join("machines");
    std::fs::create_dir_all(&machines).unwrap();
    let lock = File::create(machines.join(format!("_lock.{}", node.name))).unwrap();
    lock.lock().unwrap();
    let lock = LockedFile::new(lock);
    let config = dir.join("no-such.ign");
    let orders = [
        provider.ensure(node, &config).map(drop),
        provider.power(node, Power::On),
        provider.power(node, Power::Off),
        provider.remove(node),
        provider.destroy(),
    ];
    for (at, order) in orders.into_iter().enumerate() {
        let error = format!("{:#}", order.expect_err(&format!("order {at} is obeyed")));
        assert!(error.contains("another ha-host"), "order {at}: {error}");
    }
    assert_eq!(provider.state(node).unwrap(), Machine::Off);
    drop(lock);
    provider.remove(node).unwrap();
    assert_eq!(provider.state(node).unwrap(), Machine::Absent);
}
