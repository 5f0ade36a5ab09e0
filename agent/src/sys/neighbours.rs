//! Who holds which address on the segment, from the kernel's own tables.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use tokio::net::UdpSocket;

use super::files::Files;

mod v6;

/// The neighbours of version 4 that the kernel knows.
const TABLE: &str = "/proc/net/arp";
/// In the column `Flags`: the link-layer address is known (`ATF_COM` of the kernel's uapi/linux/if_arp.h).
const COMPLETE: u32 = 0x02;
/// The discard service: nobody needs to listen there.
const DISCARD: u16 = 9;

/// An address of another machine, and the link-layer address behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    pub address: IpAddr,
    /// As the kernel writes it, e.g. `52:54:00:12:34:57`.
    pub link: String,
}

/// The neighbours with addresses of this kind whose link-layer address is known.
pub fn known_neighbours(files: &Files, kind: IpAddr) -> Result<Vec<Neighbour>> {
    match kind {
        IpAddr::V4(_) => Ok(parse_neighbours(&files.read(TABLE)?.unwrap_or_default())),
        IpAddr::V6(_) => v6::known_neighbours(),
    }
}

/// `IP address, HW type, Flags, HW address, Mask, Device` below a header line.
fn parse_neighbours(table: &str) -> Vec<Neighbour> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [address, _kind, flags, link, ..] = fields[..] else {
            return None;
        };
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
        let address = address.parse().ok()?;
        let link = link.to_owned();
        (flags & COMPLETE != 0).then_some(Neighbour { address, link })
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// Makes the kernel ask for the link-layer address behind this one, by an empty datagram to a port where nobody listens.
/// Nothing is waited for: the answer is in the table at the next look.
pub async fn ask_for_neighbour(address: IpAddr) -> std::io::Result<()> {
    let any: IpAddr = match address {
        IpAddr::V4(_) => [0; 4].into(),
        IpAddr::V6(_) => [0_u16; 8].into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    let to = SocketAddr::new(address, DISCARD);
    socket.send_to(&[], to).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ha_test_support::real;

    #[test]
    fn only_complete_entries_count() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
            10.77.0.11       0x1         0x2         52:54:00:00:00:11     *        eth0\n\
            10.77.0.12       0x1         0x0         00:00:00:00:00:00     *        eth0\n\
            10.77.0.30       0x1         0x6         52:54:00:00:00:11     *        eth0\n";
        let neighbour = |host: u8| Neighbour {
            address: [10, 77, 0, host].into(),
            link: "52:54:00:00:00:11".into(),
        };
        assert_eq!(parse_neighbours(table), [neighbour(11), neighbour(30)]);
        assert_eq!(parse_neighbours(""), []);
    }

    /// Two machines on one wire: the kernel's own table, before and after somebody asked.
    #[test]
    fn the_kernel_s_table_names_who_was_asked_for() {
        let (Some(ip), Some(mut in_namespace)) =
            (real::require_program("ip", "iproute2"), real::own_network())
        else {
            return;
        };
        // The datagram is bash's own: what is under test is that one makes the kernel ask, and how it writes the answer.
        let script = r#"set -e; ip=$1
            "$ip" link add eth0 type veth peer name far; "$ip" link set far address 02:00:00:00:00:30
            unshare -n sleep 60 & other=$!
            until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
            "$ip" link set far netns $other
            "$ip" addr add 10.77.0.12/24 dev eth0; "$ip" link set eth0 up
            far() { nsenter -t $other -n "$ip" "$@"; }
            far addr add 10.77.0.30/24 dev far; far link set far up
            until [ "$(cat /sys/class/net/eth0/operstate)" = up ]; do :; done
            cat /proc/net/arp; echo ====
            printf x > /dev/udp/10.77.0.30/9
            for i in $(seq 100); do grep -q 02:00:00:00:00:30 /proc/net/arp && break; sleep 0.05; done
            cat /proc/net/arp; kill $other"#;
        in_namespace.args(["bash", "-c", script, "bash"]).arg(ip);
        let out = in_namespace.output().unwrap();
        let said = String::from_utf8(out.stdout).unwrap();
        let (before, after) = said.split_once("====\n").unwrap_or_else(|| {
            panic!("{said}{}", String::from_utf8_lossy(&out.stderr));
        });
        assert_eq!(parse_neighbours(before), []);
        let other = Neighbour {
            address: [10, 77, 0, 30].into(),
            link: "02:00:00:00:00:30".into(),
        };
        assert_eq!(parse_neighbours(after), [other]);
    }
}
