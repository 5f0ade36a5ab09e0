use super::*;

#[test]
fn what_is_due_is_renewed_under_the_lease_and_nothing_else() {
    run_local(async {
        let fixture = RenewalFixture::new(170).await.all_ready();
        fixture.pods_run_since("2100-01-01T00:00:00Z");
        assert_eq!(fixture.observe().await.unwrap(), RenewalOutcome::NothingDue);
        fixture.has_days_left("apiserver", 29);
        let seen = fixture
            .observe_with("certs renew apiserver", "apiserver")
            .await;
        assert_eq!(seen.unwrap(), RenewalOutcome::Renewed);
        assert_eq!(
            fixture.commands_run(),
            ["run kubeadm certs renew apiserver"]
        );
        let configs = fixture.machine.commands.configs.take();
        let text = &configs[0].text;
        assert!(
            text.ends_with("---\nkind: ClusterConfiguration\n"),
            "{text}"
        );
        assert!(
            !fixture.machine.cx.sys.files.exists(&configs[0].name),
            "it is gone"
        );
        let lease = fixture.api.lease(LEASE).unwrap().spec;
        assert_eq!(lease.holder_identity.as_deref(), Some(""), "let go");
        assert_eq!(lease.lease_transitions, Some(1), "it was held once");
        assert_eq!(fixture.observe().await.unwrap(), RenewalOutcome::NothingDue);
    });
}

#[test]
fn what_was_made_together_is_renewed_together() {
    run_local(async {
        let fixture = RenewalFixture::new(183).await.all_ready();
        fixture.pods_run_since("2100-01-01T00:00:00Z");
        fixture
            .has_days_left("etcd-peer", 32)
            .has_days_left("apiserver", 34);
        assert_eq!(fixture.observe().await.unwrap(), RenewalOutcome::NothingDue);
        fixture.has_days_left("etcd-server", 29);
        // kubeadm makes only the first one: the second is still as it was.
        fixture
            .machine
            .commands
            .succeed("kubeadm certs renew etcd-peer");
        let seen = fixture
            .observe_with("certs renew etcd-server", "etcd-server")
            .await;
        assert_eq!(
            seen.unwrap_err().to_string(),
            "kubeadm ended well and left etcd-peer as it was"
        );
        assert_eq!(
            fixture.commands_run(),
            [
                "run kubeadm certs renew etcd-server",
                "run kubeadm certs renew etcd-peer"
            ]
        );
    });
}

#[test]
fn nothing_is_touched_while_a_control_plane_is_missing_until_little_time_is_left() {
    run_local(async {
        let fixture = RenewalFixture::new(171).await;
        fixture
            .pods_run_since("2100-01-01T00:00:00Z")
            .has_days_left("etcd-peer", 11);
        fixture.apiservers[2].on("GET /readyz", 500, "etcd failed");
        let RenewalOutcome::Waits(why) = fixture.observe().await.unwrap() else {
            panic!("it did not wait");
        };
        assert!(why.starts_with("node3: kube-apiserver: "), "{why}");
        assert_eq!(fixture.commands_run(), [""; 0]);
        fixture.has_days_left("etcd-peer", 9);
        let seen = fixture
            .observe_with("certs renew etcd-peer", "etcd-peer")
            .await;
        assert_eq!(seen.unwrap(), RenewalOutcome::Renewed, "9 days left");
    });
}

#[test]
fn a_member_that_does_not_vote_and_one_without_a_leader_are_waited_for() {
    run_local(async {
        for (net, list, status, words) in [
            (
                172,
                r#"{"members":[{"ID":"1","name":"node1","isLearner":true}]}"#,
                r#"{"leader":"1"}"#,
                "node2: etcd: node1 does not vote",
            ),
            (
                173,
                r#"{"members":[{"ID":"1","name":"node1"}]}"#,
                r#"{"leader":"0"}"#,
                "node2: etcd knows no leader",
            ),
        ] {
            let fixture = RenewalFixture::new(net).await.all_ready();
            fixture
                .pods_run_since("2100-01-01T00:00:00Z")
                .has_days_left("etcd-server", 29);
            fixture.etcd_says(list, status);
            assert_eq!(
                fixture.observe().await.unwrap(),
                RenewalOutcome::Waits(words.to_owned())
            );
        }
    });
}

#[test]
fn one_at_a_time() {
    run_local(async {
        let fixture = RenewalFixture::new(174).await.all_ready();
        fixture
            .pods_run_since("2100-01-01T00:00:00Z")
            .has_days_left("apiserver", 1);
        fixture.api.held_lease(LEASE, "node3/boot");
        let waits = RenewalOutcome::Waits("node3 renews its own".into());
        assert_eq!(fixture.observe().await.unwrap(), waits);
        assert_eq!(fixture.commands_run(), [""; 0]);
    });
}

