//! The neighbours of version 6, which no file of /proc shows: one question over netlink (linux/rtnetlink.h, linux/neighbour.h).

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsRawFd;

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use super::Neighbour;

/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
const RTM_GETNEIGH: u16 = 30;
const RTM_NEWNEIGH: u16 = 28;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `AF_INET6`.
const V6: u8 = 10;
/// A message's head, and that of a neighbour in it.
const HEADER: usize = 16;
const NEIGHBOUR: usize = 12;
/// Where the state stands in the latter.
const STATE: usize = 8;
/// `NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT`: the link-layer address is known.
const COMPLETE: u16 = 0x9e;
/// Attributes: the address, and the link-layer address behind it.
const DST: u16 = 1;
const LLADDR: u16 = 2;
/// As much as the kernel puts into one answer.
const ANSWER: usize = 32 * 1024;

pub fn known_neighbours() -> Result<Vec<Neighbour>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )
    .context("no netlink socket")?;
    let fd = socket.as_raw_fd();
    sendto(
        fd,
        &neighbours_question(),
        &NetlinkAddr::new(0, 0),
        MsgFlags::empty(),
    )
    .context("cannot ask for neighbours")?;
    let (mut all, mut buffer) = (Vec::new(), vec![0; ANSWER]);
    loop {
        let length = recv(fd, &mut buffer, MsgFlags::empty()).context("no neighbours")?;
        if add_neighbours(buffer.get(..length).unwrap_or_default(), &mut all)? {
            return Ok(all);
        }
    }
}

fn neighbours_question() -> Vec<u8> {
    let mut all = ((HEADER + NEIGHBOUR) as u32).to_ne_bytes().to_vec();
    all.extend(RTM_GETNEIGH.to_ne_bytes());
    all.extend(DUMP.to_ne_bytes());
    all.resize(HEADER, 0);
    all.push(V6);
    all.resize(HEADER + NEIGHBOUR, 0);
    all
}

/// True when that was all.
fn add_neighbours(mut answer: &[u8], all: &mut Vec<Neighbour>) -> Result<bool> {
    while answer.len() >= HEADER {
        let length = u32::from_ne_bytes([answer[0], answer[1], answer[2], answer[3]]) as usize;
        let Some(message) = answer.get(HEADER..length) else {
            bail!("the kernel's list of neighbours ends in the middle");
        };
        match number_at(answer, 4) {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => bail!("the kernel lists no neighbours"),
            RTM_NEWNEIGH => all.extend(parse_neighbour(message)),
            _ => {}
        }
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn parse_neighbour(message: &[u8]) -> Option<Neighbour> {
    let mut attributes = message.get(NEIGHBOUR..)?;
    let (mut address, mut link) = (None, None);
    while attributes.len() > 4 {
        let (length, kind) = (number_at(attributes, 0).into(), number_at(attributes, 2));
        let value = attributes.get(4..length)?;
        match kind {
            DST => address = Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?)),
            LLADDR => link = Some(value.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>()),
            _ => {}
        }
        attributes = attributes
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    let is_complete = number_at(message, STATE) & COMPLETE != 0;
    let neighbour = Neighbour {
        address: IpAddr::V6(address?),
        link: link?.join(":"),
    };
    is_complete.then_some(neighbour)
}

fn number_at(bytes: &[u8], at: usize) -> u16 {
    let two = bytes.get(at..at + 2).and_then(|b| b.try_into().ok());
    two.map_or(0, u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use ha_test_support::real;
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    /// The kernel's own list, in a network of this thread's own.
    #[test]
    #[ignore = "needs root: make test runs it"]
    fn only_neighbours_whose_link_is_known_are_told() {
        if !real::is_root("makes a network namespace") {
            return;
        }
        let Some(ip) = real::require_program("ip", "iproute2") else {
            return;
        };
        let seen = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let batch = "link add eth0 type veth peer name far\nlink set eth0 up\n\
                neigh add fd00:77::30 lladdr 52:54:00:00:00:11 dev eth0 nud permanent\n\
                neigh add fd00:77::11 lladdr 52:54:00:00:00:11 dev eth0 nud stale\n\
                neigh add fd00:77::12 dev eth0 nud failed\n\
                neigh add 10.77.0.13 lladdr 52:54:00:00:00:13 dev eth0 nud permanent\n";
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), batch).unwrap();
            let made = Command::new(ip).arg("-batch").arg(file.path()).status();
            assert!(made.unwrap().success());
            known_neighbours().unwrap()
        });
        let mut seen = seen.join().unwrap();
        seen.sort_by_key(|neighbour| neighbour.address);
        let neighbour = |address: &str| Neighbour {
            address: address.parse().unwrap(),
            link: "52:54:00:00:00:11".into(),
        };
        assert_eq!(seen, [neighbour("fd00:77::11"), neighbour("fd00:77::30")]);
    }

    #[test]
    fn what_is_cut_short_is_no_neighbour() {
        let mut all = Vec::new();
        let mut message = neighbours_question();
        message[4..6].copy_from_slice(&RTM_NEWNEIGH.to_ne_bytes());
        assert!(!add_neighbours(&message, &mut all).unwrap());
        message.truncate(HEADER + 4);
        assert!(add_neighbours(&message, &mut all).is_err());
        message[0..4].copy_from_slice(&0_u32.to_ne_bytes());
        assert!(add_neighbours(&message, &mut all).is_err());
        assert_eq!(all, []);
    }
}
