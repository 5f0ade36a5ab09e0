//! A container runtime that gives one answer to every call.

use super::FakeMachine;

/// The container runtime's socket, where every call is answered with these bytes of HTTP/2 frames. It ends with the test.
pub fn serve_runtime(machine: &FakeMachine, frames: &'static [u8]) {
    use std::io::{Read as _, Write as _};
    let socket = machine.cx.node.kubernetes.cri.socket_path();
    let path = machine.cx.sys.files.path(socket);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = std::fs::remove_file(&path);
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for mut caller in listener.incoming().flatten() {
            // The whole call comes in one piece; what a caller that left says is nothing to a fake.
            if caller.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {
                let _ = caller.write_all(frames);
            }
        }
    });
}

/// As containerd answers `Version`: a message of five bytes and two more on stream 1.
pub const RUNTIME_ANSWERS: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x01\x01\x04\0\0\0\x01\x88\
    \0\0\x07\0\0\0\0\0\x01\0\0\0\0\x02\x0a\0";

/// As containerd answers without its CRI plugin: headers that end the stream, `grpc-status: 12`.
pub const RUNTIME_WITHOUT_CRI: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x0e\x01\x05\0\0\0\x01\x40\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x0212\x88";
