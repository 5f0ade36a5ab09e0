//! What is wrong with the whole cluster.