#[test]
fn a_cluster_that_slept_past_its_end_is_renewed_without_anybody() {
    run_local(async {
        let fixture = RenewalFixture::silent(175);
        // Agents come up in Join: nothing answers, so nobody is steady.
        fixture.machine.cx.report.phase_started(Phase::Join, 1);
        fixture.has_days_left("apiserver", 0);
        fixture
            .machine
            .clock
            .0
            .set(fixture.machine.clock.0.get() + DAY_MS);
        // Upgraded since the machine was made.
        let stdout = "v1.99.3\n".to_owned();
        let version = Ok(crate::sys::Output { stdout });
        fixture.machine.commands.answer("kubeadm version", version);
        let seen = fixture
            .observe_with("certs renew apiserver", "apiserver")
            .await;
        assert_eq!(seen.unwrap(), RenewalOutcome::Renewed);
        let text = fixture.machine.commands.configs.borrow()[0].text.clone();
        assert!(
            text.contains(r#""clusterName": "demo""#),
            "the node file's: {text}"
        );
        let own = r#""kubernetesVersion": "v1.99.3""#;
        assert!(text.contains(own), "which this kubeadm takes: {text}");
    });
}

#[test]
fn without_the_authoritys_key_it_says_so_and_is_degraded() {
    run_local(async {
        let fixture = RenewalFixture::new(176).await.all_ready();
        fixture
            .pods_run_since("2100-01-01T00:00:00Z")
            .has_days_left("front-proxy-client", 29);
        let files = &fixture.machine.cx.sys.files;
        files.wipe(&pki_file("front-proxy-ca.key")).unwrap();
        let mut watch = RenewalWatch::new(&fixture.machine.cx);
        assert!(
            ends::check_ends(&fixture.machine.cx).is_ok(),
            "not tried yet"
        );
        watch.observe_and_report().await;
        assert_eq!(fixture.commands_run(), [""; 0]);
        let words = fixture.machine.status().renewal.words;
        assert!(
            words.contains("front-proxy-ca is not on this node"),
            "{words}"
        );
        let fault = ends::check_ends(&fixture.machine.cx)
            .unwrap_err()
            .to_string();
        assert!(
            fault.contains(&words) && fault.contains("kubeadm certs renew all"),
            "{fault}"
        );
        assert!(
            fault.contains("kube-scheduler.yaml"),
            "both halves: {fault}"
        );
    });
}

#[test]
fn what_a_cut_left_is_made_again_once_the_node_is_settled() {
    run_local(async {
        let fixture = RenewalFixture::new(177).await.all_ready();
        fixture.pods_run_since("2100-01-01T00:00:00Z");
        let (etcd_key, peer_cert) = (pki_file("etcd/server.key"), pki_file("etcd/peer.crt"));
        let other = fixture.identity_for_days(YEAR);
        for (file, content, command, name) in [
            (
                &etcd_key,
                other.key.expose(),
                "certs renew etcd-server",
                "etcd-server",
            ),
            (&etcd_key, "", "certs renew etcd-server", "etcd-server"),
            (&peer_cert, "", "init phase certs etcd-peer", "etcd-peer"),
        ] {
            fixture.machine.file(file, content);
            fixture.machine.cx.report.phase_started(Phase::Join, 1);
            let joining = fixture.observe().await.unwrap();
            assert_eq!(
                joining,
                RenewalOutcome::NothingDue,
                "kubeadm may be writing it: {command}"
            );
            fixture.machine.cx.report.phase_started(Phase::Steady, 1);
            let seen = fixture.observe_with(command, name).await;
            assert_eq!(seen.unwrap(), RenewalOutcome::Renewed, "{command}");
            assert_eq!(fixture.commands_run(), [format!("run kubeadm {command}")]);
        }
        let scheduler = ends::kubeconfig_file("scheduler.conf");
        fixture.machine.file(&scheduler, "");
        let seen = fixture
            .observe_with("init phase kubeconfig scheduler", "scheduler.conf")
            .await;
        assert_eq!(seen.unwrap(), RenewalOutcome::Renewed);
    });
}

#[test]
fn what_people_removed_or_wrote_themselves_is_left_alone() {
    run_local(async {
        let fixture = RenewalFixture::new(178).await.all_ready();
        fixture.pods_run_since("2100-01-01T00:00:00Z");
        let own = r#"{"apiVersion":"v1","kind":"Config","users":[{"name":"me","user":{"exec":{"command":"login"}}}]}"#;
        fixture.machine.file("/etc/kubernetes/admin.conf", own);
        fixture
            .machine
            .cx
            .sys
            .files
            .wipe("/etc/kubernetes/super-admin.conf")
            .unwrap();
        assert_eq!(fixture.observe().await.unwrap(), RenewalOutcome::NothingDue);
    });
}

#[test]
fn kubeadm_that_renews_nothing_is_an_error() {
    run_local(async {
        let fixture = RenewalFixture::new(179).await.all_ready();
        fixture
            .pods_run_since("2100-01-01T00:00:00Z")
            .has_days_left("apiserver", 29);
        fixture
            .machine
            .commands
            .succeed("kubeadm certs renew apiserver");
        let error = fixture.observe().await.unwrap_err().to_string();
        assert_eq!(error, "kubeadm ended well and left apiserver as it was");
    });
}
