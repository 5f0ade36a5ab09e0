use ha_wire::phase::{Phase, Role};
use ha_wire::status::{
    self, About, AgentProcess, Answer, Backend, EtcdStatus, PhaseState, PodsAnswer, Renewal,
    SeenFault, Vip,
};

use super::*;

const NOW: u64 = 1_700_000_000_000;

/// A control plane of three with which nothing is wrong.
fn healthy_status() -> Status {
    let answers = |since_ms| Answer {
        at_ms: NOW - 1000,
        since_ms,
        error: String::new(),
    };
    Status {
        version: status::VERSION,
        cluster: "demo".into(),
        node: "node2".into(),
        role: Role::ControlPlane,
        address: [10, 77, 0, 12].into(),
        phase: Phase::Steady,
        state: PhaseState::Steady,
        since_ms: NOW - 3_600_000,
        updated_ms: NOW - 2000,
        attempt: 1,
        waiting_for: String::new(),
        last_try_ms: None,
        last_error: String::new(),
        tail: Vec::new(),
        phases: Vec::new(),
        vip: Vip {
            external: String::new(),
            address: [10, 77, 0, 30].into(),
            port: 6444,
            here: true,
            holder: "node2".into(),
            taken_ms: Vec::new(),
            complaint: String::new(),
            held_since_ms: None,
        },
        backends: [
            ("node1", "UP", "L7OK"),
            ("node2", "UP", "L7OK"),
            ("node3", "DOWN", "L4TOUT"),
        ]
        .map(|(name, state, check)| backend_in_state(name, state, check, 3600))
        .to_vec(),
        apiserver_port: 6443,
        etcd: Some(EtcdStatus {
            endpoints: Vec::new(),
            expected: 3,
            members: ["node1", "node2", "node3"].map(str::to_owned).to_vec(),
            voter: true,
            leader: "node1".into(),
            alarms: Vec::new(),
            database_bytes: Some(70 << 20),
            quota_bytes: Some(2 << 30),
            elections_ms: Vec::new(),
        }),
        kubelet: "active".into(),
        node_ready: Some(true),
        network: String::new(),
        first_expiry: None,
        agent: AgentProcess {
            version: "0.1.0".into(),
            pid: 812,
            rss_kib: 3174,
        },
        strangers: Vec::new(),
        certificates: Vec::new(),
        renewal: Renewal::default(),
        reboot_needed: None,
        faults: Vec::new(),
        service: Some(answers(NOW - 3_500_000)),
        dns: Some(answers(NOW - 3_500_000)),
        dns_in_pods: None,
        runtime: Some(answers(NOW - 3_500_000)),
        seen: None,
    }
}

fn backend_in_state(name: &str, state: &str, check: &str, seconds: u64) -> Backend {
    Backend {
        name: name.into(),
        state: state.into(),
        check: check.into(),
        seconds: Some(seconds),
    }
}

/// The findings of a node that is well but for this: part and words, and whether there is a command.
fn findings_after(change: impl FnOnce(&mut Status)) -> Vec<Finding> {
    let mut status = healthy_status();
    change(&mut status);
    node_findings(&status, NOW)
}

fn silent_for(ms: u64) -> Option<Answer> {
    Some(Answer {
        at_ms: NOW - 1000,
        since_ms: NOW - ms,
        error: "no connection within 1 s".into(),
    })
}

/// The only finding: its part and its words; it has a command to go on with.
fn only_part_and_words(findings: Vec<Finding>) -> (Part, String) {
    let [finding] = &findings[..] else {
        panic!("{findings:#?}");
    };
    assert_ne!(finding.next, "", "{finding:?}");
    (finding.part.clone(), finding.what.clone())
}

#[test]
fn nothing_is_wrong_with_a_node_that_is_well_while_a_peer_is_off() {
    assert_eq!(findings_after(|_| ()), []);
    // What was never asked is no fault.
    let nothing_asked = |s: &mut Status| {
        (s.service, s.dns, s.runtime) = (None, None, None);
        (s.backends, s.etcd) = (Vec::new(), None);
    };
    assert_eq!(findings_after(nothing_asked), []);
}

