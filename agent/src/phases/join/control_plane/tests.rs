//! What must never be taken for dead, and what a join does when its lease is lost. The rest is in `join/tests.rs`.

use std::process::Command;
use std::time::Duration;

use ha_test_support::{PATIENCE, real};
use ha_wire::paths;
use serde_json::{Value, json};

use super::super::run;
use super::super::tests::{JoinFixture, LOCAL_IMAGES, join_fixture};
use crate::kube::kubeconfig;
use crate::kube::lock::LeaseLost;
use crate::kube::testing::{node_identity, run_local, test_authority};
use crate::phases::NeedsAPerson;
use crate::sys::{Cmd, Output};
use crate::testing;

const REMOVE: &str = "POST /v3/cluster/member/remove";
const LEASE: &str = "ha-agent-etcd-join";
const JOIN: &str = "kubeadm join --config";
const PULL: &str = "kubeadm init phase preflight --config";
const OLD_NODE: &str = "/api/v1/nodes/node2";
const KUBELET_LEASE: &str =
    "GET /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node2";

async fn within_patience<T>(work: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(PATIENCE, work).await;
    ended.expect("it never ends")
}

impl JoinFixture {
    /// The old Node of this name is Ready at an address of this network.
    fn old_node(&self, host: u8) {
        let std::net::IpAddr::V4(own) = self.machine.cx.node.address else {
            panic!("version 4");
        };
        let [a, net, b, _] = own.octets();
        let address = std::net::Ipv4Addr::new(a, net, b, host).to_string();
        let node = json!({"metadata": {"name": "node2"}, "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": address}],
            "nodeInfo": {"machineID": "0123456789abcdef"}}});
        self.api
            .on(&format!("GET {OLD_NODE}"), 200, &node.to_string());
        self.api.on(&format!("DELETE {OLD_NODE}"), 200, "{}");
    }

    /// Its kubelet said so often more that it lives.
    fn kubelet_renews(&self, times: u32) {
        for at in 0..=times {
            let lease = json!({"spec": {"holderIdentity": "node2", "leaseDurationSeconds": 40,
                "renewTime": format!("2026-01-01T00:{:02}:{:02}.000000Z", at / 60, at % 60)}});
            self.api.on(KUBELET_LEASE, 200, &lease.to_string());
        }
    }

    fn nothing_was_taken(&self) {
        assert_eq!(self.api.asked(&format!("DELETE {OLD_NODE}")).len(), 0);
        assert_eq!(self.etcd.asked(REMOVE).len(), 0);
    }
}

#[test]
fn a_learner_that_votes_by_now_stays() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 131).await;
        let first = ("1", "node1", 11, false);
        let learner = ("3", "node1b", 11, true);
        // Four looks before the lease, one under it; then the node that joined is promoted.
        for _ in 0..5 {
            fixture.serve_members(&[first, learner]);
        }
        fixture.serve_members(&[first, ("3", "node1b", 11, false)]);
        fixture.etcd.on(REMOVE, 200, "{}");
        within_patience(run(&fixture.machine.cx)).await.unwrap();
        assert_eq!(
            fixture.etcd.asked(REMOVE).len(),
            0,
            "a voter of another node"
        );
    });
}

#[test]
fn a_lost_lease_ends_kubeadm() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 132).await;
        fixture.serve_members(&[("1", "node1", 11, false)]);
        fixture.machine.commands.lasts(JOIN).notify_one();
        let _never_told = fixture.machine.commands.lasts(JOIN);
        let taken = async {
            let runs = |log: &[String]| log.iter().filter(|o| o.starts_with("run kubeadm")).count();
            while runs(&fixture.machine.log.borrow()) < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            fixture.api.held_lease(LEASE, "node3/b3");
        };
        let both = async { tokio::join!(run(&fixture.machine.cx), taken).0 };
        let error = within_patience(both).await.unwrap_err();
        assert!(error.is::<LeaseLost>(), "{error:#}");
        assert_eq!(fixture.lease_holder().as_deref(), Some("node3/b3"));
    });
}

