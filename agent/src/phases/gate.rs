//! Waits until the cluster really answers: 200 from `/readyz` through the VIP under the cluster's CA, and the two
//! ConfigMaps that kubeadm reads when a node joins. A TCP connect would prove nothing.

use std::time::Duration;

use anyhow::{Result, bail};
use ha_wire::phase::Phase;

use super::{Outcome, is_settled};
use crate::context::Context;
use crate::kube::client::Client;
use crate::kube::{self, error::ApiError};

/// Looking costs a refused connection; each one missed delays the node.
const LOOK: Duration = Duration::from_millis(150);
/// One look may take this long: the load balancer answers at once or has nobody to ask.
const DEADLINE: Duration = Duration::from_secs(3);
/// After this the wait counts as a failed attempt, so that people see more than a wait.
const PATIENCE_MS: u64 = 10 * 60 * 1000;

/// A node that is settled in its cluster needs no gate.
pub async fn needed(cx: &Context) -> Result<bool> {
    Ok(!is_settled(cx))
}

pub async fn run(cx: &Context) -> Result<Outcome> {
    let client = kube::as_node(cx)?.within(DEADLINE);
    let begin = cx.sys.clock.now_ms();
    loop {
        match check_cluster(&client).await {
            Ok(()) => return Ok(Outcome::Done),
            Err((what, error)) => {
                let what = format!("{what} via {}", cx.node.endpoint.authority());
                cx.report
                    .waiting(Phase::Gate, &what, &error.kind.to_string());
                if cx.sys.clock.now_ms().saturating_sub(begin) > PATIENCE_MS {
                    bail!(
                        "no cluster to join after {} min: {what}: {}",
                        PATIENCE_MS / 60_000,
                        error.kind
                    );
                }
            }
        }
        cx.sys.clock.sleep(LOOK).await;
    }
}

/// One look; the first thing that is missing is the error.
async fn check_cluster(client: &Client) -> Result<(), (&'static str, ApiError)> {
    client.ready().await.map_err(|e| ("/readyz", e))?;
    for name in ["kubeadm-config", "kubelet-config"] {
        client.config_map(name).await.map_err(|e| (name, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::testing::{Script, run_local, test_authority};

    #[test]
    fn the_gate_names_what_is_missing() {
        run_local(async {
            let ca = test_authority("kubernetes");
            let script = Script::default();
            script
                .on("GET /readyz", 500, "[-]etcd failed")
                .on("GET /readyz", 200, "ok");
            script.on(
                "GET /api/v1/namespaces/kube-system/configmaps/kubeadm-config",
                403,
                r#"{"message":"forbidden"}"#,
            );
            script.on(
                "GET /api/v1/namespaces/kube-system/configmaps/kubeadm-config",
                200,
                "{}",
            );
            script.on(
                "GET /api/v1/namespaces/kube-system/configmaps/kubelet-config",
                200,
                "{}",
            );
            let client = Client::new(
                &format!("https://{}", script.serve(&ca).await),
                ca.cert(),
                None,
            )
            .unwrap();
            let mut met = Vec::new();
            while let Err((what, error)) = check_cluster(&client).await {
                met.push(format!("{what}: {}", error.kind));
            }
            assert_eq!(
                met,
                [
                    "/readyz: HTTP 500: [-]etcd failed",
                    "kubeadm-config: HTTP 403: forbidden"
                ]
            );
        });
    }
}
