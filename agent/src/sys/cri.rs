//! One question to a container runtime over CRI: is there anybody who speaks it? gRPC, as much of it as one call without
//! arguments needs: a fixed request, and an answer of which it counts only that there is one.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A runtime that runs answers within milliseconds; the kubelet gives up after two minutes.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const METHOD: &[u8] = b"/runtime.v1.RuntimeService/Version";
/// An empty message: not compressed, no bytes.
const NO_ARGUMENTS: [u8; 5] = [0; 5];
/// HTTP/2's largest frame by default; we allow no other.
const LARGEST_FRAME: usize = 16_384;
/// The only stream.
const STREAM: u32 = 1;

// HTTP/2's kinds of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// An error unless the runtime behind this socket answers a CRI `Version`.
pub async fn ask_version(socket: &Path) -> Result<()> {
    let name = socket.display();
    let asked = async {
        let stream = UnixStream::connect(socket).await?;
        exchange(stream).await
    };
    let Ok(answered) = tokio::time::timeout(ANSWER_WITHIN, asked).await else {
        bail!("{name}: no answer within {} s", ANSWER_WITHIN.as_secs());
    };
    ensure!(
        answered.with_context(|| name.to_string())?,
        "{name}: it runs and has no CRI service: its CRI plugin is disabled or did not load"
    );
    Ok(())
}

/// Whether the call was answered with a message. A service that is not there ends it with headers alone.
async fn exchange(mut stream: UnixStream) -> std::io::Result<bool> {
    stream.write_all(&request()).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if length > LARGEST_FRAME {
            return Err(std::io::Error::other("not a gRPC server"));
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let ours = u32::from_be_bytes(id) == STREAM;
        match kind {
            DATA if ours && length > NO_ARGUMENTS.len() => return Ok(true),
            GOAWAY => return Ok(false),
            DATA | HEADERS if ours && flags & END_STREAM != 0 => return Ok(false),
            RST_STREAM if ours => return Ok(false),
            _ => {}
        }
    }
}

fn request() -> Vec<u8> {
    // Of HPACK's static table: POST, http; then names by their number there, values as they are.
    let mut headers = vec![0x83, 0x86];
    let named: [(&[u8], &[u8]); 4] = [
        (&[0x04], METHOD),
        (&[0x01], b"localhost"),
        (&[0x0f, 0x10], b"application/grpc"),
        (b"\0\x02te", b"trailers"),
    ];
    for (name, value) in named {
        headers.extend_from_slice(name);
        headers.extend(u8::try_from(value.len()));
        headers.extend_from_slice(value);
    }
    let mut all = PREFACE.to_vec();
    all.extend(frame(SETTINGS, 0, 0, &[]));
    all.extend(frame(HEADERS, END_HEADERS, STREAM, &headers));
    all.extend(frame(DATA, END_STREAM, STREAM, &NO_ARGUMENTS));
    all
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(body.len()).unwrap_or(0).to_be_bytes();
    let mut all = length.to_vec();
    all.extend([kind, flags]);
    all.extend(stream.to_be_bytes());
    all.extend_from_slice(body);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    /// What containerd 1.7.24 says first of all.
    const GREETING: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0\0\0\0\x04\x01\0\0\0\0";
    /// Its answer: headers, then its name and version, then trailers.
    const ANSWER: &[u8] = b"\0\0\x0e\x01\x04\0\0\0\x01\x88_\x8b\x1du\xd0b\r&=LMed\
        \0\0\x28\0\0\0\0\0\x01\0\0\0\0#\n\x050.1.0\x12\ncontainerd\x1a\n1.7.24~ds1\"\x02v1";
    /// The same of one whose CRI plugin is disabled: headers that end the stream, status 12.
    const UNIMPLEMENTED: &[u8] = b"\0\0\x1b\x01\x05\0\0\0\x01\x88_\x8b\x1du\xd0b\r&=LMed@\x88\x9a\xca\xc8\xb2\x124\xda\x8f\x0212";

    /// A runtime that says this once it was asked; what it was asked is looked at.
    async fn asked_of(answer: Option<&'static [u8]>) -> Result<()> {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("runtime.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; request().len()];
            stream.read_exact(&mut asked).await.unwrap();
            assert!(asked.windows(METHOD.len()).any(|part| part == METHOD));
            let Some(answer) = answer else {
                return std::future::pending().await;
            };
            stream
                .write_all(&[GREETING, answer].concat())
                .await
                .unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = ask_version(&socket) => answer,
            () = serve => unreachable!(),
        }
    }

    #[tokio::test]
    async fn a_runtime_is_told_from_one_without_cri_and_from_silence() {
        asked_of(Some(ANSWER)).await.unwrap();
        let error = |asked: Result<()>| format!("{:#}", asked.unwrap_err());
        let disabled = error(asked_of(Some(UNIMPLEMENTED)).await);
        assert!(disabled.contains("has no CRI service"), "{disabled}");
        let hung = error(asked_of(None).await);
        assert!(hung.contains("no answer within 2 s"), "{hung}");
        let gone = error(ask_version(Path::new("/no/such/runtime.sock")).await);
        assert!(gone.contains("No such file"), "{gone}");
    }
}
