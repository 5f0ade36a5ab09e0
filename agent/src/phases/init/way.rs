//! The way to the VIP where machines of the load balancer's own hold it: kubeadm's last phases speak to the API through it, and a
//! control plane that balances itself has brought it up before.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use ha_wire::event::WaitsOn;
use ha_wire::phase::Phase;
use ha_wire::settings::LbMode;

use crate::context::Context;
use crate::sys::net::connect_within;

/// Between two looks: a connection to a machine on the same segment.
const LOOK: Duration = Duration::from_millis(250);
/// A haproxy on the same segment takes connections at once, whether or not an apiserver stands behind it.
const CONNECTED_WITHIN: Duration = Duration::from_secs(1);
/// Machines boot side by side. After this it is told as an error, and tried again.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Until somebody takes connections at the VIP. That proves nothing of the cluster, and nothing is concluded from it.
pub async fn wait_for_balancer(cx: &Context) -> Result<()> {
    if cx.node.load_balancer.mode != LbMode::Machines {
        return Ok(());
    }
    let vip = SocketAddr::new(cx.node.endpoint.vip, cx.node.endpoint.port);
    let begin = cx.sys.clock.monotonic();
    loop {
        let error = match connect_within(vip, CONNECTED_WITHIN).await {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        };
        let names: Vec<&str> = cx.node.balancers.iter().map(|p| p.name.as_str()).collect();
        let what = format!("a load balancer at {vip} ({})", names.join(", "));
        if cx.sys.clock.monotonic().saturating_sub(begin) > PATIENCE {
            let minutes = PATIENCE.as_secs() / 60;
            bail!("no connection to {what} for {minutes} min: {error}");
        }
        cx.report
            .waiting_as_usual(Phase::Init, &what, &error, Some(WaitsOn::Vip));
        cx.sys.clock.sleep(LOOK).await;
    }
}
