//! The end-to-end harness: an operator's machine in namespaces of its own, the lab's parts, a cluster made by the real
//! `ha-host` from them, and the means to hurt it and to look at what came of it.
//!
//! Where things are: [`operator`] the machine that `ha-host` runs on, [`lab`] what `make lab sysext` made, [`plan`] a
//! cluster file, [`cluster`] the cluster and [`node`] one of its machines, [`api`], [`web`] and [`probe`] the view through
//! the VIP, [`scenario`] what every provider's machines must do, [`inspection`] what a person asks of a node, [`services`]
//! service addresses and DNS, [`cables`] those of QEMU's machines, [`secrets`] and [`private_keys`] where no key may be,
//! [`leftovers`] what `destroy` must not leave, [`terminal`] what a person sees, [`story`] the steps that a test prints,
//! [`post_mortem`] what a failed one leaves to read, [`power_cuts`] nodes that lose what they had not synced, [`founding`] a
//! cluster hidden from its founder, [`conformance`] Kubernetes' own tests, [`last_words`] what pods say when a node goes down,
//! [`health`] what `ha-host status` says. Output of every command and the post-mortem of a failed test lie in
//! `target/e2e/TEST/`. `HA_KEEP=1` leaves a failed cluster standing.

pub mod api;
pub mod bench;
pub mod busy;
pub mod cables;
pub mod chaos;
pub mod cilium;
pub mod cluster;
pub mod conformance;
pub mod documented;
pub mod eventually;
pub mod external_etcd;
pub mod founding;
pub mod health;
pub mod hung_apiserver;
pub mod hung_haproxy;
pub mod ignition;
pub mod inspection;
pub mod kube;
pub mod lab;
pub mod last_words;
pub mod leftovers;
pub mod network_boot;
pub mod node;
pub mod operator;
pub mod others;
pub mod outside_address;
pub mod plan;
pub mod pod_network;
pub mod post_mortem;
pub mod power_cuts;
pub mod private_keys;
pub mod probe;
pub mod process;
pub mod registry;
pub mod scenario;
pub mod secrets;
pub mod services;
pub mod story;
pub mod terminal;
pub mod virtual_founder;
pub mod web;
