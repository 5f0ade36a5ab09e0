//! Bonds and VLANs below a node's interface. What is below has no address, and the node does not wait for each of its cables.

use anyhow::Result;
use ha_cluster_file::cluster::{Bond, Mac, Network, Vlan};

use super::super::build::ConfigBuilder;
use super::match_section;

const DIR: &str = "/etc/systemd/network";
/// How often the kernel looks at a member's cable: networkd's default is never.
const LOOK: &str = "MIIMonitorSec=100ms";

/// `name` is the node's own interface; `mac` finds the link of a VLAN that is not a bond.
pub fn write_links(
    build: &mut ConfigBuilder,
    network: &Network,
    name: &str,
    mac: Option<Mac>,
) -> Result<()> {
    let mtu = network.mtu.map(|mtu| format!("MTUBytes={mtu}\n"));
    let link = format!(
        "\n[Link]\nRequiredForOnline=no\n{}",
        mtu.unwrap_or_default()
    );
    if let Some(Bond {
        name,
        members,
        mode,
    }) = &network.bond
    {
        let netdev = format!("[NetDev]\nName={name}\nKind=bond\n\n[Bond]\nMode={mode}\n{LOOK}\n");
        build.file(&format!("{DIR}/05-{name}.netdev"), 0o644, &netdev)?;
        let members = members.join(" ");
        let text = format!("[Match]\nName={members}\n{link}\n[Network]\nBond={name}\n");
        build.file(&format!("{DIR}/06-{name}-members.network"), 0o644, &text)?;
    }
    if let Some(Vlan { id, link: below }) = &network.vlan {
        let netdev = format!("[NetDev]\nName={name}\nKind=vlan\n\n[VLAN]\nId={id}\n");
        build.file(&format!("{DIR}/05-{name}.netdev"), 0o644, &netdev)?;
        let found = match mac.filter(|_| network.bond.is_none()) {
            Some(mac) => match_section(mac),
            None => format!("[Match]\nName={below}\n"),
        };
        let none = "DHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n";
        let text = format!("{found}{link}\n[Network]\nVLAN={name}\n{none}");
        build.file(&format!("{DIR}/06-{below}.network"), 0o644, &text)?;
    }
    Ok(())
}
