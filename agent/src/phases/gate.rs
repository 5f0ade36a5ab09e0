//! Waits until the cluster really answers: 200 from `/readyz` through the VIP under the cluster's CA, and the two
//! ConfigMaps that kubeadm reads when a node joins. A TCP connect would prove nothing.

use std::time::Duration;

use anyhow::{Result, bail};
use ha_kube::kubeadm_config;
use ha_wire::event::WaitsOn;
use ha_wire::phase::Phase;
use tracing::info;

use super::{Outcome, init, is_settled, no_cluster};
use crate::backoff::spread_pause;
use crate::context::Context;
use crate::kube::client::Client;
use crate::kube::{self, error::ApiError};
use crate::sys::random::random_fraction;

mod clock;

/// Looking costs a refused connection; each one missed delays the node.
const LOOK: Duration = Duration::from_millis(150);
/// One look may take this long: the load balancer answers at once or has nobody to ask.
const DEADLINE: Duration = Duration::from_secs(3);
/// After this the wait counts as a failed attempt, so that people see more than a wait; a founder decides anew.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// The apiserver's word on itself, which everybody may ask for.
const READYZ: &str = "/readyz";

/// A node that is settled in its cluster needs no gate.
pub async fn needed(cx: &Context) -> Result<bool> {
    Ok(!is_settled(cx))
}

pub async fn run(cx: &Context) -> Result<Outcome> {
    tokio::select! {
        ended = wait_for_cluster(cx) => ended,
        never = no_cluster::answer_peers(cx) => match never {},
    }
}

async fn wait_for_cluster(cx: &Context) -> Result<Outcome> {
    let client = kube::as_node(cx)?.within(DEADLINE);
    let begin = cx.sys.clock.monotonic();
    let was_permitted = init::has_valid_permission(cx);
    let had_founded = init::has_founded_etcd(cx)?;
    loop {
        let Err(missing) = observe_cluster(cx, &client).await else {
            return Ok(Outcome::Done);
        };
        let is_late = cx.sys.clock.monotonic().saturating_sub(begin) > PATIENCE;
        // A clock that was ahead has been set: the permission is not over.
        let is_permitted_now = !was_permitted && init::has_valid_permission(cx);
        // An init that was killed before its etcd wrote anything, and whose kubelet went on.
        let founds_now = !had_founded && init::has_founded_etcd(cx)?;
        if (is_late || is_permitted_now || founds_now) && init::should_decide_anew(cx)? {
            info!("no cluster to join: this node decides anew whether it founds one");
            return Ok(Outcome::DecideAnew);
        }
        if is_late {
            let minutes = PATIENCE.as_secs() / 60;
            bail!("no cluster to join after {minutes} min: {missing}");
        }
        let pause = spread_pause(LOOK, random_fraction());
        cx.sys.clock.sleep(pause).await;
    }
}

/// One look. What is missing is told, and is the error in words for a failed attempt.
async fn observe_cluster(cx: &Context, client: &Client) -> Result<(), String> {
    let missing = match check_cluster(client).await {
        Err(missing) => missing,
        Ok(()) => match clock::find_difference(cx, client).await {
            Ok(None) => return Ok(()),
            Ok(Some(difference)) => {
                cx.report.waiting(Phase::Gate, &difference, "");
                return Err(difference);
            }
            Err(error) => MissingPart {
                name: READYZ,
                error,
            },
        },
    };
    let (what, why) = missing.tell(cx);
    Err(format!("{what}: {why} ({})", missing.error))
}

/// The first thing that a look found missing.
#[derive(Debug)]
struct MissingPart {
    /// `/readyz`, or a ConfigMap.
    name: &'static str,
    error: ApiError,
}

impl MissingPart {
    /// Tells what is waited for and what the last try said, and gives both back.
    fn tell(&self, cx: &Context) -> (String, String) {
        let authority = cx.node.endpoint.authority();
        let raw = self.error.kind.to_string();
        let Some(words) = self.as_usual(&authority) else {
            let what = format!("{} via {authority}", self.name);
            cx.report.waiting(Phase::Gate, &what, &raw);
            return (what, raw);
        };
        let on = Some(WaitsOn::Vip);
        cx.report.waiting_as_usual(Phase::Gate, &words, &raw, on);
        (words, raw)
    }