#[test]
fn a_living_machine_of_this_name_keeps_its_node_and_its_member() {
    for (net, host) in [(133, 99), (134, 12)] {
        run_local(async {
            let fixture = join_fixture(testing::control_plane(), net).await;
            fixture.serve_members(&[("1", "node1", 11, false), ("2", "node2", host, false)]);
            fixture.etcd.on(REMOVE, 200, "{}");
            fixture.old_node(host);
            fixture.kubelet_renews(1000);
            let error = within_patience(run(&fixture.machine.cx)).await.unwrap_err();
            let words = "does another machine have its name?";
            assert!(error.to_string().contains(words), "{error:#}");
            fixture.nothing_was_taken();
            assert_eq!(fixture.kubeadm_runs(), 0);
        });
    }
}

#[test]
fn a_machine_whose_kubelet_is_silent_is_gone_sooner_if_its_address_is_here() {
    for (net, host, seconds) in [(135, 99, 40), (136, 12, 15)] {
        run_local(async {
            let fixture = join_fixture(testing::control_plane(), net).await;
            fixture.serve_members(&[("1", "node1", 11, false), ("2", "node2", host, false)]);
            fixture.etcd.on(REMOVE, 200, "{}");
            fixture.old_node(host);
            fixture.kubelet_renews(0);
            within_patience(run(&fixture.machine.cx)).await.unwrap();
            let looks = fixture.api.asked(KUBELET_LEASE).len();
            assert_eq!(looks, 2 * seconds + 1, "each half a second");
            assert_eq!(fixture.api.asked(&format!("DELETE {OLD_NODE}")).len(), 1);
            assert_eq!(fixture.etcd.asked(REMOVE).len(), 1);
        });
    }
}

/// Killed between its kubelet's first word and that one's certificate.
#[test]
fn a_kubelet_of_this_very_machine_is_no_other_machine_s() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 206).await;
        fixture.serve_members(&[("1", "node1", 11, false)]);
        fixture
            .machine
            .file("/etc/machine-id", "0123456789abcdef\n");
        fixture.old_node(12);
        fixture.kubelet_renews(1000);
        within_patience(run(&fixture.machine.cx)).await.unwrap();
        assert_eq!(fixture.api.asked(&format!("DELETE {OLD_NODE}")).len(), 1);
        assert_eq!(
            fixture.api.asked(KUBELET_LEASE).len(),
            0,
            "nothing is waited for"
        );
    });
}

/// Its Node object is gone, or its kubelet is dead; its etcd serves.
#[test]
fn an_old_member_that_answers_elsewhere_stays() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 137).await;
        fixture.serve_members(&[("1", "node1", 11, false), ("2", "node2", 11, false)]);
        fixture.etcd.on(REMOVE, 200, "{}");
        let error = within_patience(run(&fixture.machine.cx)).await.unwrap_err();
        let words = "does another machine have its name?";
        assert!(error.to_string().contains(words), "{error:#}");
        fixture.nothing_was_taken();
        assert_eq!(fixture.lease_story(), [""; 0]);
        assert_eq!(fixture.kubeadm_runs(), 0, "nothing was begun");
    });
}

fn data_on(dir: &str) -> ha_wire::node::NodeFile {
    let mut node = testing::control_plane();
    let etcd = json!({"local": {"dataDir": dir}});
    node.kubernetes
        .cluster_configuration
        .insert("etcd".into(), etcd);
    node
}

#[test]
fn a_directory_that_holds_other_things_is_left_alone() {
    run_local(async {
        let fixture = join_fixture(data_on("/data"), 138).await;
        fixture.serve_members(&[("1", "node1", 11, false)]);
        fixture.machine.file("/data/photos/cat.jpg", "x");
        fixture.machine.file("/data/member/snap/db", "x");
        let error = within_patience(run(&fixture.machine.cx)).await.unwrap_err();
        assert!(error.is::<NeedsAPerson>(), "{error:#}");
        assert!(error.to_string().contains("photos"), "{error:#}");
        for left in ["/data/photos/cat.jpg", "/data/member/snap/db"] {
            assert!(fixture.machine.cx.sys.files.exists(left), "{left}");
        }
        assert_eq!(fixture.kubeadm_runs(), 0, "nothing was begun");
    });
}

