//! What there is at a host, found out before anything is made: three lists, and one call that asks for all that they name.

use anyhow::{Context, Result};

use super::Libvirt;
use super::host::{Found, Host, capabilities_command};
use super::pool::Seen;
use super::virsh::Thing;
use super::xml::network::Network;

/// Everything of one host that a launch depends on.
#[derive(Debug)]
pub struct Survey {
    /// The domains of the host's nodes, in their order.
    pub domains: Vec<Found>,
    /// What its domains can be; none: it cannot run them.
    pub capabilities: Option<String>,
    /// Bytes of memory that can be had.
    pub free_memory: u64,
    /// The pool, if there is one.
    pub pool: Option<Seen>,
    /// The network that the nodes are to live in, if it is one of libvirt's and there.
    pub network: Option<Network>,
    pub network_active: bool,
}

impl Survey {
    /// Changes nothing.
    pub fn make(provider: &Libvirt, host: &Host) -> Result<Self> {
        let nodes: Vec<&str> = provider.nodes_of(host).map(|n| n.name.as_str()).collect();
        let domains = host.domains()?;
        let networks = host.virsh.names(&["net-list", "--all", "--name"])?;
        let pools = host.virsh.names(&["pool-list", "--name"])?;
        let network = provider.wiring.network_name(host);
        let network = network.filter(|name| networks.contains(name));
        let pool_active = pools.iter().any(|name| name == host.pool.name());

        let names: Vec<String> = nodes.iter().map(|node| host.names.domain(node)).collect();
        let mut things: Vec<Thing<'_>> = Vec::new();
        things.extend(
            names
                .iter()
                .filter(|n| domains.contains(n))
                .map(|n| Thing::Domain(n)),
        );
        things.extend(network.iter().map(|name| Thing::Network(name)));
        things.extend(pool_active.then(|| Thing::Pool(host.pool.name())));
        let arch = provider.options.vm.arch;
        let mut questions = vec![capabilities_command(arch).to_vec(), vec!["nodememstats"]];
        questions.extend(things.iter().map(|thing| thing.dump()));
        let answers = host.virsh.query_many(&questions)?;
        // Whatever is missing among the answers is asked for alone: then it is known why.
        let show = |thing: Thing<'_>| match answers.document(thing.element(), thing.name()) {
            Some(xml) => Ok(Some(xml.to_owned())),
            None => host.virsh.dump_listed(thing),
        };
        let mut shown = Vec::new();
        for (node, name) in nodes.iter().zip(&names) {
            let listed = domains.contains(name);
            let xml = if listed {
                show(Thing::Domain(name))?
            } else {
                None
            };
            shown.push(host.judge_domain(node, name, xml.as_deref())?);
        }
        Ok(Self {
            domains: shown,
            capabilities: match answers.first("domainCapabilities") {
                Some(xml) => Some(xml.to_owned()),
                None => host.capabilities(arch)?,
            },
            free_memory: match free_memory(answers.lines()) {
                Some(free) => free,
                None => free_memory(&host.virsh.query(&["nodememstats"])?)
                    .context("virsh nodememstats tells of no free memory")?,
            },
            pool: see_pool(host, pool_active, show)?,
            network_active: match &network {
                Some(name) if provider.wiring.must_run() => {
                    host.virsh.is_active(Thing::Network(name))?
                }
                Some(_) | None => false,
            },
            network: match network {
                Some(name) => show(Thing::Network(&name))?
                    .map(|xml| Network::read(&xml, &name))
                    .transpose()?,
                None => None,
            },
        })
    }
}

fn see_pool<'a>(
    host: &'a Host,
    active: bool,
    show: impl Fn(Thing<'a>) -> Result<Option<String>>,
) -> Result<Option<Seen>> {
    if !active {
        return host.pool.look();
    }
    let xml = show(Thing::Pool(host.pool.name()))?;
    xml.map(|xml| host.pool.read_seen(&xml, true)).transpose()
}

/// What is free, and what only caches files; none: the text tells of neither.
fn free_memory(stats: &str) -> Option<u64> {
    let kib = |name: &str| -> Option<u64> {
        let mut lines = stats.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(key, _)| key.trim() == name)?;
        value.split_whitespace().next()?.parse().ok()
    };
    let cached = kib("buffers").unwrap_or(0) + kib("cached").unwrap_or(0);
    Some((kib("free")? + cached) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_can_be_had() {
        let stats = "total  :             24684092 KiB\nfree   :                 1024 KiB\nbuffers:                 1024 KiB\n\
                     cached :                 2048 KiB\n";
        assert_eq!(free_memory(stats), Some(4 << 20));
        assert_eq!(free_memory("no & answer"), None);
    }
}
