//! Joins that a power cut, or a day, came in between.

use super::*;

/// Its Node object is there from before a power cut; its kubelet cannot start.
#[test]
fn a_worker_whose_kubelet_says_nothing_joins_again() {
    run_local(async {
        let fixture = join_fixture(testing::worker(), 131).await;
        fixture.write_kubelet_files();
        fixture.api.on("GET /api/v1/nodes/node4", 200, OF_OLD);
        super::run(&fixture.machine.cx).await.unwrap();
        assert_eq!(fixture.kubeadm_runs(), 1);
    });
}

/// From here on nothing hangs on the identity that ends after a day: neither the network nor a hook that fails.
#[test]
fn a_join_ends_with_a_kubeconfig_that_does_not_end() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 132).await;
        fixture.serve_members(&[("1", "node1", 11, false)]);
        super::run(&fixture.machine.cx).await.unwrap();
        let conf = fixture.machine.cx.sys.files.read(KUBELET_CONF).unwrap();
        let conf = conf.unwrap();
        assert!(!kubeconfig::holds_private_key(&conf), "{conf}");
        assert!(conf.contains("https://127.132.0.12:6443"), "{conf}");
    });
}

/// Powered off for a day in mid-join: the identity from Ignition is over, the kubelet's own is not.
#[test]
fn a_join_that_took_a_day_goes_on() {
    run_local(async {
        let fixture = join_fixture(testing::worker(), 133).await;
        fixture.write_kubelet_files();
        let me = node_identity(&fixture.ca, "node4");
        let conf = kubeconfig::render_embedded("https://127.133.0.30:6444", fixture.ca.cert(), &me);
        fixture.machine.file(KUBELET_CONF, conf.expose());
        fixture.machine.systemd.unit(KUBELET, "activating");
        fixture.api.on("GET /api/v1/nodes/node4", 200, REGISTERED);
        super::run(&fixture.machine.cx).await.unwrap();
        let conf = fixture.machine.cx.sys.files.read(KUBELET_CONF).unwrap();
        assert!(!kubeconfig::holds_private_key(&conf.unwrap()));
        assert_eq!(fixture.kubeadm_runs(), 0);
    });
}

/// Its kubeconfig leads to the VIP while it joins, since its own apiserver does not answer, and to its own after that.
#[test]
fn a_join_that_goes_on_leads_the_kubelet_to_the_vip_first() {
    run_local(async {
        let fixture = join_fixture(testing::control_plane(), 140).await;
        fixture.serve_members(&[("1", "node1", 11, false)]);
        fixture.api.on("GET /api/v1/nodes/node2", 200, REGISTERED);
        fixture.write_prepared_files();
        let read = || fixture.machine.cx.sys.files.read(KUBELET_CONF).unwrap();
        let own = read();
        kubelet_conf::write_for_join(&fixture.machine.cx).unwrap();
        assert!(read().unwrap().contains("https://127.140.0.30:6444"));
        assert!(needed(&fixture.machine.cx).await.unwrap());
        super::run(&fixture.machine.cx).await.unwrap();
        assert_eq!(read(), own);
    });
}

/// Empty files, as ext4 leaves them of what was not synced: they are there, and they are nothing.
#[test]
fn empty_files_are_not_there() {
    run_local(async {
        for (net, empty) in (134..).zip([
            pki_file("apiserver.crt"),
            pki_file("etcd/peer.key"),
            "/etc/kubernetes/scheduler.conf".to_owned(),
            pod_manifest("kube-apiserver"),
            pod_manifest("etcd"),
            KUBELET_CONFIG.to_owned(),
        ]) {
            let fixture = join_fixture(testing::control_plane(), net).await;
            fixture.serve_members(&[("1", "node1", 11, false), ("2", "node2", 12, false)]);
            fixture.api.on("GET /api/v1/nodes/node2", 200, MARKED);
            let own = Script::default();
            own.on("GET /readyz", 200, "ok");
            own.serve_at(&fixture.ca, &format!("127.{net}.0.12:6443"))
                .await;
            fixture.write_prepared_files();
            fixture.etcd_here();
            assert!(!needed(&fixture.machine.cx).await.unwrap(), "all is there");
            fixture.machine.file(&empty, "");
            assert!(needed(&fixture.machine.cx).await.unwrap(), "{empty}");
        }
    });
}
