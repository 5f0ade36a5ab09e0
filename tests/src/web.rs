//! A small web server on every control plane, behind the VIP as an extra port: what answers there without Kubernetes.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};

use crate::cluster::Cluster;
use crate::ignition::IgnitionConfig;
use crate::probe::{EVERY, ProbeTarget};

/// On the VIP.
pub const PORT: u16 = 8080;
/// On the control planes.
pub const TARGET: u16 = 18080;
/// Longer than any client that people have would wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two questions to emulated machines: fifty a second are more than they can answer, and once they are behind, every
/// answer comes too late for who asked.
const EMULATED_EVERY: Duration = Duration::from_millis(200);

/// The server's unit, of the image's own busybox; it says which node it is.
const UNIT: &str = "[Unit]
Description=Says which node answers

[Service]
RuntimeDirectory=web
ExecStartPre=/bin/sh -c 'uname -n > /run/web/index.html'
ExecStart=/usr/bin/busybox httpd -f -p 18080 -h /run/web

[Install]
WantedBy=multi-user.target
";

/// The lines of the cluster file that put it behind the VIP, whose holder says this often that it lives.
pub fn extra_port_lines(advert: &str) -> String {
    let port = format!("{{name: web, port: {PORT}, target: {TARGET}}}");
    format!("loadBalancer: {{advertInterval: {advert}, extraPorts: [{port}]}}\n")
}

/// Adds the server to a config.
#[must_use]
pub fn with_server(config: IgnitionConfig) -> IgnitionConfig {
    config.unit("web.service", true, UNIT)
}

/// The server as the operator sees it.
#[derive(Debug, Clone)]
pub struct WebServer {
    network: Arc<File>,
    at: SocketAddr,
    emulated: bool,
}

impl WebServer {
    /// Behind the VIP.
    pub fn behind_the_vip(cluster: &Cluster) -> Result<Self> {
        let vip = SocketAddr::new(cluster.endpoint().ip(), PORT);
        Ok(Self {
            network: Arc::new(cluster.operator().network()?),
            at: cluster.reach(vip)?,
            emulated: cluster.plan().kind.is_virtual(),
        })
    }

    /// Which node answers.
    pub fn node(&self) -> Result<String> {
        let web = self.clone();
        let asked = std::thread::spawn(move || {
            web.enter()?;
            web.get()
        });
        asked
            .join()
            .map_err(|_| anyhow::anyhow!("the asking thread panicked"))?
    }

    fn get(&self) -> Result<String> {
        let mut socket = TcpStream::connect_timeout(&self.at, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        write!(socket, "GET / HTTP/1.0\r\nHost: {}\r\n\r\n", self.at)?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .with_context(|| format!("not an HTTP response: {answer:?}"))?;
        if !head.contains(" 200 ") {
            bail!("{head}");
        }
        Ok(body.trim().to_owned())
    }
}

impl ProbeTarget for WebServer {
    fn enter(&self) -> Result<()> {
        setns(self.network.as_fd(), CloneFlags::CLONE_NEWNET)
            .context("enter the operator's network")
    }

    fn ask(&self) -> Result<()> {
        self.get().map(drop)
    }

    fn every(&self) -> Duration {
        match self.emulated {
            true => EMULATED_EVERY,
            false => EVERY,
        }
    }
}
