use super::*;

fn etcd_facts_mut(view: &mut ClusterView) -> &mut EtcdFacts {
    view.etcd_facts.as_mut().unwrap()
}

#[test]
fn alarms_space_and_leaders_are_judged() {
    check_rows(&[
        (
            "an alarm, told by etcd and by every agent",
            |view| {
                etcd_facts_mut(view).alarms = vec!["NOSPACE of node2".to_owned().into()];
                let etcd = view.status("node1").etcd.as_mut();
                etcd.unwrap().alarms = vec!["NOSPACE of node2".to_owned().into()];
            },
            &[
                "etcd: alarm NOSPACE of node2: the database is at its quota, and nothing can be written until it is compacted, \
               defragmented and the alarm disarmed",
            ],
        ),
        (
            "an alarm that only an agent could tell",
            |view| {
                view.etcd_facts = None;
                let etcd = view.status("node3").etcd.as_mut();
                etcd.unwrap().alarms = vec!["CORRUPT of node3".to_owned().into()];
            },
            &[
                "etcd: alarm CORRUPT of node3: that member's data differs from the others': make its machine anew",
            ],
        ),
        (
            "a database of four fifths",
            |view| {
                let member = etcd_facts_mut(view).members.get_mut("node3").unwrap();
                member.database_bytes = Some((2 << 30) / 10 * 8 + 10);
            },
            &[
                "etcd: node3's database takes 80 % of its quota of 2048 MiB: at 100 % nothing can be written any more",
            ],
        ),
        (
            "a member that is cut off",
            |view| {
                etcd_facts_mut(view)
                    .members
                    .get_mut("node3")
                    .unwrap()
                    .leader
                    .clear()
            },
            &["etcd: node3 has no leader: it is cut off from the others"],
        ),
        (
            "a leader that changes again and again, seen by two agents",
            |view| {
                for node in ["node2", "node3"] {
                    let etcd = view.status(node).etcd.as_mut();
                    etcd.unwrap().elections_ms = vec![NOW - 600_000; 4];
                }
            },
            &[
                "etcd: etcd's leader was elected 4 times or more within 15 minutes, as node2 saw it, and nothing is written \
               until there is one: etcd's members were restarted one after the other (an upgrade), their disks are too slow, the \
               network between them loses packets, or the machines are too busy",
            ],
        ),
        (
            "a leader that changed three times",
            |view| {
                let etcd = view.status("node2").etcd.as_mut();
                etcd.unwrap().elections_ms = vec![NOW - 600_000; 3];
            },
            &[],
        ),
        (
            "two leaders",
            |view| {
                etcd_facts_mut(view)
                    .members
                    .get_mut("node3")
                    .unwrap()
                    .leader = "node3".to_owned()
            },
            &["etcd: its members follow more than one leader: node2 and node3"],
        ),
    ]);
}

#[test]
fn the_quota_of_the_cluster_file_counts_where_etcd_tells_none() {
    let small = ExpectedCluster {
        etcd_quota_bytes: 24 << 20,
        ..demo_cluster()
    };
    let mut view = healthy_view();
    view.etcd_facts = None;
    let said = said_of(&small, &view);
    assert!(
        said.len() == 1 && said[0].contains("takes 83 % of its quota of 24 MiB"),
        "{said:?}"
    );
}

#[test]
fn the_command_runs_where_a_member_answers() {
    let finding = only_finding(|view| {
        etcd_facts_mut(view).members.remove("node1");
        etcd_facts_mut(view).alarms = vec!["NOSPACE of node2".to_owned().into()];
    });
    assert!(
        finding
            .next
            .starts_with("kubectl -n kube-system exec etcd-node2 -- etcdctl "),
        "{}",
        finding.next
    );
}

#[test]
fn of_an_external_etcd_each_endpoint_is_judged_by_who_asks_it() {
    let expected = ExpectedCluster {
        external_etcd: true,
        ..demo_cluster()
    };
    let mut view = healthy_view();
    view.etcd = Ok(Vec::new());
    let told = |view: &ClusterView| -> Vec<String> {
        let all = cluster_findings(&expected, view).into_iter();
        all.map(|finding| finding.what).collect()
    };
    let endpoint = |host: u8, error: &str| EtcdEndpoint {
        url: format!("https://10.77.0.{host}:2379"),
        error: error.to_owned(),
    };
    for node in ["node1", "node2", "node3"] {
        let etcd = view.status(node).etcd.as_mut().unwrap();
        etcd.endpoints = vec![endpoint(41, ""), endpoint(42, "")];
    }
    assert_eq!(told(&view), [""; 0]);
    assert_eq!(findings_awaited(&expected, &view), []);
    for node in ["node1", "node3"] {
        let etcd = view.status(node).etcd.as_mut().unwrap();
        etcd.endpoints[1].error = "Connection refused".to_owned();
    }
    assert_eq!(
        told(&view),
        [
            "external endpoint https://10.77.0.42:2379: Connection refused (asked by node1 and node3)"
        ]
    );
    assert_eq!(
        findings_awaited(&expected, &view),
        [],
        "a launch does not wait for it"
    );
    let alarm = vec!["NOSPACE of member 7".to_owned().into()];
    view.status("node2").etcd.as_mut().unwrap().alarms = alarm;
    assert_eq!(told(&view).len(), 2);
}