    /// In words, if a cluster in the making looks like that; none: a fault, to be told at once. An apiserver that is up calls
    /// every node forbidden until it has made its own roles, and kubeadm those for its ConfigMaps.
    fn as_usual(&self, authority: &str) -> Option<String> {
        use kube::error::ErrorKind::{
            Broken, ClosedInHandshake, ConnectTimeout, NotConnected, Refused, Silent, Status,
        };
        match &self.error.kind {
            Refused | ClosedInHandshake(_) | Broken(_) | Silent(_) | ConnectTimeout(_)
            | NotConnected(_) => Some(format!("no apiserver answers at {authority} yet")),
            Status { code: 403, .. } => Some("the API is up, its roles are not yet".to_owned()),
            Status { code: 404, .. } if self.name != READYZ => Some(format!(
                "the API is up, kubeadm has not stored {} yet",
                self.name
            )),
            Status { code, .. } if *code >= 500 => {
                Some("an apiserver is up and not ready yet".to_owned())
            }
            _ => None,
        }
    }
}

/// One look; the first thing that is missing is the error.
async fn check_cluster(client: &Client) -> Result<(), MissingPart> {
    let missing = |name| move |error| MissingPart { name, error };
    client.ready().await.map_err(missing(READYZ))?;
    for name in [kubeadm_config::NAME, "kubelet-config"] {
        client.config_map(name).await.map_err(missing(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::testing::{Script, node_identity, run_local, test_authority};
    use crate::kube::{pki_file, pod_manifest};
    use crate::testing::{self, FakeMachine};
    use ha_wire::paths;

    const CONFIG_MAPS: &str = "GET /api/v1/namespaces/kube-system/configmaps";
    /// As the apiserver says it before kubeadm has made the role.
    const FORBIDDEN: &str = r#"{"kind":"Status","message":"configmaps \"kubeadm-config\" is forbidden: User \"system:node:node2\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"kube-system\"","reason":"Forbidden","code":403}"#;

    /// A founder at its gate, and nobody behind its VIP.
    fn founder_at_its_gate(vip: &str) -> FakeMachine {
        let mut node = testing::founder();
        node.endpoint.vip = vip.parse().unwrap();
        let machine = testing::fake_machine(node);
        let ca = test_authority("kubernetes");
        machine.file(&pki_file("ca.crt"), ca.cert());
        machine.file(&pki_file("ca.key"), ca.key().expose());
        let me = node_identity(&ca, "node1");
        machine.file(paths::IDENTITY_CERT, &me.cert);
        machine.file(paths::IDENTITY_KEY, me.key.expose());
        machine
    }

    const PERMITTED_UNTIL_MS: u64 = 4_000_000_000_000;

    #[test]
    fn a_founder_whose_clock_was_ahead_decides_anew_when_it_is_set() {
        run_local(async {
            let machine = founder_at_its_gate("127.241.0.30");
            machine.clock.0.set(PERMITTED_UNTIL_MS + 3_600_000);
            let clock_is_set = async {
                while machine.clock.0.get() < PERMITTED_UNTIL_MS + 3_605_000 {
                    tokio::task::yield_now().await;
                }
                machine.clock.0.set(PERMITTED_UNTIL_MS - 3_600_000);
            };
            let (outcome, ()) = tokio::join!(wait_for_cluster(&machine.cx), clock_is_set);
            assert_eq!(outcome.unwrap(), Outcome::DecideAnew);
        });
    }

    #[test]
    fn a_founder_that_waited_in_vain_decides_anew_unless_it_knew_a_cluster() {
        run_local(async {
            let machine = founder_at_its_gate("127.242.0.30");
            let outcome = wait_for_cluster(&machine.cx).await.unwrap();
            assert_eq!(outcome, Outcome::DecideAnew);
            machine.file(paths::DISCOVERY, "");
            let error = wait_for_cluster(&machine.cx).await.unwrap_err().to_string();
            assert!(error.contains("no cluster to join after 10 min"), "{error}");
        });
    }

    #[test]
    fn a_founder_whose_killed_init_goes_on_without_it_resumes_it_at_once() {
        run_local(async {
            let machine = founder_at_its_gate("127.244.0.30");
            machine.clock.0.set(PERMITTED_UNTIL_MS + 3_600_000);
            let begin = machine.clock.0.get();
            let etcd_starts = async {
                while machine.clock.0.get() < begin + 5000 {
                    tokio::task::yield_now().await;
                }
                machine.file(
                    &pod_manifest("etcd"),
                    "- --initial-cluster=node1=https://10.77.0.11:2380\n",
                );
                machine.file("/var/lib/etcd/member/wal/0.wal", "");
            };
            let (outcome, ()) = tokio::join!(wait_for_cluster(&machine.cx), etcd_starts);
            assert_eq!(outcome.unwrap(), Outcome::DecideAnew);
        });
    }

    #[test]
    fn a_founder_whose_permission_is_over_waits_as_everybody_does() {
        run_local(async {
            let machine = founder_at_its_gate("127.243.0.30");
            machine.clock.0.set(PERMITTED_UNTIL_MS + 3_600_000);
            assert!(wait_for_cluster(&machine.cx).await.is_err());
        });
    }

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
                met.push(missing.as_usual("10.77.0.30:6444").unwrap());
            }
            assert_eq!(
                met,
                [
                    "an apiserver is up and not ready yet",
                    "the API is up, its roles are not yet",
                    "the API is up, its roles are not yet",
                    "an apiserver is up and not ready yet",
                ]
            );
        });
    }

    #[test]
    fn whose_clock_is_off_waits_at_the_gate_until_it_is_set() {
        run_local(async {
            let ca = test_authority("kubernetes");
            let script = Script::default();
            let ready = [
                "GET /readyz",
                &format!("{CONFIG_MAPS}/kubeadm-config"),
                &format!("{CONFIG_MAPS}/kubelet-config"),
            ];
            for question in ready {
                script.on(question, 200, "{}");
            }
            *script.date.borrow_mut() = "Sat, 21 Nov 2026 15:00:42 GMT".to_owned();
            let base = format!("https://{}", script.serve(&ca).await);
            let me = node_identity(&ca, "node2");
            let client = Client::new(&base, ca.cert(), Some(&me)).unwrap();
            let machine = testing::fake_machine(testing::control_plane());
            machine.clock.0.set(1_795_273_242_000 + 7_200_000);
            let missing = observe_cluster(&machine.cx, &client).await.unwrap_err();
            assert!(missing.contains("120 min ahead"), "{missing}");
            let events = machine.events();
            let told = events.iter().find(|e| e["event"] == "waiting").unwrap();
            assert_eq!(told["what"], missing);
            machine.clock.0.set(1_795_273_242_000);
            observe_cluster(&machine.cx, &client).await.unwrap();
        });
    }

    #[test]
    fn an_ordinary_wait_at_the_gate_shows_what_its_last_try_said_once_it_lasts() {
        run_local(async {
            let machine = founder_at_its_gate("127.245.0.30");
            machine.clock.0.set(PERMITTED_UNTIL_MS + 3_600_000);
            assert!(wait_for_cluster(&machine.cx).await.is_err());
            let told: Vec<_> = machine
                .events()
                .into_iter()
                .filter(|e| e["event"] == "waiting")
                .collect();
            assert_eq!(told.len(), 2, "{told:?}");
            let words = "no apiserver answers at 127.245.0.30:6444 yet";
            for (event, raw) in told.iter().zip(["", "Connection refused"]) {
                assert_eq!(
                    (&event["what"], &event["lastError"]),
                    (&words.into(), &raw.into())
                );
                assert_eq!(event["on"]["kind"], "vip");
            }
        });
    }

    #[test]
    fn a_fault_at_the_gate_is_told_at_once_in_its_own_words() {
        let kind = kube::error::ErrorKind::CertificateExpired;
        let error = ApiError::new("https://10.77.0.30:6444/readyz", kind);
        let missing = MissingPart {
            name: READYZ,
            error,
        };
        assert_eq!(missing.as_usual("10.77.0.30:6444"), None);
        let machine = founder_at_its_gate("127.246.0.30");
        let raw = "TLS: the server's certificate has expired";
        missing.tell(&machine.cx);
        let told = machine.events();
        let told = told.iter().find(|e| e["event"] == "waiting").unwrap();
        assert_eq!(told["lastError"], raw);
    }
}
