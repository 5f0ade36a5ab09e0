//! What providers that run machines on this host have in common.

pub mod host_facts;
pub mod interface_name;
pub mod lock;
pub mod machines_dir;
pub mod this_boot;