#[test]
fn life_by_servers_of_last_resort_is_told_with_the_word_of_the_checks_and_what_it_means() {
    let down = |seconds, check: &str| {
        let check = check.to_owned();
        findings_after(move |s| {
            s.backends = ["node1", "node2", "node3"]
                .map(|name| backend_in_state(name, "DOWN", &check, seconds))
                .to_vec();
        })
    };
    assert_eq!(down(29, "L7STS/401"), [], "a restart of all of them");
    let (part, what) = only_part_and_words(down(30, "L7STS/401"));
    assert_eq!(part, Part::LoadBalancer);
    assert!(
        what.contains("node1 L7STS/401") && what.contains("anonymous requests are refused"),
        "{what}"
    );
    // Where its apiserver listens, or where there is none.
    let next = |role| {
        let all = findings_after(move |s| {
            (s.role, s.apiserver_port) = (role, 6444);
            s.backends = vec![backend_in_state("node1", "DOWN", "L4CON", 30)];
        });
        all[0].next.clone()
    };
    assert!(
        next(Role::ControlPlane).starts_with("curl -sk https://10.77.0.12:6444/readyz?verbose; ")
    );
    assert_eq!(next(Role::LoadBalancer), "journalctl -u haproxy -n 20");
    let (_, what) = only_part_and_words(down(600, "L4CON"));
    assert!(
        what.contains("node3 L4CON") && !what.contains("anonymous"),
        "{what}"
    );
    // One that is up is enough; so is one that went down just now.
    for (state, seconds) in [("UP", 3600), ("UP 1/2", 3600), ("DOWN", 3)] {
        let others = findings_after(|s| {
            for b in &mut s.backends {
                *b = backend_in_state(&b.name, "DOWN", "L4CON", 600);
            }
            s.backends[1] = backend_in_state("node2", state, "", seconds);
        });
        assert_eq!(others, [], "{state}");
    }
}

/// Until its first apiserver runs, a founder has none that passes.
#[test]
fn a_node_on_its_way_is_not_judged_by_what_a_steady_one_needs() {
    let on_its_way = findings_after(|s| {
        s.phase = Phase::Init;
        s.backends = vec![backend_in_state("node1", "DOWN", "L4CON", 600)];
        s.faults = vec!["seen by itself".into()];
    });
    assert_eq!(
        on_its_way,
        [Finding::new(Part::Agent("node2".into()), "seen by itself")]
    );
}

#[test]
fn a_vip_that_keeps_coming_to_this_node_is_told_as_long_as_it_does() {
    let taken = |times: u64, ago| {
        findings_after(move |s| {
            s.vip.taken_ms = (0..times).map(|i| NOW - ago - i * 1000).collect();
        })
    };
    assert_eq!(taken(4, 0), []);
    assert_eq!(taken(64, 300_000), []);
    let (part, what) = only_part_and_words(taken(5, 60_000));
    assert_eq!(part, Part::Vip);
    assert!(what.contains("loadBalancer.advertInterval"), "{what}");
}

#[test]
fn what_keepalived_complains_of_counts_where_the_node_takes_itself_for_the_holder() {
    let complains = |here| {
        findings_after(|s| {
            s.vip.here = here;
            s.vip.complaint =
                "(api) Cant send advert to 10.77.0.11 (Operation not permitted)".into();
        })
    };
    let (part, what) = only_part_and_words(complains(true));
    assert_eq!(part, Part::Vip);
    assert!(
        what.contains("Operation not permitted") && what.contains("node2"),
        "{what}"
    );
    assert_eq!(
        complains(false),
        [],
        "a backup that warns of something holds nothing"
    );
}

#[test]
fn what_does_not_answer_counts_when_it_lasts() {
    type Set = fn(&mut Status, Option<Answer>);
    let cases: [(Part, Set, u64, &str); 3] = [
        (Part::Service, |s, a| s.service = a, 30_000, "22:12:50"),
        (Part::Dns, |s, a| s.dns = a, 30_000, "22:12:50"),
        (
            Part::Node("node2".into()),
            |s, a| s.runtime = a,
            5000,
            "22:13:15",
        ),
    ];
    for (part, set, lasts, since) in cases {
        assert_eq!(
            findings_after(|s| set(s, silent_for(lasts - 1))),
            [],
            "{part:?}"
        );
        let (which, what) = only_part_and_words(findings_after(|s| set(s, silent_for(lasts))));
        assert_eq!(which, part);
        let since = format!("since {since} UTC");
        assert!(
            what.contains("no connection within 1 s") && what.contains(&since),
            "{what}"
        );
    }
}

