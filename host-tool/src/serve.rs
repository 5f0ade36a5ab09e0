//! A small web server for machines that others boot: each node's config once and only while the cluster is being launched, the
//! local system extensions beside it, and what a machine needs that boots from the network.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::IncomingStream;
use ha_cluster_file::cluster::{Cluster, Mac, Node};
use ha_host_base::files::LockedFile;
use ha_host_base::text::hex_digits;
use ha_kube::Secret;
use serde::Deserialize;
use tokio::net::TcpListener;
use tower_http::services::{ServeDir, ServeFile};

mod given;
mod pxe;
pub mod tls;

use crate::bakery::{Artefacts, SysextSource, sha256_of_file};
use crate::ignition::{FetchedFile, download_path, with_fetched};
use crate::state::{ClusterDir, ClusterLife};
use given::GivenOut;
pub use pxe::{IMAGE, KERNEL};
use tls::TlsListener;

/// Bytes of randomness in a node's own URL: nobody finds one by trying.
const TOKEN_BYTES: usize = 16;

/// What is served, and how.
#[derive(Debug)]
pub struct Offer {
    /// The cluster's state directory.
    pub dir: ClusterDir,
    pub cluster: Cluster,
    /// Where machines reach this server, without a slash at its end.
    pub url: String,
    /// Local system extensions that nodes are to fetch from here.
    pub sysexts: Artefacts,
    /// The directory with Flatcar's kernel and image for network boots.
    pub pxe: Option<PathBuf>,
    /// The disk that a machine which boots from the network installs Flatcar to.
    pub install_disk: Option<String>,
}

/// Somebody asked for a node's config.
#[derive(Debug)]
pub struct ConfigAsked<'a> {
    pub node: &'a str,
    pub by: IpAddr,
    /// Why it was not given out; none: it was.
    pub refused: Option<&'a str>,
}

/// The server's routes and what they know.
#[derive(Debug)]
pub struct Site {
    offer: Offer,
    /// Is told of everybody who asks for a config.
    tell: fn(&ConfigAsked<'_>),
    sysexts: Vec<ServedSysext>,
    /// For each node, in the cluster file's order, the last part of its own URL.
    tokens: Vec<String>,
    /// Held while a config is given out: of two that ask at once one gets it.
    given: Mutex<GivenOut>,
}

/// A local system extension, as nodes fetch it.
#[derive(Debug)]
struct ServedSysext {
    name: String,
    image: PathBuf,
    route: String,
    fetched: FetchedFile,
}

/// Which machine asks.
#[derive(Debug, Deserialize)]
struct Asker {
    #[serde(default)]
    mac: String,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Client(IpAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Client {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(stream.remote_addr().ip())
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Client {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(stream.remote_addr().ip())
    }
}

/// Why somebody gets no config.
#[derive(Debug)]
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1 + "\n").into_response()
    }
}

impl Site {
    pub fn new(offer: Offer, tell: fn(&ConfigAsked<'_>)) -> Result<Arc<Self>> {
        let nodes = offer.cluster.nodes.iter();
        let tokens = nodes.map(|_| random_token());
        Ok(Arc::new(Self {
            tokens: tokens.collect::<Result<_>>()?,
            sysexts: served_sysexts(&offer)?,
            given: Mutex::new(GivenOut::of(&offer.dir)),
            offer,
            tell,
        }))
    }

    pub fn dir(&self) -> &ClusterDir {
        &self.offer.dir
    }

    pub fn url(&self) -> &str {
        &self.offer.url
    }

    /// A line for each node: its own URL, once.
    pub fn offered(&self) -> Vec<String> {
        let nodes = self.offer.cluster.nodes.iter().zip(&self.tokens);
        let url = &self.offer.url;
        nodes
            .map(|(node, token)| match node.mac {
                Some(mac) => format!(
                    "  {}  {url}/config/{token}  or  {url}/config?mac={mac}",
                    node.name
                ),
                None => format!("  {}  {url}/config/{token}", node.name),
            })
            .collect()
    }

    pub fn router(self: &Arc<Self>) -> Router {
        let mut router = Router::new()
            .route("/config", get(config_by_mac))
            .route("/config/{token}", get(config_by_token));
        for sysext in &self.sysexts {
            router = router.route_service(&sysext.route, ServeFile::new(&sysext.image));
        }
        if let Some(dir) = &self.offer.pxe {
            router = router
                .nest_service("/pxe", ServeDir::new(dir))
                .route("/boot.ipxe", get(boot_script))
                .route("/installer", get(installer_by_mac));
        }
        router.with_state(self.clone())
    }

    /// Whether the cluster is still being launched.
    pub fn is_launching(&self) -> Result<bool> {
        let record = self.offer.dir.record()?;
        Ok(record.is_some_and(|record| record.life == ClusterLife::Launching))
    }

    /// The node whose config somebody may have, once; a place is its index.
    fn give_out(&self, place: Option<usize>, to: IpAddr) -> Result<Secret, Refused> {
        let unknown = || Refused(StatusCode::NOT_FOUND, "no node of this cluster".to_owned());
        let node = &self.offer.cluster.nodes[place.ok_or_else(unknown)?];
        let result = self.config_of(node);
        (self.tell)(&ConfigAsked {
            node: &node.name,
            by: to,
            refused: result.as_ref().err().map(|Refused(_, why)| why.as_str()),
        });
        result
    }

    fn config_of(&self, node: &Node) -> Result<Secret, Refused> {
        let name = node.name.as_str();
        let broken = |e: anyhow::Error| {
            Refused(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("{name}'s config cannot be given out: {e:#}"),
            )
        };
        if !self.is_launching().map_err(broken)? {
            return Err(Refused(
                StatusCode::FORBIDDEN,
                "the cluster is not being launched".to_owned(),
            ));
        }
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.is_given(name) {
            return Err(Refused(
                StatusCode::GONE,
                format!(
                    "{name}'s config was given out before; if its machine did not get it: ha-host serve --again {name}"
                ),
            ));
        }
        let text = std::fs::read_to_string(self.offer.dir.ignition(name));
        let text = Secret::new(text.map_err(|e| broken(e.into()))?);
        let sysexts = self.sysexts.iter();
        let its_own = sysexts.filter(|s| self.offer.cluster.has_sysext(node, &s.name));
        let fetched: Vec<_> = its_own.map(|s| s.fetched.clone()).collect();
        let config = with_fetched(text.expose(), &fetched).map_err(broken)?;
        given.note(name).map_err(broken)?;
        Ok(config)
    }

    fn place_of_mac(&self, mac: &str) -> Option<usize> {
        let mac: Mac = mac.replace('-', ":").parse().ok()?;
        let nodes = &self.offer.cluster.nodes;
        nodes.iter().position(|node| node.mac == Some(mac))
    }
}

fn random_token() -> Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).context("no random numbers")?;
    Ok(hex_digits(&bytes))
}