#[test]
fn only_etcd_s_own_data_are_removed_behind_a_link_too() {
    run_local(async {
        let fixture = join_fixture(data_on("/var/lib/etcd"), 139).await;
        fixture.serve_members(&[("1", "node1", 11, false)]);
        fixture.machine.file("/disk/lost+found/1", "x");
        fixture.machine.file("/disk/member/snap/db", "x");
        let files = &fixture.machine.cx.sys.files;
        files.make_dir("/var/lib").unwrap();
        std::os::unix::fs::symlink(files.path("/disk"), files.path("/var/lib/etcd")).unwrap();
        within_patience(run(&fixture.machine.cx)).await.unwrap();
        assert!(
            files.path("/var/lib/etcd").is_symlink(),
            "or etcd would use the root disk"
        );
        assert!(!files.exists("/disk/member"));
        assert!(files.exists("/disk/lost+found/1"));
    });
}

#[test]
fn who_blocks_etcd_is_named_and_no_lease_is_held_for_it() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 201).await;
        let (first, third) = (("1", "node1", 11, false), ("3", "node3", 13, false));
        fixture.serve_members(&[first, third]);
        let error = within_patience(run(&fixture.machine.cx)).await.unwrap_err();
        let words = "no member joins etcd while node3 does not answer";
        assert!(error.to_string().contains(words), "{error:#}");
        assert_eq!(fixture.lease_story(), [""; 0]);
        assert_eq!(fixture.kubeadm_runs(), 1, "what needs no etcd");
    });
}

/// As the member that joined before it does, while it becomes a voter: nothing has failed, and others may come first meanwhile.
#[test]
fn a_voter_that_is_silent_for_a_while_is_waited_for_without_the_lease() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 209).await;
        let (first, third) = (("1", "node1", 11, false), ("3", "node3", 13, false));
        fixture.serve_members(&[first]);
        let story = |wanted: &[&str]| fixture.lease_story() == wanted;
        let falls_silent = async {
            while !story(&["node2"]) {
                tokio::task::yield_now().await;
            }
            fixture.serve_members(&[first, third]);
            while !story(&["node2", ""]) {
                tokio::task::yield_now().await;
            }
            fixture.serve_members(&[first]);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            joined = within_patience(run(&fixture.machine.cx)) => joined.unwrap(),
            () = falls_silent => unreachable!(),
        };
        assert_eq!(fixture.lease_story(), ["node2", "", "node2", ""]);
    });
}

/// The fifth of a cluster of five, whose fourth is off.
#[test]
fn beside_three_voters_that_answer_kubeadm_1_37_joins_and_older_ones_wait() {
    for (net, kubeadm) in [(207, "v1.37.2"), (208, "v1.36.3")] {
        run_local(async {
            let fixture = join_fixture(testing::control_plane(), net).await;
            // Three of them at one address, where an etcd of 3.7 answers.
            let [one, three, five] = [("1", "node1"), ("3", "node3"), ("5", "node5")]
                .map(|(id, name)| (id, name, 11, false));
            fixture.serve_members(&[one, three, five, ("4", "node4", 14, false)]);
            for _ in 0..1000 {
                let stdout = kubeadm.to_owned();
                fixture
                    .machine
                    .commands
                    .answer("kubeadm version", Ok(Output { stdout }));
            }
            let joined = within_patience(run(&fixture.machine.cx)).await;
            let configs = fixture.machine.commands.configs.take();
            let last = &configs.last().unwrap().text;
            if kubeadm == "v1.37.2" {
                joined.unwrap();
                assert_eq!(fixture.kubeadm_runs(), 2);
                assert!(
                    last.contains("check-etcd"),
                    "it would wait for node4: {last}"
                );
            } else {
                let error = joined.unwrap_err().to_string();
                assert!(error.contains("while node4 does not answer"), "{error}");
                assert_eq!(fixture.kubeadm_runs(), 1, "what needs no etcd");
            }
        });
    }
}

