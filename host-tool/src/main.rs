//! ha-host: makes a highly available Kubernetes cluster of Flatcar machines from one cluster.yaml.
fn main() {}
