//! One question to one DNS server, over UDP: no resolver is needed for it, and no cache answers in its place.

use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::join_all;
use tokio::net::UdpSocket;

use super::files::Files;
use super::{net, pod_networks, random};

/// A server on the same network answers within milliseconds; one whose own upstream hangs answers for the cluster's names too.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const PORT: u16 = 53;
/// A header is this long (RFC 1035, section 4.1.1).
const HEADER: usize = 12;
/// Longer than any answer without extensions.
const LONGEST: usize = 512;

/// Everybody's parent: whoever answers for names outside of the cluster knows that it has no address.
const ROOT: &str = ".";

/// An error unless this server has an address for the name, of the server's own kind.
pub async fn resolve_at(server: IpAddr, name: &str) -> Result<()> {
    resolve_at_port(SocketAddr::new(server, PORT), name).await
}

/// An error unless this server answers for names outside of the cluster.
pub async fn resolves_outer_names(server: IpAddr) -> Result<()> {
    resolve_at_port(SocketAddr::new(server, PORT), ROOT).await
}

/// The same from the networks of some of this node's pods, which ones by chance: an error unless one of them is answered, since a
/// NetworkPolicy may forbid any of them to ask. With the network that was answered, or one that was not; none: no pod here has one.
pub async fn resolve_for_pods(
    files: &Files,
    server: IpAddr,
    name: &str,
) -> Option<(PathBuf, Result<()>)> {
    let server = SocketAddr::new(server, PORT);
    let sockets = pod_networks::connected_sockets(files, server).await;
    let all = sockets
        .into_iter()
        .map(async |(network, socket)| (network, resolve_over(socket, server, name).await));
    let all = join_all(all).await.into_iter();
    all.min_by_key(|(_, answer)| answer.is_err())
}

async fn resolve_at_port(server: SocketAddr, name: &str) -> Result<()> {
    resolve_over(net::connected_socket(server), server, name).await
}

/// Over a socket that is connected to the server.
async fn resolve_over(
    socket: std::io::Result<StdSocket>,
    server: SocketAddr,
    name: &str,
) -> Result<()> {
    let id = random::random_id();
    let question = dns_question(id, name, server.is_ipv6())
        .with_context(|| format!("{name:?} is no DNS name"))?;
    let asked = async {
        let socket = UdpSocket::from_std(socket?)?;
        socket.send(&question).await?;
        let mut answer = [0; LONGEST];
        loop {
            let length = socket.recv(&mut answer).await?;
            if let Some(outcome) = outcome_of(id, answer.get(..length).unwrap_or_default()) {
                return Ok::<_, std::io::Error>(outcome);
            }
        }
    };
    match tokio::time::timeout(ANSWER_WITHIN, asked).await {
        Err(_) => bail!(
            "{server}: no answer within {} s to {name}",
            ANSWER_WITHIN.as_secs()
        ),
        Ok(outcome) => match outcome.with_context(|| server.to_string())? {
            "" => Ok(()),
            "NODATA" | "NXDOMAIN" if name == ROOT => Ok(()),
            why => bail!("{server} answers {why} to {name}"),
        },
    }
}

/// One question for an address, recursion desired; none: the name has a label that is empty or too long.
fn dns_question(id: u16, name: &str, wants_v6: bool) -> Option<Vec<u8>> {
    let mut all = id.to_be_bytes().to_vec();
    all.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let labels = name.trim_end_matches('.').split('.');
    for label in labels.filter(|_| name != ROOT) {
        let length = u8::try_from(label.len()).ok();
        all.push(length.filter(|length| (1..=63).contains(length))?);
        all.extend_from_slice(label.as_bytes());
    }
    let kind = if wants_v6 { 28 } else { 1 };
    all.extend([0, 0, kind, 0, 1]);
    Some(all)
}

/// What the answer to this question comes to, empty: an address; none: it is not the answer to it.
fn outcome_of(id: u16, answer: &[u8]) -> Option<&'static str> {
    let [a, b, flags, code, _, _, found_high, found_low, ..] = *answer else {
        return None;
    };
    if answer.len() < HEADER || u16::from_be_bytes([a, b]) != id || flags & 0x80 == 0 {
        return None;
    }
    Some(match code & 0x0f {
        0 if u16::from_be_bytes([found_high, found_low]) > 0 => "",
        0 => "NODATA",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        5 => "REFUSED",
        _ => "an error",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "kubernetes.default.svc.demo.local";
    const NAME_ASKED: &[u8] = b"\x0akubernetes\x07default\x03svc\x04demo\x05local\0\0\x01\0\x01";

    async fn answered(flags: [u8; 2], records: u8) -> Result<()> {
        answered_to(NAME, NAME_ASKED, flags, records).await
    }

    /// A server that answers the question with these flags and so many records, after an answer to another question.
    async fn answered_to(name: &str, bytes: &[u8], flags: [u8; 2], records: u8) -> Result<()> {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let serve = async {
            let mut asked = [0; LONGEST];
            let (length, from) = server.recv_from(&mut asked).await.unwrap();
            let question = &asked[..length];
            assert_eq!(&question[HEADER..], bytes);
            let mut answer = question.to_vec();
            (answer[2], answer[3], answer[7]) = (flags[0], flags[1], records);
            let mut stray = answer.clone();
            stray[0] ^= 1;
            for datagram in [stray, answer] {
                server.send_to(&datagram, from).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = resolve_at_port(address, name) => answer,
            () = serve => unreachable!(),
        }
    }

    #[tokio::test]
    async fn an_address_is_told_from_every_other_answer() {
        answered([0x85, 0x80], 1).await.unwrap();
        for (flags, records, word) in [
            ([0x85, 0x83], 0, "NXDOMAIN"),
            ([0x81, 0x82], 0, "SERVFAIL"),
            ([0x81, 0x85], 0, "REFUSED"),
            ([0x85, 0x80], 0, "NODATA"),
        ] {
            let error = answered(flags, records).await.unwrap_err().to_string();
            assert!(
                error.contains(&format!(" answers {word} to kubernetes.default")),
                "{error}"
            );
        }
    }

    /// The root has no address: that it says so is what a server is asked for.
    #[tokio::test]
    async fn who_answers_for_the_root_answers_for_outer_names() {
        for (flags, is_well) in [
            ([0x81, 0x80], true),
            ([0x81, 0x83], true),
            ([0x81, 0x82], false),
            ([0x81, 0x85], false),
        ] {
            let answer = answered_to(ROOT, b"\0\0\x01\0\x01", flags, 0).await;
            assert_eq!(answer.is_ok(), is_well, "{flags:?} {answer:?}");
        }
    }

    #[tokio::test]
    async fn nobody_and_silence_are_told_by_what_they_are() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let error = resolve_at_port(address, "x.y").await.unwrap_err();
        assert!(
            format!("{error:#}").contains("no answer within 2 s"),
            "{error:#}"
        );
        // An address of no other test, where nobody ever was: a program being started may hold a copy of a socket that is closed.
        let nobody = SocketAddr::from(([127, 53, 0, 1], 53));
        let error = resolve_at_port(nobody, "x.y").await.unwrap_err();
        assert!(format!("{error:#}").contains("refused"), "{error:#}");
        assert!(resolve_at_port(address, "x..y").await.is_err());
    }
}
