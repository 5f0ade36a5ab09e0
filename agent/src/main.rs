//! ha-agent: brings a Flatcar node into its highly available Kubernetes cluster and keeps watch.
//!
//! Read on in `plan.rs`: the table of contents of a node's life.
#![allow(dead_code)]

mod backoff;
mod context;
mod kube;
mod phases;
mod render;
mod sys;
mod tell;

fn main() {}
