//! What the kernel counts and limits: inotify, processes, open files, tracked connections, loop devices.

use crate::phases::preflight::capacity::Gauge;
use crate::sys::files::Files;

/// Where the kernel's limits are.
const SYS: &str = "/proc/sys";

/// Every counter that can be read; in a container those of the host are the host's.
pub fn counter_gauges(files: &Files) -> Vec<Gauge> {
    let mut gauges = inotify_gauges(files);
    gauges.extend(
        [
            thread_gauge(files),
            open_files(files),
            connection_gauge(files),
            loop_device_gauge(files),
        ]
        .into_iter()
        .flatten(),
    );
    gauges
}

fn gauge_of(name: &str, used: u64, limit: u64, effect: &'static str) -> Gauge {
    Gauge {
        name: name.into(),
        used,
        limit,
        none_left: limit / 100,
        effect,
        command: String::new(),
        remedy: String::new(),
    }
}

/// What a limit's gauge says about the setting that raises it.
fn raised_by(mut gauge: Gauge, setting: &str, used_in: &str) -> Gauge {
    let enough = gauge.limit.max(gauge.used).saturating_mul(2);
    gauge.command = format!("sysctl {setting}; cat {used_in}");
    gauge.remedy = format!(
        "sysctl -w {setting}={enough} (on the host, for a container), and a file in /etc/sysctl.d"
    );
    gauge
}

fn read_number(files: &Files, name: &str) -> Option<u64> {
    files
        .read(&format!("{SYS}/{name}"))
        .ok()??
        .trim()
        .parse()
        .ok()
}

/// Instances and watches of root's processes, as far as they are to be seen.
fn inotify_gauges(files: &Files) -> Vec<Gauge> {
    let (instances, watches) = count_inotify(files);
    let limit = |name: &str| read_number(files, &format!("fs/inotify/{name}"));
    let effect =
        "the kubelet and pods that watch files fail with `too many open files` or `no space left`";
    let used_in = "/proc/*/fdinfo/* | grep -c ^inotify";
    let one = |name: &str, used: u64, setting: &str| {
        let gauge = gauge_of(name, used, limit(setting)?, effect);
        Some(raised_by(gauge, &format!("fs.inotify.{setting}"), used_in))
    };
    let all = [
        one("inotify instances", instances, "max_user_instances"),
        one("inotify watches", watches, "max_user_watches"),
    ];
    all.into_iter().flatten().collect()
}

fn count_inotify(files: &Files) -> (u64, u64) {
    let (mut instances, mut watches) = (0, 0);
    for process in files.names("/proc").unwrap_or_default() {
        if !process.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        for fd in files
            .names(&format!("/proc/{process}/fd"))
            .unwrap_or_default()
        {
            let link = files.link_target(&format!("/proc/{process}/fd/{fd}"));
            if link.is_some_and(|link| link.as_os_str() == "anon_inode:inotify") {
                instances += 1;
                let info = files.read(&format!("/proc/{process}/fdinfo/{fd}"));
                let info = info.ok().flatten().unwrap_or_default();
                watches += info.lines().filter(|l| l.starts_with("inotify")).count() as u64;
            }
        }
    }
    (instances, watches)
}

/// All threads of the machine, against the smaller of the kernel's two limits.
fn thread_gauge(files: &Files) -> Option<Gauge> {
    let load = files.read("/proc/loadavg").ok()??;
    let (_, all) = load.split_whitespace().nth(3)?.split_once('/')?;
    let most = |name| read_number(files, name);
    let limit = most("kernel/pid_max")?.min(most("kernel/threads-max")?);
    let effect = "no process can be started";
    let gauge = gauge_of("process ids", all.parse().ok()?, limit, effect);
    Some(raised_by(gauge, "kernel.pid_max", "/proc/loadavg"))
}

fn open_files(files: &Files) -> Option<Gauge> {
    let text = files.read("/proc/sys/fs/file-nr").ok()??;
    let mut numbers = text.split_whitespace().map(str::parse);
    let (used, limit) = (numbers.next()?.ok()?, numbers.nth(1)?.ok()?);
    let gauge = gauge_of(
        "open files",
        used,
        limit,
        "no file or connection can be opened",
    );
    Some(raised_by(gauge, "fs.file-max", "/proc/sys/fs/file-nr"))
}

fn connection_gauge(files: &Files) -> Option<Gauge> {
    let (used, limit) = (
        "net/netfilter/nf_conntrack_count",
        "net/netfilter/nf_conntrack_max",
    );
    let (used, limit) = (read_number(files, used)?, read_number(files, limit)?);
    let gauge = gauge_of(
        "tracked connections",
        used,
        limit,
        "new connections are dropped",
    );
    let used_in = "/proc/sys/net/netfilter/nf_conntrack_count";
    Some(raised_by(gauge, "net.netfilter.nf_conntrack_max", used_in))
}

