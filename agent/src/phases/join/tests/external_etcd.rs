//! Beside somebody else's etcd nobody waits for a turn, and nothing of it is joined.

use super::*;

#[test]
fn a_control_plane_joins_without_lease_and_member() {
    run_local(async {
        let (theirs, etcd) = (test_authority("their-etcd"), Script::default());
        let at = etcd.serve(&theirs).await;
        let mut node = testing::control_plane();
        node.kubernetes.external_etcd = vec![format!("https://{at}")];
        let fixture = join_fixture(node, 131).await;
        let me = node_identity(&theirs, "client");
        for (name, text) in [
            (paths::EXTERNAL_ETCD_CA, theirs.cert()),
            (paths::EXTERNAL_ETCD_CERT, &me.cert),
            (paths::EXTERNAL_ETCD_KEY, me.key.expose()),
        ] {
            fixture.machine.file(name, text);
        }
        etcd.on("POST /v3/maintenance/status", 503, r#"{"error":"down"}"#)
            .on("POST /v3/maintenance/status", 200, r#"{"version":"3.6.8"}"#);
        let error = super::super::run(&fixture.machine.cx).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("no endpoint of the external etcd answers"),
            "{error}"
        );
        assert_eq!(
            fixture.kubeadm_runs(),
            0,
            "its apiserver would start in vain"
        );

        super::super::run(&fixture.machine.cx).await.unwrap();
        assert_eq!(fixture.kubeadm_runs(), 2);
        let read = fixture.machine.commands.configs.take();
        assert!(read[1].text.contains("etcd-join"), "{}", read[1].text);
        assert_eq!(fixture.lease_holder(), None);
        assert_eq!(fixture.etcd.asked(""), [""; 0]);
    });
}
