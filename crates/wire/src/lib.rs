//! What `ha-host` and `ha-agent` say to each other: the node file, events, status, and every path and constant that both know.
//! No I/O, no async; every format has a version that no reader can forget ([`format::Version`]).

pub mod devices;
pub mod doctor;
pub mod event;
pub mod format;
#[doc(hidden)]
pub mod fuzzing;
pub mod hash;
pub mod kubernetes;
pub mod node;
pub mod paths;
pub mod phase;
pub mod proxy;
pub mod settings;
pub mod status;
