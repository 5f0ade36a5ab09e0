//! kube-proxy sees soon that the VIP's holder is gone.
//!
//! A machine that loses power tells nobody. Whose watch went through it hears nothing until its own ping of the connection fails, which in
//! Kubernetes takes 30 s and 15 s more: for so long a node's services stay as they were, and a new one is nowhere. The kubelet has the same from its
//! unit (sysext/tree, kubelet.service.d).

use anyhow::Result;
use ha_kube::{ApiError, Client};
use ha_wire::settings::KubeProxy;
use tracing::{debug, info};

use crate::context::Context;
use crate::kube;

const NAME: &str = "kube-proxy";
/// Kubernetes' own switches (`readIdleTimeoutSeconds`, `pingTimeoutSeconds` of k8s.io/apimachinery, pkg/util/net/http.go): a silent connection is
/// asked after five seconds, and has five to answer, which a busy machine needs.
pub const PINGS: [(&str, &str); 2] = [
    ("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "5"),
    ("HTTP2_PING_TIMEOUT_SECONDS", "5"),
];

/// Sees to it that kube-proxy pings; whoever set one of both, or took the DaemonSet away, has the last word.
pub async fn add_pings(cx: &Context, client: &Client) -> Result<(), ApiError> {
    if cx.node.kubernetes.proxy == KubeProxy::None {
        return Ok(());
    }
    let set = match client.daemon_set(NAME).await {
        Err(error) if error.is_not_found() => return Ok(()),
        set => set?,
    };
    let containers = set.spec.template.spec.containers.iter();
    let mut env = containers.filter(|c| c.name == NAME).flat_map(|c| &c.env);
    if env.any(|var| PINGS.iter().any(|(name, _)| *name == var.name)) {
        return Ok(());
    }
    client.add_daemon_set_env(NAME, &PINGS).await?;
    info!("kube-proxy asks its connection to the API every five seconds whether it lives");
    Ok(())
}

/// One steady look in this many, about a quarter of an hour: `kubeadm upgrade` writes the DaemonSet anew.
const OBSERVE_AGAIN_AFTER: u32 = 150;

/// A part of each steady look: for a cluster that was made before, where the founder could not, and after an upgrade.
#[derive(Debug, Default)]
pub struct KubeProxyPings {
    /// So many looks have nothing to do.
    rest: u32,
}

impl KubeProxyPings {
    /// One look. Whatever it finds is no fault of this node.
    pub async fn advance(&mut self, cx: &Context) {
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        let added = match kube::as_admin(cx) {
            Ok(client) => add_pings(cx, &client).await.map_err(Into::into),
            Err(error) => Err(error),
        };
        match added {
            Ok(()) => self.rest = OBSERVE_AGAIN_AFTER,
            Err(error) => debug!("kube-proxy: {error:#}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kube::testing::{Script, run_local, test_authority};
    use crate::testing;

    const SET: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy";

    /// What is asked of an API whose kube-proxy, if there is one, has these variables.
    fn requests_with_proxy(net: u8, proxy: KubeProxy, env: Option<&Value>) -> Vec<String> {
        run_local(async {
            let ca = test_authority("kubernetes");
            let mut me = testing::control_plane();
            me.endpoint.vip = [127, net, 0, 30].into();
            me.kubernetes.proxy = proxy;
            let machine = testing::fake_machine(me);
            machine.file(&kube::pki_file("ca.crt"), ca.cert());
            machine.file(&kube::pki_file("ca.key"), ca.key().expose());
            let containers = json!([{"name": NAME, "env": env}]);
            let set = json!({"spec": {"template": {"spec": {"containers": containers}}}});
            let api = Script::default();
            if env.is_some() {
                api.on(&format!("GET {SET}"), 200, &set.to_string());
                api.on(&format!("PATCH {SET}"), 200, "{}");
            }
            api.serve_at(&ca, &format!("127.{net}.0.30:6444")).await;
            let mut pings = KubeProxyPings::default();
            pings.advance(&machine.cx).await;
            pings.advance(&machine.cx).await;
            assert_eq!(
                pings.rest,
                OBSERVE_AGAIN_AFTER - 1,
                "{:?}",
                api.asked.borrow()
            );
            let asked = api.asked.borrow().clone();
            asked
                .into_iter()
                .filter(|line| line.contains(NAME))
                .collect()
        })
    }

    #[test]
    fn it_is_told_once_and_the_user_s_own_word_stays() {
        let own = json!([{"name": "NODE_NAME"}]);
        let seen = requests_with_proxy(61, KubeProxy::Nftables, Some(&own));
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(seen[1].starts_with("PATCH "), "{seen:?}");
        let users = json!([{"name": "HTTP2_PING_TIMEOUT_SECONDS"}]);
        assert_eq!(
            requests_with_proxy(62, KubeProxy::Nftables, Some(&users)).len(),
            1
        );
        assert!(requests_with_proxy(66, KubeProxy::None, Some(&own)).is_empty());
        assert_eq!(
            requests_with_proxy(67, KubeProxy::Nftables, None).len(),
            1,
            "asked once"
        );
    }

    #[test]
    fn the_kubelet_has_the_same() {
        let unit = include_str!(
            "../../../sysext/tree/usr/lib/systemd/system/kubelet.service.d/20-ha-agent.conf"
        );
        for (name, value) in PINGS {
            assert!(unit.contains(&format!("{name}={value}")), "{name}");
        }
    }
}
