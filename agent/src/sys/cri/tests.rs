use tokio::net::UnixListener;

use super::*;

/// What containerd 1.7.24 sent back, with its CRI plugin and without.
const VERSION: &[u8] = include_bytes!("../../../tests/captured/cri-version.http2");
const REFUSED: &[u8] = include_bytes!("../../../tests/captured/cri-refused.http2");

/// Asks somebody who takes the whole question and then says this.
async fn asked(says: &'static [u8]) -> io::Result<Answer> {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let question = PREFACE.len() + 9 + HEADERS.len() + 9 + NO_ARGUMENTS.len();
        stream.read_exact(&mut vec![0; question]).await.unwrap();
        stream.write_all(says).await.unwrap();
    };
    tokio::join!(ask_version(&socket), serve).0
}

#[tokio::test]
async fn a_runtime_with_cri_is_told_from_one_without() {
    assert_eq!(asked(VERSION).await.unwrap(), Answer::Version);
    assert_eq!(asked(REFUSED).await.unwrap(), Answer::Refused);
}

#[tokio::test]
async fn what_is_no_grpc_is_an_error() {
    for says in ["HTTP/1.1 400 Bad Request\r\n\r\n", "", "\0\0"] {
        asked(says.as_bytes()).await.unwrap_err();
    }
    let nowhere = Path::new("/no/such/socket");
    let error = ask_version(nowhere).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
