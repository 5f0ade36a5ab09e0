//! A release server on this machine, with the faults that servers have.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// One file and how it is served.
#[derive(Clone, Default)]
pub struct Served {
    /// What it holds.
    pub body: Vec<u8>,
    /// Its name for this content.
    pub etag: Option<String>,
    /// Whether parts of it may be asked for.
    pub ranges: bool,
    /// The first answers, cut off after so many bytes.
    pub breaks: Vec<usize>,
    /// Its length is not told: whoever reads must read to the end.
    pub endless: bool,
    /// After half of an answer: tells, and sends no more until the other side has gone.
    pub stalls: Option<Sender<()>>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What was asked for.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The `If-Range` header.
    pub if_range: Option<String>,
}

#[derive(Default)]
struct Shared {
    files: Mutex<HashMap<String, Served>>,
    log: Mutex<Vec<Request>>,
    over: AtomicBool,
}

/// Runs until it is dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves nothing yet.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let accept = move || {
            for stream in listener.incoming() {
                if own.over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = own.clone();
                // A client that goes away in the middle is part of the tests.
                std::thread::spawn(move || drop(answer_request(stream.unwrap(), &shared)));
            }
        };
        let thread = Some(std::thread::spawn(accept));
        Self {
            address,
            shared,
            thread,
        }
    }

    /// Its base.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves this at that path from now on.
    pub fn serve(&self, path: &str, served: Served) {
        let mut files = self.shared.files.lock().unwrap();
        files.insert(path.to_owned(), served);
    }

    /// What was asked since the last time.
    pub fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.log.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

fn answer_request(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let request = read_request(&stream)?;
    shared.log.lock().unwrap().push(request.clone());
    let (served, cut) = {
        let mut files = shared.files.lock().unwrap();
        let Some(file) = files.get_mut(&request.path) else {
            return stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        };
        let cut = (!file.breaks.is_empty()).then(|| file.breaks.remove(0));
        (file.clone(), cut)
    };
    let length = served.body.len();
    let from = start_of_answer(&request, &served);
    let mut head = match from {
        0 => "HTTP/1.1 200 OK\r\n".to_owned(),
        n => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {n}-{}/{length}\r\n",
            length - 1
        ),
    };
    if let Some(etag) = &served.etag {
        head += &format!("ETag: {etag}\r\n");
    }
    if !served.endless {
        head += &format!("Content-Length: {}\r\n", length - from);
    }
    head += "Connection: close\r\n\r\n";
    stream.write_all(head.as_bytes())?;
    let body = &served.body[from..];
    if let Some(tell) = &served.stalls {
        stream.write_all(&body[..body.len() / 2])?;
        tell.send(()).unwrap();
        let _ = stream.read(&mut [0])?;
        return Ok(());
    }
    stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])
}

/// Where the answer begins: 0 unless the client asks for a part of this very content.
fn start_of_answer(request: &Request, served: &Served) -> usize {
    let same = request.if_range.is_none() || request.if_range == served.etag;
    let range = request.range.as_ref().filter(|_| served.ranges && same);
    range.map_or(0, |r| {
        let n = r.strip_prefix("bytes=").and_then(|r| r.strip_suffix('-'));
        n.unwrap().parse().unwrap()
    })
}

fn read_request(stream: &TcpStream) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut range, mut if_range) = (None, None);
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap();
        match name.to_ascii_lowercase().as_str() {
            "range" => range = Some(value.to_owned()),
            "if-range" => if_range = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(Request {
        path,
        range,
        if_range,
    })
}
