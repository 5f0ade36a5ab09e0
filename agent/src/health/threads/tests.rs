use super::*;

fn thread_status(state: &str, voluntary: u64, forced: u64) -> String {
    format!(
        "Name:\thaproxy\nState:\t{state}\nThreads:\t2\nvoluntary_ctxt_switches:\t{voluntary}\n\
         nonvoluntary_ctxt_switches:\t{forced}\n"
    )
}

/// Two threads of process 8.
fn threads_seen(threads: [(&str, u64, u64); 2]) -> ThreadsSeen {
    let root = tempfile::tempdir().unwrap();
    let files = Files::new(root.path());
    for (id, (state, voluntary, forced)) in threads.into_iter().enumerate() {
        let name = format!("/proc/8/task/{}/status", 8 + id);
        let text = thread_status(state, voluntary, forced);
        files.write(&name, 0o644, text.as_bytes()).unwrap();
    }
    ThreadsSeen::of(&files, 8).unwrap()
}

#[test]
fn hung_is_who_neither_ran_nor_wants_to() {
    const S: &str = "S (sleeping)";
    const T: &str = "T (stopped)";
    const R: &str = "R (running)";
    const D: &str = "D (disk sleep)";
    let asleep = [(S, 4, 1), (S, 9, 0)];
    for (then, now, hung, why) in [
        (
            [(T, 4, 1), (T, 9, 0)],
            [(T, 4, 1), (T, 9, 0)],
            true,
            "stopped",
        ),
        (asleep, asleep, true, "locked"),
        (asleep, [(S, 4, 1), (S, 10, 0)], false, "one ran"),
        (
            asleep,
            [(S, 4, 2), (S, 9, 0)],
            false,
            "one ran and was pushed aside",
        ),
        (
            [(S, 4, 1), (R, 9, 0)],
            [(S, 4, 1), (R, 9, 0)],
            false,
            "starved",
        ),
        (asleep, [(S, 4, 1), (R, 9, 0)], false, "woken late"),
        (
            [(S, 4, 1), (D, 9, 0)],
            [(S, 4, 1), (D, 9, 0)],
            false,
            "waits for a disk",
        ),
    ] {
        assert_eq!(
            threads_seen(now).slept_since(&threads_seen(then)),
            hung,
            "{why}"
        );
    }
    assert!(threads_seen([(S, 4, 1), (R, 9, 0)]).wants_to_run());
    assert!(!threads_seen([(S, 4, 1), (D, 9, 0)]).wants_to_run());
}

#[test]
fn the_newest_worker_answers() {
    let root = tempfile::tempdir().unwrap();
    let files = Files::new(root.path());
    let stat = |pid: i32, parent: i32, started: u64| {
        let between = "0 ".repeat(STARTED - PARENT - 1);
        let text = format!("{pid} (ha) proxy) S {parent} {between}{started} 0 0\n");
        let name = format!("/proc/{pid}/stat");
        files.write(&name, 0o644, text.as_bytes()).unwrap();
    };
    stat(7, 1, 100);
    assert_eq!(find_worker(&files, 7), 7, "alone");
    stat(90, 7, 300);
    stat(91, 7, 200);
    stat(92, 1, 400);
    assert_eq!(find_worker(&files, 7), 90);
}

#[test]
fn the_kernel_s_own_files_are_read() {
    let me = std::process::id().cast_signed();
    let files = Files::new("/");
    // None while other tests' threads end.
    let seen = (0..1000).find_map(|_| ThreadsSeen::of(&files, me)).unwrap();
    assert!(seen.wants_to_run(), "this very thread runs: {seen:?}");
    let parent = read_stat(&files, me).unwrap()[PARENT].parse();
    assert_eq!(parent, Ok(std::os::unix::process::parent_id()));
    assert_eq!(ThreadsSeen::of(&files, -1), None);
}
