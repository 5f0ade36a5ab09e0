//! What the kernel tells of a process in `/proc/PID/stat`.

/// The fields behind the process's name, which may hold spaces and brackets itself: they begin after the last bracket. The first
/// is the state, field 3 of proc_pid_stat(5). None: this is no such text.
pub fn fields_after_name(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}
