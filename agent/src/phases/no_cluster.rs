//! A control plane that waits at its gate tells a peer that wants to found the cluster: this machine is in none. Only the machine
//! itself knows that: a member that boots refuses connections for as long as a machine that is new.
//!
//! It answers on the apiserver's port, which is free until it joins and open between control planes anyway. The answer is
//! signed with what all control planes have from Ignition, over the asker's own random number: nobody else can give it, and it
//! cannot be given again later.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_lc_rs::hmac;
use ha_wire::node::Peer;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

use super::is_settled;
use crate::context::Context;
use crate::kube::{KUBELET_PEM, pki_file, pod_manifest};
use crate::render::kubeadm::EffectiveSettings;
use crate::sys::net::{connect_within, listen_on};
use crate::sys::random::secret_bytes;

/// Before the random number, in hexadecimal digits.
const QUESTION: &str = "ha-agent: in no cluster? ";
/// What is signed begins so: no other use of the key gives the same signature.
const PURPOSE: &str = "flatcar-ha in no cluster, version 1";
/// Longer than a question and an answer; who says more says something else.
const LONGEST_LINE: u64 = 160;
/// A peer on the same segment answers within milliseconds; one that is switched off never does.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// A question is sent with the connection; checks of load balancers are not to keep others waiting.
const QUESTION_WITHIN: Duration = Duration::from_millis(300);
/// The port is free again as soon as its last user has ended.
const BIND_AGAIN: Duration = Duration::from_millis(500);

/// Whether this peer says that it is in no cluster. No answer, and any other, is a no.
pub async fn peer_says_so(cx: &Context, peer: &Peer) -> bool {
    let address = cx.node.endpoint.apiserver(peer.address);
    match tokio::time::timeout(ANSWER_WITHIN, ask_peer(cx, peer, address)).await {
        Ok(Ok(said)) => said,
        Ok(Err(error)) => {
            debug!("{}: {error:#}", peer.name);
            false
        }
        Err(_) => false,
    }
}

/// Answers peers for as long as it is polled, if this machine is in no cluster.
pub async fn answer_peers(cx: &Context) -> std::convert::Infallible {
    if !is_in_no_cluster(cx) {
        return std::future::pending().await;
    }
    let address = cx.node.endpoint.apiserver(cx.node.address);
    loop {
        match listen_on(address).await {
            Ok(listener) => answer_each(cx, &listener).await,
            Err(error) => debug!("{address}: {error}"),
        }
        cx.sys.clock.sleep(BIND_AGAIN).await;
    }
}

/// Nothing of a join or an init is on the disk.
fn is_in_no_cluster(cx: &Context) -> bool {
    let data = format!("{}/member", EffectiveSettings::new(&cx.node).etcd_data);
    // With an external etcd nothing is left here but what asks it.
    let pod = if cx.node.has_external_etcd() {
        "kube-apiserver"
    } else {
        "etcd"
    };
    let traces = [data, pod_manifest(pod), KUBELET_PEM.to_owned()];
    cx.node.is_control_plane()
        && !is_settled(cx)
        && !traces.iter().any(|trace| cx.sys.files.exists(trace))
}

/// Until the listener fails.
async fn answer_each(cx: &Context, listener: &TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let answered = tokio::time::timeout(QUESTION_WITHIN, answer_one(cx, stream)).await;
        if let Ok(Err(error)) = answered {
            debug!("a question of a peer: {error:#}");
        }
    }
}

async fn answer_one(cx: &Context, mut stream: TcpStream) -> Result<()> {
    let line = read_line(&mut stream).await?;
    if let Some(number) = line.strip_prefix(QUESTION) {
        let key = shared_key(cx)?;
        let tag = hmac::sign(&key, &signed_statement(cx, &cx.node.name, number));
        let answer = format!("{}\n", to_hex(tag.as_ref()));
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

async fn ask_peer(cx: &Context, peer: &Peer, address: SocketAddr) -> Result<bool> {
    let number = to_hex(&secret_bytes::<16>()?);
    let mut stream = connect_within(address, ANSWER_WITHIN).await?;
    stream
        .write_all(format!("{QUESTION}{number}\n").as_bytes())
        .await?;
    let Some(tag) = from_hex(&read_line(&mut stream).await?) else {
        return Ok(false);
    };
    let said = signed_statement(cx, &peer.name, &number);
    Ok(hmac::verify(&shared_key(cx)?, &said, &tag).is_ok())
}

async fn read_line(stream: &mut TcpStream) -> Result<String> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(LONGEST_LINE));
    reader.read_until(b'\n', &mut line).await?;
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn signed_statement(cx: &Context, node: &str, number: &str) -> Vec<u8> {
    format!("{PURPOSE}\n{}\n{node}\n{number}", cx.node.cluster).into_bytes()
}

/// The key of the cluster's CA: control planes have it, workers and others do not.
fn shared_key(cx: &Context) -> Result<hmac::Key> {
    let name = pki_file("ca.key");
    let pem = cx.sys.files.read(&name)?.map(ha_kube::Secret::new);
    let pem = pem.with_context(|| format!("{name} is missing"))?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, pem.expose().as_bytes()))
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let pairs = digits?;
    let pairs = pairs.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok())
        .collect()
}

#[cfg(test)]
mod tests;