/// Each would wait for the other's old member for ever: so each first removes its own.
#[test]
fn who_was_made_anew_takes_its_own_member_away_before_it_waits_for_others() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 202).await;
        let (first, third) = (("1", "node1", 11, false), ("3", "node3", 13, false));
        fixture.serve_members(&[first, ("2", "node2", 12, false), third]);
        fixture.etcd.on(REMOVE, 200, "{}");
        let error = within_patience(run(&fixture.machine.cx)).await.unwrap_err();
        assert!(error.to_string().contains("node3"), "{error:#}");
        assert_eq!(fixture.etcd.asked(REMOVE).len(), 1);
        assert_eq!(
            fixture.lease_story(),
            ["node2", ""],
            "held for the removal alone"
        );
        assert_eq!(fixture.kubeadm_runs(), 1);
    });
}

#[test]
fn etcd_s_image_is_here_before_the_lease_is_held() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 203).await;
        fixture.serve_members(&[("1", "node1", 11, false)]);
        let commands = &fixture.machine.commands;
        let images = |text: &str| {
            let stdout = text.to_owned();
            Ok(Output { stdout })
        };
        // The fixture's machine has it; here it was lost.
        let args: Vec<&str> = LOCAL_IMAGES.split(' ').skip(1).collect();
        let ctr = Cmd::new("ctr", &args, PATIENCE);
        fixture.machine.cx.sys.commands.run(ctr).await.unwrap();
        commands.answer(LOCAL_IMAGES, images("registry.k8s.io/pause:3.10.1\n"));
        let named = "registry.k8s.io/etcd:3.6.5-0\n";
        commands.answer("kubeadm config images list --config", images(named));
        commands.answer(LOCAL_IMAGES, images(named));
        commands.succeed(PULL);
        let pull = commands.lasts(PULL);
        let order = async {
            let pulls = |log: &[String]| log.iter().any(|o| o.starts_with("run kubeadm init"));
            while !pulls(&fixture.machine.log.borrow()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(fixture.lease_story(), [""; 0]);
            pull.notify_one();
        };
        let both = async { tokio::join!(run(&fixture.machine.cx), order).0 };
        within_patience(both).await.unwrap();
        assert_eq!(fixture.lease_story(), ["node2", ""]);
    });
}

/// It looks at the names of phases before it looks for the cluster, of which there is none here.
#[test]
fn the_real_kubeadm_knows_every_phase_that_a_join_skips() {
    let Some(kubeadm) = real::of_kubernetes("kubeadm") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let ca = test_authority("kubernetes");
    let me = node_identity(&ca, "node2");
    let nobody = kubeconfig::render_embedded("https://127.0.0.1:1", ca.cert(), &me);
    let [discovery, file] = ["discovery", "join.json"].map(|name| dir.path().join(name));
    std::fs::write(&discovery, nobody.expose()).unwrap();
    let said = |text: &str| {
        let text = text.replace(paths::DISCOVERY, discovery.to_str().unwrap());
        let mut config: Value = serde_json::from_str(&text).unwrap();
        config["timeouts"]["discovery"] = "1s".into();
        config["dryRun"] = true.into();
        std::fs::write(&file, config.to_string()).unwrap();
        let mut join = Command::new(&kubeadm);
        join.args(["join", "--config"]).arg(&file);
        join.env("KUBEADM_JOIN_DRYRUN_DIR", dir.path());
        String::from_utf8(join.output().unwrap().stderr).unwrap()
    };
    let machine = testing::fake_machine(testing::control_plane());
    let configs = super::config_files(&machine.cx);
    for config in &configs {
        let said = said(&config.text);
        let looked = said.contains("validate the identity of the API Server");
        assert!(looked, "{}: {said}", config.name);
    }
    let unknown = said(&configs[0].text.replace("check-etcd", "no-such-phase"));
    assert!(
        unknown.contains("invalid phase name: no-such-phase"),
        "{unknown}"
    );
}
