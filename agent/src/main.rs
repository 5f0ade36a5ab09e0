//! ha-agent: brings a Flatcar node into its highly available Kubernetes cluster and keeps watch.
fn main() {}
