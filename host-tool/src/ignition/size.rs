//! How large a config may be.

use anyhow::Result;
use ha_host_base::exit::Stop;

/// QEMU hands a config over in quadratic time: this is where it begins to be felt.
const WARN: usize = 64 * 1024;
/// And this is where it takes seconds; clouds refuse far less.
const MOST: usize = 256 * 1024;

/// A part of a config, and how many bytes it takes.
pub type ConfigPart = (String, usize);

/// A word on a large config; an error on one that is too large.
pub fn check_config_size(
    node: &str,
    size: usize,
    largest: Option<ConfigPart>,
) -> Result<Option<String>> {
    if size <= WARN {
        return Ok(None);
    }
    let what = largest.map_or_else(String::new, |(part, bytes)| {
        format!(" ({bytes} of them are {part})")
    });
    let remedy = "give large manifests as URLs without a hash, which the first control plane fetches (kubernetes.cni.manifests), and large \
                files by `source:` in your own Ignition; Cilium's chart travels on the assets disk (`assets: disk`)";
    if size > MOST {
        return Err(Stop::bad_input(format!(
            "{node}'s Ignition config would have {size} bytes{what}, more than {MOST}: {remedy}"
        )));
    }
    Ok(Some(format!(
        "{node}'s Ignition config has {size} bytes{what}; above {WARN} a virtual machine is slow to read it: {remedy}"
    )))
}
