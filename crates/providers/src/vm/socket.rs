//! Conversations with QEMU's sockets: with a deadline, and by names that may be longer than the kernel takes.

use std::fs::File;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The kernel's limit for a socket's name, without the closing zero.
const NAME: usize = 107;

/// The longest answer. What is behind a socket may be a guest that nobody has to believe; the largest that is asked for,
/// [a piece of a file](super::guest), has 200 KiB.
const MAX_LINE: u64 = 4 << 20;

#[derive(Debug)]
pub struct LineSocket {
    stream: BufReader<UnixStream>,
    end: Instant,
}

impl LineSocket {
    /// Begins one that must be over after `patience`. QEMU serves one client at a time, the others wait in line.
    pub fn open(path: &Path, patience: Duration) -> Result<Self> {
        let end = Instant::now() + patience;
        let (tell, answer) = mpsc::channel();
        let path = path.to_owned();
        // A thread, because a full line blocks without end; then it ends with the process.
        std::thread::spawn(move || tell.send(connect_long_name(&path)));
        let stream = answer
            .recv_timeout(patience)
            .map_err(|_| Error::from(ErrorKind::TimedOut))??;
        Ok(Self::over(stream, end))
    }

    /// One on a stream that is connected.
    pub fn over(stream: UnixStream, end: Instant) -> Self {
        Self {
            stream: BufReader::new(stream),
            end,
        }
    }

    /// Moves the deadline.
    pub fn extend_deadline(&mut self, patience: Duration) {
        self.end = Instant::now() + patience;
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let left = self.left()?;
        let stream = self.stream.get_mut();
        stream.set_write_timeout(Some(left))?;
        stream.write_all(bytes).map_err(timed_out)
    }

    /// Reads everything before the next `byte`.
    pub fn receive_until(&mut self, byte: u8) -> Result<Vec<u8>> {
        let left = self.left()?;
        self.stream.get_ref().set_read_timeout(Some(left))?;
        let mut all = Vec::new();
        let mut line = (&mut self.stream).take(MAX_LINE);
        line.read_until(byte, &mut all).map_err(timed_out)?;
        if all.len() as u64 == MAX_LINE && all.last() != Some(&byte) {
            let what = format!("more than {} MiB without an end", MAX_LINE >> 20);
            return Err(Error::new(ErrorKind::FileTooLarge, what));
        }
        if all.pop() != Some(byte) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(all)
    }

    fn left(&self) -> Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

/// A socket's time-out looks like one that does not block.
fn timed_out(error: Error) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    }
}

fn connect_long_name(path: &Path) -> Result<UnixStream> {
    if path.as_os_str().len() <= NAME {
        return UnixStream::connect(path);
    }
    let dir = File::open(path.parent().unwrap_or_else(|| Path::new(".")))?;
    let name = path.file_name().unwrap_or_default();
    UnixStream::connect(Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_long_name_is_reached_and_words_are_parted() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let short = dir.path().join("s");
        let listener = UnixListener::bind(&short).unwrap();
        std::fs::rename(&short, deep.join("qmp")).unwrap();
        let mut talk = LineSocket::open(&deep.join("qmp"), SOON).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"one\ntwo\n").unwrap();
        assert_eq!(talk.receive_until(b'\n').unwrap(), b"one");
        assert_eq!(talk.receive_until(b'\n').unwrap(), b"two");
        talk.send(b"three\n").unwrap();
        drop(peer);
        assert!(talk.receive_until(b'\n').is_err(), "the peer has gone");
    }

    #[test]
    fn an_answer_without_end_is_not_kept() {
        let (ours, mut peer) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || while peer.write_all(&[b'x'; 4096]).is_ok() {});
        let mut talk = LineSocket::over(ours, Instant::now() + SOON);
        let error = talk.receive_until(b'\n').unwrap_err();
        assert_eq!(error.to_string(), "more than 4 MiB without an end");
        drop(talk);
        writer.join().unwrap();
    }

    #[test]
    fn who_never_answers_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut talk = LineSocket::open(&path, Duration::from_millis(20)).unwrap();
        assert_eq!(
            talk.receive_until(b'\n').unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        assert_eq!(
            LineSocket::open(&dir.path().join("none"), SOON)
                .unwrap_err()
                .kind(),
            ErrorKind::NotFound
        );
    }
}
