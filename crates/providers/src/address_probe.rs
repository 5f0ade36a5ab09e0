//! Whether somebody else has an address already, asked without privileges: the kernel does the ARP for a connection that
//! is tried. (`arping` needs a raw socket, which an operator's account seldom has.)

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use ha_host_base::command;
use serde_json::Value;

use super::Finding;
use super::child_limits;
use super::finding::{bad_finding, good_finding};

/// On one segment an answer takes a millisecond; ARP itself is asked three times, a second apart.
const WAIT: Duration = Duration::from_millis(1200);
/// Any port will do: a refusal is an answer.
const PORT: u16 = 22;

/// Who an address belongs to, as far as this machine can know.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AddressOwner {
    Nobody,
    Here,
    /// Another one, by its Ethernet address if that is known.
    Other(Option<String>),
    /// Behind a router, or nowhere: not asked.
    Far,
}

/// Asks for each address (with what it is for, e.g. `the VIP`); a finding if something is amiss, one for the rest.
pub fn check_unused(wanted: &[(IpAddr, String)]) -> Result<Vec<Finding>> {
    let owners: Vec<Result<AddressOwner>> = std::thread::scope(|scope| {
        let asked: Vec<_> = wanted
            .iter()
            .map(|(address, _)| {
                scope.spawn(|| {
                    let _slot = child_limits::take_slot();
                    address_owner(*address)
                })
            })
            .collect();
        let join = |h: std::thread::ScopedJoinHandle<'_, _>| {
            h.join().unwrap_or_else(|p| std::panic::resume_unwind(p))
        };
        asked.into_iter().map(join).collect()
    });
    let mut findings = Vec::new();
    let mut free = 0;
    for ((address, purpose), owner) in wanted.iter().zip(owners) {
        let seen = match owner? {
            AddressOwner::Nobody => {
                free += 1;
                continue;
            }
            AddressOwner::Far => continue,
            AddressOwner::Here => format!("{address}, {purpose}, is an address of this machine"),
            AddressOwner::Other(mac) => {
                let by = mac.map_or_else(String::new, |mac| format!(" by {mac}"));
                format!("{address}, {purpose}, is in use{by}")
            }
        };
        let remedy =
            "give it another address in the cluster file, or take it away from whoever has it"
                .to_owned();
        findings.push(bad_finding(seen, remedy));
    }
    if free > 0 && findings.is_empty() {
        let seen = format!("{free} addresses unused");
        findings.push(good_finding(seen));
    }
    Ok(findings)
}

fn address_owner(address: IpAddr) -> Result<AddressOwner> {
    let text = address.to_string();
    // "Network is unreachable" is an exit code of its own.
    let Ok(route) = command::run_for_stdout(Command::new("ip").args(["-j", "route", "get", &text]))
    else {
        return Ok(AddressOwner::Far);
    };
    match link_of_route(&route)? {
        Link::Here => return Ok(AddressOwner::Here),
        Link::Far => return Ok(AddressOwner::Far),
        Link::Segment => {}
    }
    let answer = TcpStream::connect_timeout(&SocketAddr::new(address, PORT), WAIT);
    let answered = match &answer {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    };
    let neighbours =
        command::run_for_stdout(Command::new("ip").args(["-j", "neigh", "show", &text]))?;
    let (mac, reachable) = neighbour_of(&neighbours)?;
    Ok(if answered || reachable {
        AddressOwner::Other(mac)
    } else {
        AddressOwner::Nobody
    })
}

/// Where an address lies.
#[derive(Debug, PartialEq, Eq)]
enum Link {
    Here,
    Segment,
    Far,
}

/// What `ip -j route get` says.
fn link_of_route(text: &str) -> Result<Link> {
    let routes: Vec<Value> =
        serde_json::from_str(text).context("cannot parse the output of `ip route get`")?;
    let route = routes.first().cloned().unwrap_or_default();
    let says = |key: &str| route.get(key).and_then(Value::as_str);
    Ok(
        if says("type") == Some("local") || says("dev") == Some("lo") {
            Link::Here
        } else if says("gateway").is_some() || says("dev").is_none() {
            Link::Far
        } else {
            Link::Segment
        },
    )
}

