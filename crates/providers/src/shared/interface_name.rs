//! Names of network interfaces.

use ha_wire::hash::fnv1a;

/// The kernel's limit, without the closing zero.
const LONGEST: usize = 15;
/// What a hash takes of it, with the sign before it.
const HASH: usize = 9;

/// The name if the kernel takes it, else its beginning and a hash of all of it.
pub fn shorten_name(name: &str) -> String {
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let begin = name.floor_char_boundary(LONGEST - HASH);
    format!("{}~{:08x}", &name[..begin], fnv1a(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_stay_different() {
        assert_eq!(shorten_name("ha-demo"), "ha-demo");
        let long = |n: u32| shorten_name(&format!("ha-a-very-long-cluster-name-{n}"));
        assert_eq!(long(1).len(), LONGEST);
        assert_ne!(long(1), long(2));
    }
}