/// Where the node is not answered either, its pods meet the same.
#[test]
fn pods_that_are_not_answered_count_where_their_node_is() {
    let pods = |lasts, node: fn(&mut Status)| {
        findings_after(move |s| {
            let answer = silent_for(lasts).unwrap();
            let command = "nsenter".to_owned();
            s.dns_in_pods = Some(PodsAnswer { answer, command });
            node(s);
        })
    };
    assert_eq!(pods(29_999, |_| ()), []);
    let (part, what) = only_part_and_words(pods(30_000, |_| ()));
    assert_eq!(part, Part::Dns);
    for words in ["node2 itself and none of its pods", "NetworkPolicy"] {
        assert!(what.contains(words), "{what}");
    }
    let (_, what) = only_part_and_words(pods(60_000, |s| s.dns = silent_for(60_000)));
    assert!(!what.contains("pods"), "{what}");
}

#[test]
fn an_etcd_with_an_alarm_or_near_its_quota_is_told() {
    let etcd = |change: fn(&mut EtcdStatus)| findings_after(|s| s.etcd.iter_mut().for_each(change));
    let (part, what) = only_part_and_words(etcd(|e| {
        e.alarms = vec!["NOSPACE of node3".to_owned().into()]
    }));
    assert_eq!(part, Part::Etcd);
    assert!(what.contains("NOSPACE of node3"), "{what}");
    assert_eq!(etcd(|e| e.database_bytes = Some((8 << 30) / 5)), []);
    let (part, what) =
        only_part_and_words(etcd(|e| e.database_bytes = Some((8 << 30) / 5 + (1 << 26))));
    assert_eq!(part, Part::Etcd);
    assert!(what.contains("1.7 of the 2.0 GiB"), "{what}");
    assert_eq!(etcd(|e| e.quota_bytes = None), []);
}

#[test]
fn a_leader_that_etcd_elects_again_and_again_is_told_while_it_does() {
    let elected = |times: usize, ago: u64| {
        findings_after(move |s| {
            let etcd = s.etcd.as_mut().unwrap();
            etcd.elections_ms = vec![NOW - ago; times];
        })
    };
    assert_eq!(elected(3, 1000), []);
    assert_eq!(elected(64, 900_000), []);
    let (part, what) = only_part_and_words(elected(4, 899_000));
    assert_eq!(part, Part::Etcd);
    assert!(
        what.contains("leader") && what.contains("15 minutes"),
        "{what}"
    );
}

#[test]
fn a_node_that_was_not_heard_of_lately_has_nothing_else_to_say() {
    let old = |age| {
        findings_after(move |s| {
            s.updated_ms = NOW - age;
            s.faults = vec!["etcd: no leader".into()];
            s.dns = silent_for(600_000);
        })
    };
    let (part, what) = only_part_and_words(old(31_000));
    assert_eq!(part, Part::Agent("node2".into()));
    assert!(what.contains("not heard of since 22:12:49 UTC"), "{what}");
    assert_eq!(old(30_000).len(), 2);
}

#[test]
fn what_the_agent_saw_by_itself_is_told_once_and_the_worst_first() {
    let mut status = healthy_status();
    status.dns = silent_for(600_000);
    status.faults = vec!["etcd: no leader".into()];
    let all = node_findings(&status, NOW);
    let parts: Vec<Part> = all.iter().map(|f| f.part.clone()).collect();
    assert_eq!(parts, [Part::Agent("node2".into()), Part::Dns]);
    // As an agent of before writes it: its own judgement is among its faults.
    status.faults = all.iter().map(|f| f.what.clone()).collect();
    assert_eq!(node_findings(&status, NOW), all);
    // An agent that says what it saw by itself may have put its judgement into other words.
    status
        .faults
        .push("dns: in words of another release".into());
    let (about, what) = (About::Etcd, "etcd: no leader".into());
    status.seen = Some(vec![SeenFault { about, what }]);
    assert_eq!(node_findings(&status, NOW), all);
}
