//! A node's console while its agent is silent: the last lines, and the failures that no agent can tell of.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ha_host_base::text::printable_line;

use super::report::BootEnd;

/// So many last lines are kept.
const LINES: usize = 12;
/// More than this is not read at once: a console in a loop must not hold up the others.
const CHUNK: u64 = 256 * 1024;
/// Longer lines are cut: a console may carry anything.
const WIDTH: usize = 200;
/// What has no line's end for so long is taken as a line.
const MAX_LINE: usize = 16 * 1024;
/// Of a console that grew by more than this since the last look, only the end is read: what matters stays at its end.
const MAX_BACKLOG: u64 = 1024 * 1024;

/// A console that grows.
#[derive(Debug)]
pub struct Console {
    path: PathBuf,
    /// How much was there when the launch began: an earlier boot's.
    old: u64,
    offset: u64,
    rest: Vec<u8>,
    last: VecDeque<String>,
    failure: Option<BootFailure>,
}

/// A boot that ended before the agent could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFailure {
    pub how: BootEnd,
    /// Why, as far as the console says.
    pub cause: Option<String>,
}

/// What a console says when a boot is over, and what that means. Ignition's own words come first: an emergency shell
/// after them is their consequence. Texts of Ignition, dracut, systemd and the kernel; Flatcar's are in its bootengine. No
/// interface of any of them tells the same.
const ENDS: [(&str, BootEnd); 8] = [
    ("Ignition failed:", BootEnd::IgnitionFailed),
    ("Ignition has failed", BootEnd::IgnitionFailed),
    ("Kernel panic - not syncing", BootEnd::KernelPanic),
    ("Entering emergency mode", BootEnd::EmergencyShell),
    ("You are in emergency mode", BootEnd::EmergencyShell),
    ("Press Enter for emergency shell", BootEnd::EmergencyShell),
    (
        "Press Enter for system maintenance",
        BootEnd::EmergencyShell,
    ),
    ("dracut: Refusing to continue", BootEnd::EmergencyShell),
];
/// How Ignition marks what went wrong.
const CRITICAL: &str = "CRITICAL :";
/// The kernel's first line of every boot, after its time stamp: an emergency shell of Flatcar's boots again by itself, and
/// Ignition tries again.
const NEW_BOOT: &str = "] Linux version ";

impl Console {
    pub fn new(path: PathBuf) -> Self {
        let old = std::fs::metadata(&path).map_or(0, |m| m.len());
        Self {
            path,
            old,
            offset: 0,
            rest: Vec::new(),
            last: VecDeque::new(),
            failure: None,
        }
    }

    /// The machine was switched on by this launch: what its console said before is another boot's.
    pub fn forget_earlier_boot(&mut self) {
        self.offset = self.old;
        self.rest.clear();
        self.last.clear();
        self.failure = None;
    }

    /// Reads what has come since the last call.
    pub fn poll(&mut self) {
        let size = std::fs::metadata(&self.path).map_or(0, |m| m.len());
        if size < self.offset {
            (self.offset, self.old) = (0, 0);
            self.rest.clear();
        }
        if size - self.offset > MAX_BACKLOG {
            self.offset = size - MAX_BACKLOG;
            self.rest.clear();
        }
        if size > self.offset && self.read().is_ok() {
            self.split_lines();
        }
    }

    /// What ended the boot, once something did.
    pub fn failure(&self) -> Option<&BootFailure> {
        self.failure.as_ref()
    }

    /// The last lines, oldest first; a line without its end is one, too.
    pub fn last(&self) -> Vec<String> {
        let open = clean_line(&self.rest);
        self.last.iter().cloned().chain(open).collect()
    }

    /// Where it is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&mut self) -> std::io::Result<()> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        self.offset += file.take(CHUNK).read_to_end(&mut self.rest)? as u64;
        Ok(())
    }

    fn split_lines(&mut self) {
        // A prompt has no line end, and is the last thing that such a console says.
        let end = self.rest.iter().rposition(|b| *b == b'\n' || *b == b'\r');
        let rest = self.rest.split_off(end.map_or(0, |end| end + 1));
        let mut whole = std::mem::replace(&mut self.rest, rest);
        if self.rest.len() > MAX_LINE {
            whole.append(&mut self.rest);
        }
        for line in whole.split(|b| *b == b'\n' || *b == b'\r') {
            if let Some(line) = clean_line(line) {
                self.classify_line(&line);
                self.last.push_back(line);
            }
        }
        while self.last.len() > LINES {
            self.last.pop_front();
        }
        if let Some(prompt) = clean_line(&self.rest) {
            self.classify_line(&prompt);
        }
    }

    fn classify_line(&mut self, line: &str) {
        if line.contains(NEW_BOOT) {
            self.failure = None;
            self.last.clear();
            return;
        }
        let end = ENDS.iter().find(|(words, _)| line.contains(words));
        let cause = line.contains(CRITICAL).then(|| line.to_owned());
        match (&mut self.failure, end) {
            // The first cause is the cause.
            (Some(failure), _) => failure.cause = failure.cause.take().or(cause),
            (None, Some((_, how))) => {
                let said = self.last.iter().rev().find(|l| l.contains(CRITICAL));
                let own = (*how != BootEnd::EmergencyShell).then(|| line.to_owned());
                let how = said.map_or(*how, |_| BootEnd::IgnitionFailed);
                let cause = said.cloned().or(cause).or(own);
                self.failure = Some(BootFailure { how, cause });
            }
            (None, None) => {}
        }
    }
}

