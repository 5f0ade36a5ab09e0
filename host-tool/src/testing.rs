//! For tests: a cluster that answers under its CA, without machines.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};

use anyhow::Result;
use ha_cluster_file::cluster::{Cluster, Node};
use ha_kube::testing::{Script, run_local};
use ha_kube::{APISERVER_PORT, ETCD_CLIENT_PORT};
use ha_providers::{ByOthers, Finding, Machine, Made, Power, Provider};
use tokio::sync::oneshot;

use crate::pki::Pki;

/// What the clocks of an [`AnsweringCluster`] show.
pub const DATE: &str = "Sat, 21 Nov 2026 15:00:42 GMT";
/// The same, milliseconds since 1970.
pub const DATE_MS: u64 = 1_795_273_242_000;

/// A web server with these files, and what it was asked for. It ends with the test.
pub fn serve_files(files: Vec<(String, Vec<u8>)>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/extensions", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut request, mut piece) = (Vec::new(), [0; 1024]);
            while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(n) if n > 0 => request.extend_from_slice(&piece[..n]),
                    _ => break,
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let file = files
                .iter()
                .find(|(name, _)| path == format!("/extensions/{name}"));
            log.lock().unwrap().push(path);
            let (code, body) = file.map_or(("404 Not Found", &b"no"[..]), |(_, b)| ("200 OK", b));
            let head = format!(
                "HTTP/1.1 {code}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body);
        }
    });
    (base, asked)
}

/// An apiserver and an etcd on this machine; they end with it.
pub struct AnsweringCluster {
    pub at: AnsweringAt,
    _stop: oneshot::Sender<()>,
}

/// Where they answer, whatever they are asked at.
#[derive(Debug, Clone, Copy)]
pub struct AnsweringAt {
    vip: SocketAddr,
    api: SocketAddr,
    etcd: SocketAddr,
}

impl AnsweringCluster {
    /// Answers by the begin of `METHOD /path`, as [`Script::on`] has it.
    pub fn start(pki: Pki, answers: &[(&str, u16, &str)]) -> Self {
        let owned = |(request, status, body): &(&str, u16, &str)| {
            ((*request).to_owned(), *status, (*body).to_owned())
        };
        let answers: Vec<_> = answers.iter().map(owned).collect();
        let (ready, places) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(move || {
            run_local(async {
                let script = Script::default();
                DATE.clone_into(&mut script.date.borrow_mut());
                for (request, status, body) in &answers {
                    script.on(request, *status, body);
                }
                let api = script.serve(&pki.cluster).await;
                let etcd = script.serve(&pki.etcd).await;
                ready
                    .send(AnsweringAt {
                        vip: api,
                        api,
                        etcd,
                    })
                    .unwrap();
                // An error: whoever holds the other end has gone, which is the sign to end.
                let _ = stopped.await;
            });
        });
        Self {
            at: places.recv().unwrap(),
            _stop: stop,
        }
    }
}

impl AnsweringAt {
    /// Where nobody answers: connections are refused at once.
    pub fn nobody() -> Self {
        let refused = SocketAddr::from(([127, 0, 0, 1], 1));
        let (vip, api, etcd) = (refused, refused, refused);
        Self { vip, api, etcd }
    }

    /// The same with a VIP that refuses connections.
    pub fn without_vip(self) -> Self {
        let vip = Self::nobody().vip;
        Self { vip, ..self }
    }

    pub fn reach(&self, inside: SocketAddr) -> SocketAddr {
        match inside.port() {
            ETCD_CLIENT_PORT => self.etcd,
            APISERVER_PORT => self.api,
            _ => self.vip,
        }
    }
}

/// Machines of others, with no way to run anything on them.
pub fn machines_of_others() -> ByOthers {
    let cluster = Cluster {
        authorized_keys: Vec::new(),
        ..ha_test_support::demo_cluster()
    };
    ByOthers::new(&cluster, Path::new("/nonexistent"))
}

/// A provider without machines, whose network ends at an [`AnsweringCluster`].
#[derive(Debug)]
pub struct Forwarding(pub AnsweringAt);

impl Provider for Forwarding {
    fn preflight(&self) -> Result<Vec<Finding>> {
        machines_of_others().preflight()
    }
    fn prepare(&self) -> Result<()> {
        machines_of_others().prepare()
    }
    fn ensure(&self, node: &Node, ignition: &Path) -> Result<Made> {
        machines_of_others().ensure(node, ignition)
    }
    fn state(&self, node: &Node) -> Result<Machine> {
        machines_of_others().state(node)
    }
    fn power(&self, node: &Node, order: Power) -> Result<()> {
        machines_of_others().power(node, order)
    }
    fn remove(&self, node: &Node) -> Result<()> {
        machines_of_others().remove(node)
    }
    fn exec(&self, node: &Node, argv: &[&str]) -> Result<Command> {
        machines_of_others().exec(node, argv)
    }
    fn reach(&self, inside: SocketAddr) -> SocketAddr {
        self.0.reach(inside)
    }
    fn events(&self, node: &Node) -> PathBuf {
        machines_of_others().events(node)
    }
    fn console(&self, node: &Node) -> PathBuf {
        machines_of_others().console(node)
    }
    fn destroy(&self) -> Result<()> {
        machines_of_others().destroy()
    }
}