/// What `ip -j neigh` says: the Ethernet address, and whether it was confirmed just now. A stale one may be a dead
/// machine's.
fn neighbour_of(text: &str) -> Result<(Option<String>, bool)> {
    let entries: Vec<Value> = match text.trim() {
        "" => Vec::new(),
        text => serde_json::from_str(text).context("cannot parse the output of `ip neigh`")?,
    };
    let Some(entry) = entries.first() else {
        return Ok((None, false));
    };
    let mac = entry.get("lladdr").and_then(Value::as_str);
    let states = entry.get("state").and_then(Value::as_array);
    let reachable = states.is_some_and(|s| s.iter().any(|s| s == "REACHABLE"));
    Ok((mac.map(str::to_owned), reachable && mac.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_and_neighbours_are_read() {
        let says = |text| link_of_route(text).unwrap();
        assert_eq!(
            says(r#"[{"type":"local","dst":"10.0.0.1","dev":"lo"}]"#),
            Link::Here
        );
        assert_eq!(
            says(r#"[{"dst":"9.9.9.9","gateway":"10.0.0.1","dev":"eth0"}]"#),
            Link::Far
        );
        assert_eq!(
            says(r#"[{"dst":"10.0.0.9","dev":"virbr0"}]"#),
            Link::Segment
        );
        let mac = Some("52:54:00:00:00:01".to_owned());
        let entry = |state: &str| {
            format!(r#"[{{"dst":"10.0.0.9","lladdr":"52:54:00:00:00:01","state":["{state}"]}}]"#)
        };
        assert_eq!(
            neighbour_of(&entry("REACHABLE")).unwrap(),
            (mac.clone(), true)
        );
        assert_eq!(neighbour_of(&entry("STALE")).unwrap(), (mac, false));
        assert_eq!(
            neighbour_of(r#"[{"dst":"10.0.0.9","state":["FAILED"]}]"#).unwrap(),
            (None, false)
        );
        assert_eq!(neighbour_of("").unwrap(), (None, false));
    }

    /// Two namespaces and a cable, made by the Makefile's caller as root; the test's own thread lives in the first.
    #[test]
    #[ignore = "real namespaces: needs root; make test runs it"]
    fn real_neighbours_answer_and_empty_addresses_do_not() {
        let script = "ip link add cable0 type veth peer name cable1 netns $1 && ip addr add 10.9.0.1/24 dev cable0 && ip link set cable0 up \
                      && ip link set lo up && nsenter -t $1 -n sh -c 'ip addr add 10.9.0.2/24 dev cable1; ip link set cable1 up; ip link set lo up'";
        let mut peer = Command::new("unshare")
            .args(["-n", "sleep", "60"])
            .spawn()
            .unwrap();
        let found = std::thread::spawn({
            let pid = peer.id().to_string();
            move || {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                let mut make = Command::new("sh");
                // The peer's namespace is there a moment after its process is.
                while std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()
                    == std::fs::read_link(format!("/proc/{}/ns/net", std::process::id())).ok()
                {
                    std::thread::yield_now();
                }
                command::run_for_stdout(make.args(["-c", script, "sh", &pid])).unwrap();
                let wanted = ["10.9.0.1", "10.9.0.2", "10.9.0.3", "192.0.2.1"]
                    .map(|a| (a.parse().unwrap(), "a test".to_owned()));
                wanted.map(|(address, _): (IpAddr, String)| address_owner(address).unwrap())
            }
        })
        .join();
        peer.kill().unwrap();
        peer.wait().unwrap();
        let [here, there, nobody, far] = found.unwrap();
        assert_eq!(
            (here, nobody, far),
            (AddressOwner::Here, AddressOwner::Nobody, AddressOwner::Far)
        );
        assert!(matches!(there, AddressOwner::Other(Some(_))), "{there:?}");
    }
}
