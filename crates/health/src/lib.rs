//! What is wrong with a cluster, judged from facts alone: pure functions that both programs ask, so that there is one answer.
//! [`node`] judges what a node knows about itself, [`cluster`] what is seen of the whole.

pub mod cluster;
pub mod finding;
pub mod node;

pub use finding::{Finding, Part};
