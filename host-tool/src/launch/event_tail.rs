//! Follows a node's event file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use ha_wire::event::Event;
use ha_wire::format::FormatError;

/// More than this is not read at once, so that one talkative node cannot hold up the others.
const CHUNK: u64 = 256 * 1024;
/// A longer line is no event.
const MAX_LINE: usize = 64 * 1024;

/// What one line was; an error is always another version's.
pub type EventLine = Result<Event, FormatError>;

/// A file that grows, line by line. It may not exist yet, and may begin anew.
#[derive(Debug)]
pub struct EventTail {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
}

impl EventTail {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            offset: 0,
            rest: Vec::new(),
        }
    }

    /// What has come since the last call. Lines that are no events are skipped: a newer agent may say more.
    pub fn poll(&mut self) -> Vec<EventLine> {
        let Ok(size) = std::fs::metadata(&self.path).map(|m| m.len()) else {
            return Vec::new();
        };
        if size < self.offset {
            (self.offset, self.rest) = (0, Vec::new());
        }
        if size == self.offset {
            return Vec::new();
        }
        match self.read() {
            Ok(bytes) => self.lines(&bytes),
            Err(_) => Vec::new(),
        }
    }

    /// Everything up to now.
    pub fn poll_all(&mut self) -> Vec<EventLine> {
        let mut all = Vec::new();
        loop {
            let before = self.offset;
            all.append(&mut self.poll());
            if self.offset == before {
                return all;
            }
        }
    }

    fn read(&mut self) -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        let read = file.take(CHUNK).read_to_end(&mut bytes)?;
        self.offset += read as u64;
        Ok(bytes)
    }

    fn lines(&mut self, bytes: &[u8]) -> Vec<EventLine> {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|b| *b == b'\n') else {
            if self.rest.len() > MAX_LINE {
                self.rest.clear();
            }
            return Vec::new();
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        whole
            .split(|b| *b == b'\n')
            .map(|line| Event::parse(&String::from_utf8_lossy(line)))
            .filter(|line| !matches!(line, Err(FormatError::Shape { .. })))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn line(seq: u64) -> String {
        format!(
            "{{\"version\":1,\"seq\":{seq},\"timeMs\":5,\"node\":\"a\",\"event\":\"steady\"}}\n"
        )
    }

    #[test]
    fn follows_growth_parts_and_new_beginnings() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        let mut tail = EventTail::new(path.clone());
        let seqs = |tail: &mut EventTail| {
            let lines = tail.poll().into_iter();
            lines.map(|line| line.unwrap().seq).collect::<Vec<_>>()
        };
        assert!(seqs(&mut tail).is_empty(), "no file yet");
        let mut file = File::create(&path).unwrap();
        write!(file, "{}no json\n{}{}", line(1), line(2), &line(3)[..20]).unwrap();
        assert_eq!(seqs(&mut tail), [1, 2]);
        assert!(seqs(&mut tail).is_empty());
        write!(file, "{}", &line(3)[20..]).unwrap();
        assert_eq!(seqs(&mut tail), [3]);
        std::fs::write(&path, line(1)).unwrap();
        assert_eq!(seqs(&mut tail), [1], "a new beginning");
        let newer = line(777).replace("\"version\":1", "\"version\":9");
        std::fs::write(&path, line(1) + &newer).unwrap();
        let lines = tail.poll();
        assert!(
            matches!(lines[..], [Err(FormatError::Version { found: 9, .. })]),
            "{lines:?}"
        );
    }
}
