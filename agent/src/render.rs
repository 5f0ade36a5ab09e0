//! Pure renderers: the node file in, the text of a file out. Golden files and the real daemons check them.

pub mod cilium;
pub mod haproxy;
pub mod keepalived;
pub mod kubeadm;
mod merge;
pub mod quadlet;
pub mod static_pod;

pub use merge::merge_settings;

#[cfg(test)]
mod exhaustive;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
pub mod validators;
