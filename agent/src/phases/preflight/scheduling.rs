//! In which class the kernel schedules keepalived.

use crate::render::keepalived::CONFIG;
use crate::sys::files::Files;

/// keepalived's processes, as the kernel names them.
const KEEPALIVED: &str = "keepalived";
/// The field `policy` of /proc/PID/stat, counted from the one after the process' name.
const POLICY: usize = 38;
const REAL_TIME: [&str; 2] = ["1", "2"];

/// Whether one of keepalived's processes is in a real-time class: the one that speaks VRRP is to be. None: none runs
/// that has a configuration.
pub fn keepalived_in_real_time(files: &Files) -> Option<bool> {
    if !files.exists(CONFIG) {
        return None;
    }
    let names = files.names("/proc").unwrap_or_default();
    let stats = names
        .iter()
        .filter_map(|name| files.read(&format!("/proc/{name}/stat")).ok()?);
    let policies = stats
        .filter_map(|stat| policy_of(KEEPALIVED, &stat).map(|p| REAL_TIME.contains(&p.as_str())));
    policies.reduce(|one, other| one || other)
}

/// The policy in a `/proc/PID/stat` if the process has this name; a name may hold spaces and brackets.
fn policy_of(name: &str, stat: &str) -> Option<String> {
    let (head, tail) = stat.rsplit_once(") ")?;
    let (_pid, is) = head.split_once(" (")?;
    let policy = tail.split_whitespace().nth(POLICY)?;
    (is == name).then(|| policy.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process_stat(name: &str, policy: u32) -> String {
        format!("7 ({name}) S {}5 {policy} 0\n", "0 ".repeat(POLICY - 2))
    }

    #[test]
    fn one_process_in_real_time_is_enough() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        files.write(CONFIG, 0o644, b"").unwrap();
        for (pid, name, policy, expected) in [
            (6, "a) (keepalived", 2, None),
            (7, "keepalived", 0, Some(false)),
            (8, "keepalived", 2, Some(true)),
        ] {
            std::fs::create_dir_all(files.path(format!("/proc/{pid}"))).unwrap();
            files
                .put(
                    &format!("/proc/{pid}/stat"),
                    process_stat(name, policy).as_bytes(),
                )
                .unwrap();
            assert_eq!(keepalived_in_real_time(&files), expected, "{pid}");
        }
    }

    /// The system extension starts it with every boot, also on workers and before the agent has configured it.
    #[test]
    fn one_that_has_nothing_to_do_is_not_judged() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        std::fs::create_dir_all(files.path("/proc/7")).unwrap();
        let idle = process_stat("keepalived", 0);
        files.put("/proc/7/stat", idle.as_bytes()).unwrap();
        assert_eq!(keepalived_in_real_time(&files), None);
    }

    #[test]
    fn the_kernel_s_own_line_is_read() {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(policy_of(name.trim(), &stat).as_deref(), Some("0"));
    }
}
