//! Pure renderers: the node file in, the text of a file out. Golden files and the real daemons check them.

pub mod cilium;
pub mod haproxy;
pub mod keepalived;
pub mod kubeadm;
mod merge;

pub use merge::merge;

#[cfg(test)]
mod every;
#[cfg(test)]
pub mod judges;
#[cfg(test)]
pub mod testing;
