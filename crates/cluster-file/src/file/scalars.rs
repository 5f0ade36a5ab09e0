//! How single values are read from their text.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::cluster::Mac;
use crate::suggest::{closest_match, did_you_mean};
use crate::unseen::has_unseen;
use ha_wire::phase::Role;
use ha_wire::settings::{Cri, KubeProxy};

/// A value that is written as one word.
pub(crate) trait Scalar: Sized {
    /// The value, or what it is not (after "is not") and what would be right.
    fn read(text: &str) -> Result<Self, (String, String)>;
}

fn is_not<T>(is_not: &str, help: impl Into<String>) -> Result<T, (String, String)> {
    Err((format!("is not {is_not}"), help.into()))
}

impl Scalar for String {
    fn read(text: &str) -> Result<Self, (String, String)> {
        Ok(text.to_owned())
    }
}

impl Scalar for bool {
    fn read(text: &str) -> Result<Self, (String, String)> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => is_not("true or false", "write true or false"),
        }
    }
}

macro_rules! numbers {
    ($($type:ty: $what:literal, $help:literal;)*) => {$(
        impl Scalar for $type {
            fn read(text: &str) -> Result<Self, (String, String)> {
                text.parse().or_else(|_| is_not($what, $help))
            }
        }
    )*};
}
numbers! {
    u8: "a prefix length", "write the number of bits, e.g. 24";
    u16: "a port number", "write a number from 1 to 65535";
    u32: "a whole number", "write digits only";
}

impl Scalar for IpAddr {
    fn read(text: &str) -> Result<Self, (String, String)> {
        let help = if text.contains('/') {
            "write the address alone; the length of its prefix goes into network.prefix"
        } else if text.contains(':') {
            "write groups of hexadecimal digits with `:` between them, without brackets and `%eth0`, e.g. fd00:77::31"
        } else {
            "write four numbers from 0 to 255, e.g. 192.168.122.31"
        };
        text.parse().or_else(|_| is_not("an IP address", help))
    }
}

impl Scalar for IpNet {
    fn read(text: &str) -> Result<Self, (String, String)> {
        text.parse().or_else(|_| {
            is_not(
                "a network",
                "write address and prefix length, e.g. 10.244.0.0/16",
            )
        })
    }
}

impl Scalar for Mac {
    fn read(text: &str) -> Result<Self, (String, String)> {
        text.parse().or_else(|what| {
            is_not(
                what,
                "write six pairs of hexadecimal digits, e.g. 52:54:00:12:34:56",
            )
        })
    }
}

/// A length of time; the unit is needed, because keepalived counts in seconds and people remember that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Milliseconds(pub u32);

impl Scalar for Milliseconds {
    fn read(text: &str) -> Result<Self, (String, String)> {
        let number = |digits: &str| {
            digits
                .trim()
                .parse::<f64>()
                .ok()
                .filter(|n| n.is_finite() && *n >= 0.0)
        };
        let milliseconds = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(digits), _) => number(digits),
            (None, Some(digits)) => number(digits).map(|n| n * 1000.0),
            (None, None) => None,
        };
        // The cast saturates; the rules refuse what is out of range.
        milliseconds
            .map(|n| Self(n.round() as u32))
            .map_or_else(|| is_not("a length of time", "write e.g. 100ms or 1s"), Ok)
    }
}

/// How long something may be silent, in milliseconds: up to days, as guides have it in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeout(pub u32);

impl Scalar for Timeout {
    fn read(text: &str) -> Result<Self, (String, String)> {
        // `ms` before `s`.
        let units = [
            ("ms", 1),
            ("s", 1000),
            ("m", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
        ];
        let unit = units
            .iter()
            .find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, ms)));
        let ms = unit.and_then(|(digits, ms)| digits.trim().parse::<u32>().ok()?.checked_mul(*ms));
        ms.map(Self).map_or_else(
            || is_not("a length of time", "write e.g. 90s, 1h or 1d"),
            Ok,
        )
    }
}

/// Bytes with a unit of powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl Scalar for Size {
    fn read(text: &str) -> Result<Self, (String, String)> {
        let units = [
            ("KiB", 10),
            ("MiB", 20),
            ("GiB", 30),
            ("TiB", 40),
            ("Ki", 10),
            ("Mi", 20),
            ("Gi", 30),
            ("Ti", 40),
        ];
        let unit = units
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
        let bytes = unit
            .and_then(|(digits, shift)| digits.trim().parse::<u64>().ok()?.checked_mul(1 << shift));
        bytes
            .map(Self)
            .map_or_else(|| is_not("a size", "write e.g. 4GiB or 512MiB"), Ok)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            n if n % (1 << 30) == 0 => write!(f, "{}GiB", n >> 30),
            n if n % (1 << 20) == 0 => write!(f, "{}MiB", n >> 20),
            n => write!(f, "{}KiB", n >> 10),
        }
    }
}

/// A value of a few: the word's table, in the order in which help shows it.
pub(super) fn parse_keyword<T: Copy>(
    text: &str,
    what: &str,
    table: &[(&str, T)],
) -> Result<T, (String, String)> {
    if let Some((_, value)) = table.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words = || table.iter().map(|(word, _)| *word);
    let all: Vec<String> = words().map(|word| format!("`{word}`")).collect();
    let is_not = format!("is not {what}{}", did_you_mean(text, words()));
    Err((is_not, format!("write one of {}", all.join(", "))))
}

impl Scalar for Role {
    fn read(text: &str) -> Result<Self, (String, String)> {
        // What other tools call it.
        let known = [
            ("master", Self::ControlPlane),
            ("controlplane", Self::ControlPlane),
            ("controller", Self::ControlPlane),
        ];
        let table = [
            ("control-plane", Self::ControlPlane),
            ("worker", Self::Worker),
        ];
        if text == "load-balancer" {
            return is_not(
                "a role of Kubernetes' nodes",
                "list the machine in `loadBalancer.mode: {machines: [...]}`",
            );
        }
        match closest_match(text, known.iter().map(|(word, _)| *word)) {
            Some(_) if !has_unseen(text) && parse_keyword(text, "", &table).is_err() => is_not(
                "a role, did you mean `control-plane`?",
                "write one of `control-plane`, `worker`",
            ),
            _ => parse_keyword(text, "a role", &table),
        }
    }
}

impl Scalar for Cri {
    fn read(text: &str) -> Result<Self, (String, String)> {
        let table = [Self::Containerd, Self::Crio].map(|cri| (cri.name(), cri));
        parse_keyword(text, "a container runtime", &table)
    }
}

impl Scalar for KubeProxy {
    fn read(text: &str) -> Result<Self, (String, String)> {
        let table = [
            ("none", Self::None),
            ("nftables", Self::Nftables),
            ("iptables", Self::Iptables),
            ("ipvs", Self::Ipvs),
        ];
        parse_keyword(text, "a kube-proxy mode", &table)
    }
}