/// Only where the kernel cannot make new ones in /dev: a container has as many as it was given, and systemd-sysext needs one for
/// each image.
fn loop_device_gauge(files: &Files) -> Option<Gauge> {
    let mounts = files.read("/proc/self/mountinfo").ok()??;
    if !mounts.lines().any(is_own_dev) {
        return None;
    }
    let devices = files.names("/dev").unwrap_or_default();
    let numbers: Vec<&str> = devices
        .iter()
        .filter_map(|d| d.strip_prefix("loop"))
        .collect();
    let numbers: Vec<&str> = numbers
        .into_iter()
        .filter(|n| n.parse::<u32>().is_ok())
        .collect();
    let bound = |number: &&&str| files.exists(&format!("/sys/block/loop{number}/loop"));
    let used = numbers.iter().filter(bound).count() as u64;
    let effect = "systemd-sysext merges nothing at the next boot";
    let mut gauge = gauge_of("loop devices", used, numbers.len() as u64, effect);
    gauge.command = "losetup -a".into();
    gauge.remedy =
        "on the host, take down what holds loop devices and is not used (losetup -d)".into();
    Some(gauge)
}

/// A line of mountinfo for /dev as a file system of its own kind.
fn is_own_dev(line: &str) -> bool {
    let kind = line
        .split(" - ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    line.split(' ').nth(4) == Some("/dev") && kind == Some("tmpfs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phases::preflight::check::Verdict;
    use crate::testing::{self, FakeMachine};

    fn machine(files: &[(&str, &str)]) -> FakeMachine {
        let machine = testing::fake_machine(testing::worker());
        for (name, text) in files {
            machine.file(name, text);
        }
        machine
    }

    fn unwell(machine: &FakeMachine) -> Vec<(String, Verdict)> {
        let gauges = counter_gauges(&machine.cx.sys.files);
        let checks = gauges.iter().map(Gauge::check);
        let told = checks.filter(|c| c.verdict != Verdict::Pass);
        told.inspect(|c| assert!(!c.remedy.is_empty() && !c.command.is_empty(), "{c:?}"))
            .map(|c| (c.name, c.verdict))
            .collect()
    }

    #[test]
    fn each_counter_is_held_against_its_limit() {
        let well = [
            ("/proc/loadavg", "0.1 0.2 0.3 2/300 4242\n"),
            ("/proc/sys/kernel/pid_max", "4194304\n"),
            ("/proc/sys/kernel/threads-max", "30000\n"),
            ("/proc/sys/fs/file-nr", "2000\t0\t9223372036854775807\n"),
            ("/proc/sys/net/netfilter/nf_conntrack_count", "300\n"),
            ("/proc/sys/net/netfilter/nf_conntrack_max", "131072\n"),
        ];
        assert_eq!(unwell(&machine(&well)), []);
        for (file, text, name, verdict) in [
            (
                "/proc/loadavg",
                "0 0 0 2/29999 7\n",
                "process ids",
                Verdict::Fail,
            ),
            (
                "/proc/sys/fs/file-nr",
                "950 0 1000\n",
                "open files",
                Verdict::Warn,
            ),
            (
                "/proc/sys/net/netfilter/nf_conntrack_count",
                "131072\n",
                "tracked connections",
                Verdict::Fail,
            ),
        ] {
            let machine = machine(&well);
            machine.file(file, text);
            assert_eq!(unwell(&machine), [(name.to_owned(), verdict)]);
        }
    }

    #[test]
    fn inotify_is_counted_in_every_process() {
        let machine = machine(&[
            ("/proc/sys/fs/inotify/max_user_instances", "2\n"),
            ("/proc/sys/fs/inotify/max_user_watches", "1000\n"),
            (
                "/proc/7/fdinfo/3",
                "pos:\t0\ninotify wd:2 ino:1\ninotify wd:1 ino:2\n",
            ),
        ]);
        let files = &machine.cx.sys.files;
        for process in ["7", "8"] {
            files.make_dir(&format!("/proc/{process}/fd")).unwrap();
            let link = files.path(format!("/proc/{process}/fd/3"));
            std::os::unix::fs::symlink("anon_inode:inotify", link).unwrap();
        }
        assert_eq!(count_inotify(files), (2, 2));
        let run_out = ("inotify instances".to_owned(), Verdict::Fail);
        assert_eq!(unwell(&machine), [run_out]);
    }

    #[test]
    fn loop_devices_run_out_only_where_the_kernel_makes_none() {
        let container = "9 1 0:5 / /dev rw - tmpfs tmpfs rw\n";
        for (mounts, expected) in [
            (container, Some(Verdict::Fail)),
            ("9 1 0:5 / /dev rw - devtmpfs udev rw\n", None),
        ] {
            let machine = machine(&[
                ("/proc/self/mountinfo", mounts),
                ("/dev/loop0", ""),
                ("/dev/loop-control", ""),
                ("/sys/block/loop0/loop/backing_file", "/x.raw\n"),
            ]);
            let told = expected.map(|v| ("loop devices".to_owned(), v));
            assert_eq!(unwell(&machine), Vec::from_iter(told));
        }
    }
}
