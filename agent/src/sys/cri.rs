//! One call of the container runtime's interface (CRI: gRPC over a Unix socket): `Version`, which changes nothing. Written out,
//! since the call never varies and a gRPC library would add a fifth to the agent: HTTP/2's frames are read, their header
//! compression is not.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// A runtime that lives answers within milliseconds, one on a busy machine within a second.
const PATIENCE: Duration = Duration::from_secs(2);
/// The connection's preface, empty SETTINGS, HEADERS and DATA: an empty `VersionRequest` on stream 1, which DATA ends.
/// The headers stand uncompressed or by their number in HTTP/2's static table (RFC 7541, appendix A).
const CALL: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\0\x04\0\0\0\0\0\
    \0\0\x51\x01\x04\0\0\0\x01\
    \x83\x86\x04\x22/runtime.v1.RuntimeService/Version\x01\x09localhost\
    \x0f\x10\x10application/grpc\0\x02te\x08trailers\
    \0\0\x05\0\x01\0\0\0\x01\0\0\0\0\0";
/// Bytes before a frame's payload.
const FRAME_HEAD: usize = 9;
/// Kinds of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
/// This frame is the stream's last.
const END_STREAM: u8 = 1;
/// `grpc-status: 12`, as Go's gRPC writes it, which both runtimes are made with: the name is Huffman-coded, the value is not.
const UNIMPLEMENTED: &[u8] = b"\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x0212";
/// More frames than any runtime sends before its answer.
const MOST_FRAMES: usize = 32;

/// What a container runtime answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RuntimeAnswer {
    /// It was not asked: it does not run.
    #[default]
    NotAsked,
    /// With its version.
    Version,
    /// It answers and does not know this interface.
    NoCri,
    /// Nothing of use: why.
    Nothing(String),
}

impl RuntimeAnswer {
    /// An error with its words unless the runtime said its version.
    pub fn into_result(self) -> Result<()> {
        match self {
            Self::Version => Ok(()),
            Self::NotAsked => bail!("it does not run"),
            Self::NoCri => {
                bail!("it runs and has no CRI service: its CRI plugin is disabled or did not load")
            }
            Self::Nothing(why) => bail!(why),
        }
    }
}

/// Asks the runtime behind this socket for its version.
pub async fn ask_version(socket: &Path) -> RuntimeAnswer {
    match tokio::time::timeout(PATIENCE, call_version(socket)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => RuntimeAnswer::Nothing(format!("{}: {error:#}", socket.display())),
        Err(_) => RuntimeAnswer::Nothing(format!(
            "{}: no answer within {} s",
            socket.display(),
            PATIENCE.as_secs()
        )),
    }
}

async fn call_version(socket: &Path) -> Result<RuntimeAnswer> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(CALL).await?;
    for _ in 0..MOST_FRAMES {
        let mut head = [0; FRAME_HEAD];
        match stream.read_exact(&mut head).await {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                bail!("closed without an answer")
            }
            read => read?,
        };
        let [high, middle, low, kind, flags, ..] = head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        match kind {
            DATA if length > 0 => return Ok(RuntimeAnswer::Version),
            HEADERS if flags & END_STREAM != 0 => return classify_refusal(&payload),
            RST_STREAM | GOAWAY => bail!("it ended the call (HTTP/2 frame {kind})"),
            _ => {}
        }
    }
    bail!("no answer among {MOST_FRAMES} frames")
}

/// A stream that ends with its headers carries a status and no message.
fn classify_refusal(headers: &[u8]) -> Result<RuntimeAnswer> {
    let mut places = headers.windows(UNIMPLEMENTED.len());
    if places.any(|place| place == UNIMPLEMENTED) {
        return Ok(RuntimeAnswer::NoCri);
    }
    bail!("it answers with an error in place of its version")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, RUNTIME_ANSWERS, RUNTIME_WITHOUT_CRI};

    #[test]
    fn the_call_s_frames_are_as_long_as_they_say() {
        let mut rest = CALL
            .strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        let mut kinds = Vec::new();
        while let Some((head, after)) = rest.split_first_chunk::<FRAME_HEAD>() {
            kinds.push(head[3]);
            rest = &after[usize::from(head[2])..];
        }
        assert_eq!((kinds, rest), (vec![4, HEADERS, DATA], &[][..]));
    }

    #[tokio::test]
    async fn an_answer_is_told_from_a_refusal_and_from_silence() {
        let machine = testing::fake_machine(testing::worker());
        let socket = machine.cx.sys.files.path("/run/containerd/containerd.sock");
        let nothing = ask_version(&socket).await;
        assert!(matches!(&nothing, RuntimeAnswer::Nothing(why) if why.contains("containerd.sock")));
        for (frames, answer) in [
            (RUNTIME_ANSWERS, RuntimeAnswer::Version),
            (RUNTIME_WITHOUT_CRI, RuntimeAnswer::NoCri),
        ] {
            testing::serve_runtime(&machine, frames);
            assert_eq!(ask_version(&socket).await, answer);
        }
        testing::serve_runtime(&machine, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let other = ask_version(&socket).await;
        assert!(matches!(other, RuntimeAnswer::Nothing(_)), "{other:?}");
    }
}
