//! Waits until the cluster really answers: 200 from `/readyz` through the VIP under the cluster's CA, and the two
//! ConfigMaps that kubeadm reads when a node joins. A TCP connect would prove nothing.

use std::time::Duration;

use anyhow::{Result, bail};
use ha_wire::phase::Phase;

use super::{Outcome, is_settled};
use crate::backoff::spread_pause;
use crate::context::Context;
use crate::kube::client::Client;
use crate::kube::{self, error::ApiError};
use crate::sys::random::random_fraction;

/// Looking costs a refused connection; each one missed delays the node.
const LOOK: Duration = Duration::from_millis(150);
/// One look may take this long: the load balancer answers at once or has nobody to ask.
const DEADLINE: Duration = Duration::from_secs(3);
/// After this the wait counts as a failed attempt, so that people see more than a wait.
const PATIENCE_MS: u64 = 10 * 60 * 1000;

/// The apiserver's word on itself, which everybody may ask for.
const READYZ: &str = "/readyz";

/// A node that is settled in its cluster needs no gate.
pub async fn needed(cx: &Context) -> Result<bool> {
    Ok(!is_settled(cx))
}

pub async fn run(cx: &Context) -> Result<Outcome> {
    let client = kube::as_node(cx)?.within(DEADLINE);
    let begin = cx.sys.clock.now_ms();
    loop {
        let Err(missing) = check_cluster(&client).await else {
            return Ok(Outcome::Done);
        };
        let (what, why) = missing.describe(&cx.node.endpoint.authority());
        cx.report.waiting(Phase::Gate, &what, &why);
        if cx.sys.clock.now_ms().saturating_sub(begin) > PATIENCE_MS {
            let minutes = PATIENCE_MS / 60_000;
            bail!(
                "no cluster to join after {minutes} min: {what}: {why} ({})",
                missing.error
            );
        }
        let pause = spread_pause(LOOK, random_fraction());
        cx.sys.clock.sleep(pause).await;
    }
}

/// The first thing that a look found missing.
#[derive(Debug)]
struct MissingPart {
    /// `/readyz`, or a ConfigMap.
    name: &'static str,
    error: ApiError,
}

impl MissingPart {
    /// What is waited for, and why it is not there. An apiserver that is up calls every node forbidden until kubeadm has made
    /// the roles that let nodes read its ConfigMaps: that says nothing about this node's identity.
    fn describe(&self, authority: &str) -> (String, String) {
        let name = self.name;
        if name != READYZ && self.error.is_forbidden() {
            return (
                format!("the right to read {name}"),
                "the API is up, its roles are not yet".to_owned(),
            );
        }
        (
            format!("{name} via {authority}"),
            self.error.kind.to_string(),
        )
    }
}

/// One look; the first thing that is missing is the error.
async fn check_cluster(client: &Client) -> Result<(), MissingPart> {
    let missing = |name| move |error| MissingPart { name, error };
    client.ready().await.map_err(missing(READYZ))?;
    for name in ["kubeadm-config", "kubelet-config"] {
        client.config_map(name).await.map_err(missing(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::testing::{Script, node_identity, run_local, test_authority};

    const CONFIG_MAPS: &str = "GET /api/v1/namespaces/kube-system/configmaps";
    /// As the apiserver says it before kubeadm has made the role.
    const FORBIDDEN: &str = r#"{"kind":"Status","message":"configmaps \"kubeadm-config\" is forbidden: User \"system:node:node2\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"kube-system\"","reason":"Forbidden","code":403}"#;

    #[test]
    fn the_gate_names_what_is_missing() {
        run_local(async {
            let ca = test_authority("kubernetes");
            let script = Script::default();
            script
                .on("GET /readyz", 500, "[-]etcd failed")
                .on("GET /readyz", 403, FORBIDDEN)
                .on("GET /readyz", 200, "ok")
                .on(&format!("{CONFIG_MAPS}/kubeadm-config"), 403, FORBIDDEN)
                .on(&format!("{CONFIG_MAPS}/kubeadm-config"), 200, "{}")
                .on(&format!("{CONFIG_MAPS}/kubelet-config"), 503, "")
                .on(&format!("{CONFIG_MAPS}/kubelet-config"), 200, "{}");
            let base = format!("https://{}", script.serve(&ca).await);
            let me = node_identity(&ca, "node2");
            let client = Client::new(&base, ca.cert(), Some(&me)).unwrap();
            let mut met = Vec::new();
            while let Err(missing) = check_cluster(&client).await {
                let (what, why) = missing.describe("10.77.0.30:6444");
                met.push(format!("{what}: {why}"));
            }
            assert_eq!(met.len(), 4, "{met:?}");
            assert_eq!(
                met[0],
                "/readyz via 10.77.0.30:6444: HTTP 500: [-]etcd failed"
            );
            // Nobody needs a role for this: here it is a fault, and the server's own words count.
            assert!(
                met[1].starts_with("/readyz via 10.77.0.30:6444: HTTP 403: "),
                "{met:?}"
            );
            assert_eq!(
                met[2],
                "the right to read kubeadm-config: the API is up, its roles are not yet"
            );
            assert_eq!(met[3], "kubelet-config via 10.77.0.30:6444: HTTP 503");
        });
    }
}
