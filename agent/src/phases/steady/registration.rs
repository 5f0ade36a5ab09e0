//! The Node object of a node that has been in its cluster. When somebody deletes it, nothing brings it back: a kubelet registers
//! at its start alone, and what kubeadm and phase finish put on it once is on no new one. This does both, once a disappearance.
//!
//! A cordoned Node that is deleted is a machine on its way out (`kubectl drain`, `kubectl delete node`): it is left alone, and so
//! is one that this agent has never seen.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ha_kube::objects::Node;
use tracing::{info, warn};

use crate::context::Context;
use crate::kube::KUBELET;
use crate::phases::proxy::kubeadm_command;
use crate::phases::{is_settled, kubeadm, kubeadm_run_config, node_marks};
use crate::render;

/// Whoever deletes a Node to make it anew has done so within this.
const GONE_FOR: Duration = Duration::from_secs(60);
/// On a cordoned node (Kubernetes' well-known taints).
const CORDONED: &str = "node.kubernetes.io/unschedulable";
/// Three small requests; kubeadm itself would go on for minutes.
const MARK_WITHIN: Duration = Duration::from_secs(30);

/// What is known of this node's Node object.
#[derive(Debug)]
pub struct NodeObject<'a> {
    cx: &'a Context,
    /// As it was last seen.
    seen: Option<KnownNode>,
    /// Since when it is gone, by the monotonic clock.
    gone_since: Option<Duration>,
    /// The kubelet was restarted for this disappearance.
    restarted: bool,
    /// It is a new one, and lacks what the old one had.
    bare: bool,
}

#[derive(Debug)]
struct KnownNode {
    uid: String,
    cordoned: bool,
}

impl<'a> NodeObject<'a> {
    /// Nothing is known yet.
    pub fn begin(cx: &'a Context) -> Self {
        Self {
            cx,
            seen: None,
            gone_since: None,
            restarted: false,
            bare: false,
        }
    }

    /// One look's answer of the API; none: there is no such object. An error while something is wrong with it.
    pub async fn observe(&mut self, node: Option<&Node>) -> Result<()> {
        match node {
            Some(node) => self.note_present(node).await,
            None => self.note_gone().await,
        }
    }

    async fn note_present(&mut self, node: &Node) -> Result<()> {
        let uid = node.metadata.uid.clone();
        self.bare |= self.seen.as_ref().is_some_and(|seen| seen.uid != uid);
        let cordoned = node.spec.taints.iter().any(|t| t.key == CORDONED);
        self.seen = Some(KnownNode { uid, cordoned });
        (self.gone_since, self.restarted) = (None, false);
        if self.bare {
            let restored = restore_node_marks(self.cx).await;
            restored
                .context("its Node object is a new one and lacks labels or taints of the old")?;
            self.bare = false;
            info!("the Node object is a new one: it has its labels and taints again");
        }
        node_marks::check_labels_granted(node)
    }

    async fn note_gone(&mut self) -> Result<()> {
        let now = self.cx.sys.clock.monotonic();
        let since = *self.gone_since.get_or_insert(now);
        match &self.seen {
            None => bail!(
                "this node is not registered: `systemctl restart kubelet` registers it, if it is to be in the cluster"
            ),
            Some(seen) if seen.cordoned => bail!(
                "its Node object is gone, and was cordoned before: taken for a machine on its way out (`systemctl restart kubelet` \
                 would register it again)"
            ),
            Some(_) => {}
        }
        if !self.restarted && now.saturating_sub(since) >= GONE_FOR && self.kubelet_runs().await {
            self.restarted = true;
            warn!(
                "the Node object of this node is gone: the kubelet is restarted once to register again"
            );
            self.cx.sys.systemd.restart(KUBELET).await?;
        }
        if self.restarted {
            bail!(
                "its Node object is gone: someone deleted it; the kubelet was restarted and has not registered yet \
                 (journalctl -u kubelet)"
            );
        }
        bail!(
            "its Node object is gone: someone deleted it; the kubelet is restarted once to register again"
        )
    }

