//! Waits until the cluster really answers: 200 from `/readyz` through the VIP under the cluster's CA, and the two
//! ConfigMaps that kubeadm reads when a node joins. A TCP connect would prove nothing.

use std::time::Duration;

use anyhow::{Result, bail};
use ha_spec::phase::Phase;

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

/// Waits.
pub async fn run(cx: &Context) -> Result<Outcome> {
    let client = kube::as_node(cx)?.within(DEADLINE);
    let what = format!("{}/readyz to answer 200", kube::vip_url(cx));
    let begin = cx.sys.clock.now_ms();
    loop {
        match look(&client).await {
            Ok(()) => return Ok(Outcome::Done),
            Err(error) => {
                cx.tell.waiting(Phase::Gate, &what, &error.to_string());
                if cx.sys.clock.now_ms().saturating_sub(begin) > PATIENCE_MS {
                    bail!(
                        "no cluster to join after {} min: {error}",
                        PATIENCE_MS / 60_000
                    );
                }
            }
        }
        cx.sys.clock.sleep(LOOK).await;
    }
}

/// One look; the first thing that is missing is the error.
async fn look(client: &Client) -> Result<(), ApiError> {
    client.ready().await?;
    client.config_map("kubeadm-config").await?;
    client.config_map("kubelet-config").await?;
    Ok(())
}
