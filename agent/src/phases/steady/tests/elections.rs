//! etcd's elections, by the term that its own member tells.

use serde_json::json;

use super::balancer_follows::BalancerFixture;
use super::*;

const MEMBERS: &str = r#"{"members":[{"ID":"1","name":"node1"},{"ID":"2","name":"node2"},{"ID":"3","name":"node3"}]}"#;

#[test]
fn every_election_between_two_looks_is_counted_for_fifteen_minutes() {
    run_local(async {
        let fixture = BalancerFixture::new(190).await;
        let machine = &fixture.machine;
        fixture
            .etcd
            .on("POST /v3/cluster/member/list", 200, MEMBERS)
            .on("POST /v3/maintenance/alarm", 200, "{}");
        let mut watch = SteadyWatch::begin(&machine.cx);
        let begin = machine.clock.0.get();
        let mut seen = Vec::new();
        // Second, term, leader: the same leader may be elected again, and a look may miss one between two others.
        for (second, term, leader) in [
            (0, "7", "1"),
            (5, "7", "1"),
            (10, "8", "2"),
            (15, "10", "2"),
            (900, "10", "2"),
            (911, "10", "2"),
            // Another etcd's terms: a restored one begins anew.
            (920, "2", "2"),
            (925, "3", "2"),
        ] {
            machine.clock.0.set(begin + second * 1000);
            let status = json!({"header": {"member_id": "2"}, "leader": leader, "raftTerm": term});
            let path = "POST /v3/maintenance/status";
            fixture.etcd.from_now_on(path, 200, &status.to_string());
            watch.etcd_is_whole().await.unwrap();
            let told = machine.status().etcd.unwrap().elections_ms;
            let at = |ms: &u64| (ms - begin) / 1000;
            seen.push(told.iter().map(at).collect::<Vec<_>>());
        }
        let expected: [&[u64]; 8] = [
            &[],
            &[],
            &[10],
            &[10, 15, 15],
            &[10, 15, 15],
            &[15, 15],
            &[],
            &[925],
        ];
        assert_eq!(seen, expected);
    });
}
