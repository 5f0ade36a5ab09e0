//! Follows a node's event file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use ha_wire::event::Event;
use ha_wire::format::FormatError;

/// More than this is not read at once, so that one talkative node cannot hold up the others.
const CHUNK: u64 = 256 * 1024;
/// A longer line is not an event.
const MAX_LINE: usize = 64 * 1024;
/// So much of what earlier launches heard is read again: days of a healthy node's words, and no more than that of a node that
/// writes without end.
const MAX_HISTORY: u64 = 4 * 1024 * 1024;

/// What one line was; an error is always another version's.
pub type EventLine = Result<Event, FormatError>;

/// A file that grows, line by line. It may not exist yet, and may begin anew.
#[derive(Debug)]
pub struct EventTail {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
    /// Up to the next line's end: what is left of a line that is not an event.
    skipping: bool,
}

impl EventTail {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            offset: 0,
            rest: Vec::new(),
            skipping: false,
        }
    }

    /// What has come since the last call. Lines that are not events are skipped: a newer agent may say more.
    pub fn poll(&mut self) -> Vec<EventLine> {
        let Ok(size) = std::fs::metadata(&self.path).map(|m| m.len()) else {
            return Vec::new();
        };
        if size < self.offset {
            (self.offset, self.rest, self.skipping) = (0, Vec::new(), false);
        }
        if size == self.offset {
            return Vec::new();
        }
        match self.read() {
            Ok(bytes) => self.lines(&bytes),
            Err(_) => Vec::new(),
        }
    }

    /// What there is up to now, the last of it at least.
    pub fn poll_history(&mut self) -> Vec<EventLine> {
        let size = std::fs::metadata(&self.path).map_or(0, |m| m.len());
        self.offset = size.saturating_sub(MAX_HISTORY);
        self.skipping = self.offset > 0;
        let mut all = Vec::new();
        while self.offset < size {
            let before = self.offset;
            all.append(&mut self.poll());
            if self.offset <= before {
                break;
            }
        }
        all
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
        let mut bytes = bytes;
        if self.skipping {
            let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
                return Vec::new();
            };
            (bytes, self.skipping) = (&bytes[end + 1..], false);
        }
        self.rest.extend_from_slice(bytes);
        let end = self.rest.iter().rposition(|b| *b == b'\n');
        let rest = self.rest.split_off(end.map_or(0, |end| end + 1));
        let whole = std::mem::replace(&mut self.rest, rest);
        if self.rest.len() > MAX_LINE {
            (self.rest, self.skipping) = (Vec::new(), true);
        }
        whole
            .split(|b| *b == b'\n')
            .filter(|line| line.len() <= MAX_LINE)
            .map(|line| Event::parse(&String::from_utf8_lossy(line)))
            .filter(|line| !matches!(line, Err(FormatError::Shape { .. })))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn event_line(seq: u64) -> String {
        format!(
            "{{\"version\":1,\"seq\":{seq},\"timeMs\":5,\"node\":\"a\",\"event\":\"steady\"}}\n"
        )
    }

    #[test]
    fn what_is_behind_a_line_without_end_is_no_event_but_the_next_line_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        let mut tail = EventTail::new(path.clone());
        // Two polls of a line that is too long, whose end looks like an event.
        std::fs::write(&path, vec![b' '; CHUNK as usize + 10]).unwrap();
        assert!(tail.poll().is_empty());
        assert!(tail.rest.is_empty(), "{} bytes are kept", tail.rest.len());
        let mut file = File::options().append(true).open(&path).unwrap();
        write!(file, "{}{}", event_line(1), event_line(2)).unwrap();
        let seqs: Vec<u64> = tail.poll().into_iter().map(|l| l.unwrap().seq).collect();
        assert_eq!(seqs, [2]);
    }

    #[test]
    fn of_an_endless_history_the_end_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        let count = 2 * MAX_HISTORY / event_line(100_000).len() as u64;
        let text: String = (100_000..100_000 + count).map(event_line).collect();
        std::fs::write(&path, text).unwrap();
        let mut tail = EventTail::new(path);
        let history = tail.poll_history();
        let read: u64 = history.len() as u64 * event_line(100_000).len() as u64;
        assert!(
            read <= MAX_HISTORY && read > MAX_HISTORY - 1000,
            "{read} bytes"
        );
        let last = history.last().unwrap().as_ref().unwrap().seq;
        assert_eq!(last, 100_000 + count - 1);
        assert!(tail.poll().is_empty());
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
        write!(
            file,
            "{}no json\n{}{}",
            event_line(1),
            event_line(2),
            &event_line(3)[..20]
        )
        .unwrap();
        assert_eq!(seqs(&mut tail), [1, 2]);
        assert!(seqs(&mut tail).is_empty());
        write!(file, "{}", &event_line(3)[20..]).unwrap();
        assert_eq!(seqs(&mut tail), [3]);
        std::fs::write(&path, event_line(1)).unwrap();
        assert_eq!(seqs(&mut tail), [1], "a new beginning");
        let newer = event_line(777).replace("\"version\":1", "\"version\":9");
        std::fs::write(&path, event_line(1) + &newer).unwrap();
        let lines = tail.poll();
        assert!(
            matches!(lines[..], [Err(FormatError::Version { found: 9, .. })]),
            "{lines:?}"
        );
    }
}
