//! The cluster over HTTPS: its API, etcd, certificates.
