//! Apiservers as a client on the operator's machine sees them: a fresh connection each time, verified by the cluster's CA.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use ha_kube::https::HttpsClient;
use nix::sched::{CloneFlags, setns};

use crate::operator::Operator;

/// The longest that one request may take in all; a client that gives up later is not a client that people have.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who asks, from where, trusting whom.
#[derive(Debug, Clone)]
pub struct Client {
    network: Arc<std::fs::File>,
    ca: Arc<str>,
}

impl Client {
    /// A client on the operator's machine that trusts this CA (PEM) alone.
    pub fn new(operator: &Operator, ca: &str) -> Result<Self> {
        Ok(Self {
            network: Arc::new(operator.network()?),
            ca: ca.into(),
        })
    }

    /// One apiserver, to be asked again and again.
    pub fn apiserver(&self, server: SocketAddr) -> Result<Apiserver> {
        let https = HttpsClient::with_fresh_connections(&ha_kube::url_of(server), &self.ca)?;
        Ok(Apiserver {
            network: Arc::clone(&self.network),
            api: ha_kube::Client::over(https.within(PATIENCE)),
        })
    }

    /// Whether `/readyz` says 200. The calling thread stays where it is.
    pub fn ready(&self, server: SocketAddr) -> Result<()> {
        let apiserver = self.apiserver(server)?;
        let asked = std::thread::spawn(move || {
            apiserver.enter()?;
            apiserver.ready()
        });
        asked
            .join()
            .map_err(|_| anyhow!("the asking thread panicked"))?
    }
}

/// One apiserver.
#[derive(Debug, Clone)]
pub struct Apiserver {
    network: Arc<std::fs::File>,
    api: ha_kube::Client,
}

impl Apiserver {
    /// Moves the calling thread, and all threads that it starts, into the operator's network for good.
    pub fn enter(&self) -> Result<()> {
        setns(self.network.as_fd(), CloneFlags::CLONE_NEWNET)
            .context("enter the operator's network")
    }

    /// Whether `/readyz` says 200, from a thread that has entered.
    pub fn ready(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(self.api.ready())?)
    }
}