/// Whether the last boot that a console tells of ended with a failure of Ignition's.
pub fn ignition_failed(path: &Path) -> bool {
    let mut console = Console::new(path.to_owned());
    for _ in 0..=MAX_BACKLOG / CHUNK {
        console.poll();
    }
    let failure = console.failure();
    failure.is_some_and(|failure| failure.how == BootEnd::IgnitionFailed)
}

/// A line as it may be shown; none if there is nothing in it.
fn clean_line(line: &[u8]) -> Option<String> {
    let text = printable_line(&String::from_utf8_lossy(line));
    let text = text.trim();
    (!text.is_empty()).then(|| text.chars().take(WIDTH).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// What stage `files` says of a wrong hash, and what Flatcar 4593 shows after it (flatcar/Flatcar#2001).
    const IGNITION_LOG: &str = "[    5.1] ignition[638]: files: createFilesystemsFiles: op(1): [started] writing file \"/sysroot/etc/x\"\r
[    5.2] ignition[638]: CRITICAL : files: createFilesystemsFiles: createFiles: op(1): hash verification failed\r
[    5.3] ignition[638]: CRITICAL : Ignition failed: failed to create files: hash verification failed\r
[    5.4] EXT4-fs (vda9): unmounting filesystem\r
Generating \"/run/initramfs/rdsosreport.txt\"\r
Entering emergency mode. Exit the shell to continue.\r
Press Enter for system maintenance\r
(or press Control-D to continue): ";

    fn console_with(text: &str) -> (tempfile::TempDir, Console) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        std::fs::write(&path, text).unwrap();
        let console = Console::new(path);
        (dir, console)
    }

    fn append_output(console: &mut Console, text: &str) {
        let mut file = File::options().append(true).open(console.path()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        console.poll();
    }

    #[test]
    fn an_ignition_failure_is_told_with_its_first_cause() {
        let (_dir, mut console) = console_with("");
        // However the bytes come.
        for byte in IGNITION_LOG.chars() {
            append_output(&mut console, &byte.to_string());
        }
        let failure = console.failure().unwrap();
        assert_eq!(failure.how, BootEnd::IgnitionFailed);
        let cause = failure.cause.as_deref().unwrap();
        assert!(cause.contains("op(1): hash verification failed"), "{cause}");
        let last = console.last();
        assert_eq!(last.last().unwrap(), "(or press Control-D to continue):");
    }

    #[test]
    fn other_ends_are_no_fault_of_ignition() {
        for (text, how, cause) in [
            (
                "a\n[1.0] Kernel panic - not syncing: VFS: no root\n",
                BootEnd::KernelPanic,
                Some("[1.0] Kernel panic - not syncing: VFS: no root"),
            ),
            (
                "a\nPress Enter for emergency shell or wait 5 minutes for reboot.\r",
                BootEnd::EmergencyShell,
                None,
            ),
            (
                "You are in emergency mode. After logging in, type",
                BootEnd::EmergencyShell,
                None,
            ),
        ] {
            let (_dir, mut console) = console_with(text);
            console.poll();
            let failure = console.failure().unwrap();
            assert_eq!((failure.how, failure.cause.as_deref()), (how, cause));
        }
        let (_dir, mut fine) = console_with("ignition[1]: Ignition finished successfully\nlogin: ");
        fine.poll();
        assert_eq!(fine.failure(), None);
    }

    #[test]
    fn a_boot_after_a_failed_one_counts_alone() {
        let (dir, mut console) = console_with(IGNITION_LOG);
        console.poll();
        let path = dir.path().join("console.log");
        assert!(ignition_failed(&path));
        append_output(
            &mut console,
            "\n[    0.000000] Linux version 6.12.4-flatcar\nlogin: ",
        );
        assert_eq!(console.failure(), None);
        assert!(!ignition_failed(&path));
        append_output(&mut console, IGNITION_LOG);
        assert!(ignition_failed(&path), "it failed again");
    }

    #[test]
    fn an_earlier_boots_failure_does_not_count() {
        let (_dir, mut console) = console_with(IGNITION_LOG);
        console.poll();
        assert!(console.failure().is_some(), "it may still stand there");
        console.forget_earlier_boot();
        append_output(&mut console, "\n[    0.0] Linux version 6.12\n");
        assert_eq!(console.failure(), None);
        assert_eq!(console.last(), ["[    0.0] Linux version 6.12"]);
    }

    #[test]
    fn a_console_of_any_size_takes_little_memory() {
        let (_dir, mut console) = console_with("");
        append_output(&mut console, &"x".repeat(3 * CHUNK as usize));
        console.poll();
        console.poll();
        assert!(
            console.rest.len() <= MAX_LINE,
            "{} bytes",
            console.rest.len()
        );
        let flood = "old\n".repeat(MAX_BACKLOG as usize) + "the last line\n";
        append_output(&mut console, &flood);
        for _ in 0..MAX_BACKLOG / CHUNK {
            console.poll();
        }
        assert_eq!(console.last().last().unwrap(), "the last line");
    }

    #[test]
    fn only_the_end_is_kept_and_long_lines_are_cut() {
        let (_dir, mut console) = console_with(&format!(
            "{}\x1b[31m{}\n",
            "line\n".repeat(100),
            "x".repeat(5000)
        ));
        console.poll();
        let last = console.last();
        assert!(last.len() == LINES && last.iter().all(|l| l.chars().count() <= WIDTH));
        assert!(!last.concat().contains('\x1b'));
    }
}