    async fn kubelet_runs(&self) -> bool {
        let state = self.cx.sys.systemd.active_state(KUBELET).await;
        is_settled(self.cx) && state.is_ok_and(|state| state == "active")
    }
}

/// What a kubelet's own arguments do not bring back: a control plane's label and taints, which kubeadm knows best, and the labels
/// that a kubelet may not give itself.
async fn restore_node_marks(cx: &Context) -> Result<()> {
    if cx.node.is_control_plane() {
        let node = kubeadm::node_for_own_kubeadm(cx).await;
        let text =
            render::kubeadm::init_config(&node, kubeadm_run_config::machine_traits(cx), None, &[]);
        let config = kubeadm_run_config::config_file("mark", text);
        let on_disk = kubeadm_run_config::ConfigOnDisk::write(cx, &config)?;
        let args = [
            "init",
            "phase",
            "mark-control-plane",
            "--config",
            &on_disk.path(),
        ];
        let mark = kubeadm_command(cx, &args, MARK_WITHIN);
        cx.sys.commands.run(mark).await?;
    }
    node_marks::set_own(cx).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::testing::{Script, kubeadm_files, run_local, test_authority};
    use crate::testing::{self, FakeMachine};
    use ha_kube::objects::Taint;

    /// A settled control plane with a wished label that no kubelet may set; its API.
    async fn settled_machine(net: u8) -> (FakeMachine, Script) {
        let ca = test_authority("kubernetes");
        let mut node = testing::control_plane();
        node.endpoint.vip = [127, net, 0, 30].into();
        let label = "node-role.kubernetes.io/storage".to_owned();
        node.labels = [(label, "yes".to_owned())].into();
        let machine = testing::fake_machine(node);
        for (name, text) in kubeadm_files(&ca) {
            machine.file(&name, &text);
        }
        machine.file("/etc/kubernetes/pki/ca.crt", ca.cert());
        machine.file("/etc/kubernetes/pki/ca.key", ca.key().expose());
        machine.systemd.unit(KUBELET, "active");
        let api = Script::default();
        api.on("PATCH /api/v1/nodes/node2", 200, "{}");
        api.serve_at(&ca, &format!("127.{net}.0.30:6444")).await;
        (machine, api)
    }

    fn node_object(uid: &str, taints: &[&str]) -> Node {
        let mut node = Node::default();
        node.metadata.uid = uid.into();
        let taint = |key: &&str| Taint {
            key: (*key).into(),
            ..Taint::default()
        };
        node.spec.taints = taints.iter().map(taint).collect();
        node
    }

    async fn observe_error(object: &mut NodeObject<'_>, node: Option<&Node>) -> String {
        let looked = object.observe(node).await;
        looked.err().map_or_else(String::new, |e| format!("{e:#}"))
    }

    /// Its mark is asked of the API.
    #[test]
    fn a_proxy_of_the_whole_machine_is_not_asked_for_the_api() {
        run_local(async {
            let (mut machine, _api) = settled_machine(229).await;
            machine.cx.sys.proxy = Some(crate::sys::EnvironmentProxy::default());
            let mark = "kubeadm init phase mark-control-plane";
            machine.commands.succeed(mark);
            restore_node_marks(&machine.cx).await.unwrap();
            let environments = machine.commands.environments.borrow();
            let list = environments.iter().flatten().find(|(n, _)| n == "NO_PROXY");
            assert!(
                list.is_some_and(|(_, v)| v.contains("10.77.0.0/24")),
                "{list:?}"
            );
        });
    }

    #[test]
    fn a_kubeadm_that_was_upgraded_gets_a_version_that_it_takes() {
        run_local(async {
            let (machine, _api) = settled_machine(251).await;
            let stdout = "v1.99.3\n".to_owned();
            let version = Ok(crate::sys::Output { stdout });
            machine.commands.answer("kubeadm version", version);
            let mark = "kubeadm init phase mark-control-plane";
            machine.commands.succeed(mark);
            restore_node_marks(&machine.cx).await.unwrap();
            let text = machine.commands.configs.take().remove(0).text;
            let own = r#""kubernetesVersion": "v1.99.3""#;
            assert!(text.contains(own), "{text}");
        });
    }

    /// Row 16 of the public reports.
    #[test]
    fn a_deleted_node_registers_again_and_has_its_label_and_taint() {
        run_local(async {
            let (machine, api) = settled_machine(231).await;
            let mark = "run kubeadm init phase mark-control-plane --config";
            machine.commands.answer(
                "kubeadm init phase mark-control-plane",
                Err(anyhow::anyhow!("no apiserver")),
            );
            machine.commands.answer(
                "kubeadm init phase mark-control-plane",
                Ok(crate::sys::Output::default()),
            );
            let mut object = NodeObject::begin(&machine.cx);
            assert_eq!(
                observe_error(&mut object, Some(&node_object("1", &[]))).await,
                ""
            );
            for _ in 0..30 {
                let said = observe_error(&mut object, None).await;
                assert!(
                    said.starts_with("its Node object is gone: someone deleted it; the kubelet "),
                    "{said}"
                );
                machine.cx.sys.clock.sleep(Duration::from_secs(5)).await;
            }
            assert_eq!(
                machine.orders(),
                ["restart kubelet.service"],
                "once, and after a minute"
            );
            let new = node_object("2", &["node.kubernetes.io/not-ready"]);
            let said = observe_error(&mut object, Some(&new)).await;
            assert!(
                said.contains("lacks labels or taints") && said.contains("no apiserver"),
                "{said}"
            );
            assert_eq!(observe_error(&mut object, Some(&new)).await, "");
            assert_eq!(observe_error(&mut object, Some(&new)).await, "");
            let orders = machine.orders();
            assert!(
                orders.len() == 2 && orders.iter().all(|o| o.starts_with(mark)),
                "{orders:?}"
            );
            let config = machine
                .commands
                .configs
                .borrow()
                .last()
                .unwrap()
                .text
                .clone();
            assert!(
                config.contains("InitConfiguration") && config.contains("\"name\": \"node2\""),
                "{config}"
            );
            let patches = api.asked("PATCH /api/v1/nodes/node2");
            assert!(
                patches.len() == 1 && patches[0].contains("node-role.kubernetes.io/storage"),
                "{patches:?}"
            );
        });
    }

    #[test]
    fn a_node_that_was_taken_out_stays_out() {
        run_local(async {
            let (machine, _) = settled_machine(232).await;
            for before in [
                None,
                Some(node_object("1", &["node.kubernetes.io/unschedulable"])),
            ] {
                let mut object = NodeObject::begin(&machine.cx);
                if let Some(node) = &before {
                    object.observe(Some(node)).await.unwrap();
                }
                for _ in 0..30 {
                    let said = observe_error(&mut object, None).await;
                    assert!(said.contains("systemctl restart kubelet"), "{said}");
                    machine.cx.sys.clock.sleep(Duration::from_secs(5)).await;
                }
            }
            assert_eq!(machine.orders(), [""; 0]);
        });
    }

    #[test]
    fn a_kubelet_that_does_not_run_registers_nobody() {
        run_local(async {
            let (machine, _) = settled_machine(233).await;
            machine.systemd.unit(KUBELET, "failed");
            let mut object = NodeObject::begin(&machine.cx);
            object.observe(Some(&node_object("1", &[]))).await.unwrap();
            for _ in 0..30 {
                object.observe(None).await.unwrap_err();
                machine.cx.sys.clock.sleep(Duration::from_secs(5)).await;
            }
            assert_eq!(machine.orders(), [""; 0]);
        });
    }
}