/// Those that are files here; the others nodes fetch from where they are.
fn served_sysexts(offer: &Offer) -> Result<Vec<ServedSysext>> {
    let mut served = Vec::new();
    for (name, sysext) in &offer.sysexts {
        let SysextSource::File(image) = &sysext.source else {
            continue;
        };
        let route = format!("/sysexts/{name}/{}", sysext.file);
        served.push(ServedSysext {
            name: name.clone(),
            image: image.clone(),
            fetched: FetchedFile {
                path_on_node: download_path(name, &sysext.file),
                url: format!("{}{route}", offer.url),
                sha256: sha256_of_file(image)?,
            },
            route,
        });
    }
    Ok(served)
}

/// JSON that no cache keeps.
fn secret_json(config: &Secret) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, config.expose().to_owned()).into_response()
}

async fn config_by_token(
    State(site): State<Arc<Site>>,
    ConnectInfo(Client(from)): ConnectInfo<Client>,
    axum::extract::Path(token): axum::extract::Path<String>,
) -> Result<Response, Refused> {
    let place = site.tokens.iter().position(|known| *known == token);
    Ok(secret_json(&site.give_out(place, from)?))
}

async fn config_by_mac(
    State(site): State<Arc<Site>>,
    ConnectInfo(Client(from)): ConnectInfo<Client>,
    Query(asker): Query<Asker>,
) -> Result<Response, Refused> {
    let place = site.place_of_mac(&asker.mac);
    Ok(secret_json(&site.give_out(place, from)?))
}

async fn boot_script(State(site): State<Arc<Site>>) -> String {
    pxe::ipxe_script(&site.offer.url)
}

/// No secret is in it: it tells a machine where its config is.
async fn installer_by_mac(
    State(site): State<Arc<Site>>,
    Query(asker): Query<Asker>,
) -> Result<Response, Refused> {
    let unknown = || Refused(StatusCode::NOT_FOUND, "no node has this MAC".to_owned());
    let place = site.place_of_mac(&asker.mac).ok_or_else(unknown)?;
    let mac = site.offer.cluster.nodes[place].mac.ok_or_else(unknown)?;
    let config = pxe::installer_config(&site.offer.url, mac, site.offer.install_disk.as_deref());
    Ok(([(header::CONTENT_TYPE, "application/json")], config).into_response())
}

/// A node's config may be given out once more.
pub fn forget_given(dir: &ClusterDir, node: &str) -> Result<()> {
    GivenOut::of(dir).forget(node)
}

/// The right to be the cluster's server, until dropped; none: another one runs, and looks for itself what may be given out.
pub fn lock_serving(dir: &ClusterDir) -> Result<Option<LockedFile>> {
    GivenOut::of(dir).lock()
}

/// A directory of network boots that lacks one of its files: which.
pub fn missing_pxe_file(dir: &Path) -> Option<&'static str> {
    [KERNEL, IMAGE]
        .into_iter()
        .find(|name| !dir.join(name).is_file())
}

#[cfg(test)]
mod tests;
