//! Events as JSON lines: always into a file, and to the host's ear if there is one. Never blocks; drops when full.

use std::fs::File;
use std::io::{ErrorKind, Write};

use ha_wire::paths;

use crate::sys::files::Files;

/// The events file is begun anew above this size (one old one is kept): /run is memory.
const FILE_LIMIT: u64 = 1 << 20;

/// The places that hear events.
#[derive(Debug)]
pub(super) struct Sinks {
    files: Files,
    candidates: Vec<String>,
    report: Option<Sink>,
}

/// An open device, fifo or file.
#[derive(Debug)]
struct Sink {
    file: File,
    /// A line was cut short: the next one begins with a line end, so that only one is lost.
    torn: bool,
}

impl Sinks {
    pub(super) fn new(files: Files, candidates: Vec<String>) -> Self {
        Self {
            files,
            candidates,
            report: None,
        }
    }

    /// One line, without its end.
    pub(super) fn send(&mut self, line: &str) {
        let line = format!("{line}\n");
        let kept = self
            .files
            .append(paths::EVENTS_FILE, line.as_bytes(), FILE_LIMIT);
        if let Err(error) = kept {
            tracing::debug!("event not kept: {error}");
        }
        if self.report.is_none() {
            let mut open = self
                .candidates
                .iter()
                .map(|n| self.files.open_nonblocking(n));
            self.report = open
                .find_map(Result::ok)
                .map(|file| Sink { file, torn: false });
        }
        if self
            .report
            .as_mut()
            .is_some_and(|sink| sink.send(line.as_bytes()).is_err())
        {
            // Gone (the host closed its end): looked for again with the next event.
            self.report = None;
        }
    }
}

impl Sink {
    fn send(&mut self, line: &[u8]) -> std::io::Result<()> {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        if self.torn {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(line);
        match self.file.write(&bytes) {
            Ok(written) => {
                self.torn = written > 0 && written < bytes.len() || written == 0 && self.torn
            }
            // Full: this event is lost, and the gap in `seq` says so.
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt as _;

    use nix::fcntl::OFlag;

    use super::*;

    fn temporary_sinks(names: &[&str]) -> (tempfile::TempDir, Sinks) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("run/ha-agent")).unwrap();
        let sinks = Sinks::new(
            Files::new(root.path()),
            names.iter().map(|n| (*n).into()).collect(),
        );
        (root, sinks)
    }

    #[test]
    fn the_first_report_that_opens_hears_it_and_none_is_made() {
        let (root, mut sinks) = temporary_sinks(&["/dev/port", "/report"]);
        std::fs::write(root.path().join("report"), "").unwrap();
        sinks.send("{}");
        assert_eq!(
            std::fs::read_to_string(root.path().join("report")).unwrap(),
            "{}\n"
        );
        assert_eq!(
            std::fs::read_to_string(root.path().join("run/ha-agent/events.jsonl")).unwrap(),
            "{}\n"
        );
        assert!(!root.path().join("dev").exists());
    }

    #[test]
    fn a_fifo_that_nobody_empties_never_blocks_and_lines_stay_whole() {
        let (root, mut sinks) = temporary_sinks(&["/fifo"]);
        let path = root.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        sinks.send("nobody listens yet");
        assert!(sinks.report.is_none());
        let flags = OFlag::O_NONBLOCK.bits();
        let mut reader = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&path)
            .unwrap();
        let line = "x".repeat(999);
        for _ in 0..200 {
            sinks.send(&line);
        }
        let mut heard = vec![0; 1 << 20];
        let n = std::io::Read::read(&mut reader, &mut heard).unwrap();
        sinks.send("last");
        let m = std::io::Read::read(&mut reader, &mut heard[n..]).unwrap();
        let text = String::from_utf8_lossy(&heard[..n + m]).into_owned();
        let lines: Vec<&str> = text.lines().filter(|l| !l.is_empty()).collect();
        assert_eq!(lines.last(), Some(&"last"));
        assert!(lines[..lines.len() - 2].iter().all(|l| *l == line));
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let (root, mut sinks) = temporary_sinks(&[]);
        let line = "x".repeat(1 << 16);
        for _ in 0..40 {
            sinks.send(&line);
        }
        let size = |name: &str| {
            std::fs::metadata(root.path().join("run/ha-agent").join(name))
                .unwrap()
                .len()
        };
        assert!(
            size("events.jsonl") <= FILE_LIMIT + (1 << 17)
                && size("events.jsonl.1") <= FILE_LIMIT + (1 << 17)
        );
    }
}
