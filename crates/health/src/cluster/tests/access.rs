use super::*;
use crate::finding::Part;

const COMPLAINT: &str = "Cant send advert (Operation not permitted)";

#[test]
fn the_vip_is_held_by_exactly_one_node_and_stays_there() {
    check_rows(&[
        (
            "a firewall drops adverts: two hold it for good",
            |view| {
                view.status("node2").vip.here = true;
                view.status("node2").vip.complaint = COMPLAINT.to_owned();
            },
            &[
                "VIP: 10.77.0.30 is held by node1 and node2 at once: their adverts (VRRP, IP protocol 112) do not reach each \
               other; node2's keepalived: Cant send advert (Operation not permitted)",
            ],
        ),
        (
            "it has just moved: the old holder has not looked again yet",
            |view| {
                view.status("node2").vip.here = true;
                view.status("node2").vip.taken_ms = vec![NOW - 3000];
            },
            &[],
        ),
        (
            "nobody holds it",
            |view| {
                view.status("node1").vip.here = false;
                view.vip = Err("no connection within 2 s".to_owned());
            },
            &[
                "API: the API at 10.77.0.30:6444: no connection within 2 s",
                "VIP: no control plane holds 10.77.0.30",
            ],
        ),
        (
            "it answers: its holder's agent has not looked again",
            |view| view.status("node1").vip.here = false,
            &[],
        ),
        (
            "nobody who could be asked holds it: whoever could not may",
            |view| {
                view.status("node1").vip.here = false;
                view.vip = Err("no connection within 2 s".to_owned());
                view.agents.get_mut("node3").unwrap().word = AgentWord::Unreachable;
            },
            &["API: the API at 10.77.0.30:6444: no connection within 2 s"],
        ),
        (
            "one holds it and another complains: the next move may fail",
            |view| view.status("node2").vip.complaint = COMPLAINT.to_owned(),
            &["VIP: node2's keepalived: Cant send advert (Operation not permitted)"],
        ),
        (
            "a launch, a failover and restarts move it so often",
            |view| {
                view.status("node1").vip.taken_ms = vec![NOW - 500_000; 3];
                view.status("node2").vip.taken_ms = vec![NOW - 400_000; 3];
            },
            &[],
        ),
        (
            "it moves by itself",
            |view| {
                view.status("node1").vip.taken_ms = vec![NOW - 500_000; 13];
                view.status("node2").vip.taken_ms = vec![NOW - 400_000; 10];
            },
            &[
                "VIP: 10.77.0.30 moved 23 times in ten minutes (node1 13 times and node2 10 times), and each move cuts \
               connections: adverts are lost, or these machines are too busy for an interval of 100 ms; a longer \
               loadBalancer.advertInterval on every control plane stops it (backups follow the interval of whoever holds the VIP)",
            ],
        ),
    ]);
}

#[test]
fn whoever_complains_is_the_one_to_look_at() {
    let finding = only_finding(|view| {
        view.status("node2").vip.here = true;
        view.status("node3").vip.complaint = COMPLAINT.to_owned();
    });
    assert_eq!(finding.next, "ha-host logs demo node3 --unit keepalived");
}

#[test]
fn a_holder_whose_words_are_old_is_no_holder() {
    let finding = only_finding(|view| {
        view.status("node3").vip.here = true;
        view.status("node3").updated_ms = NOW - 180_000;
    });
    assert_eq!(finding.part, Part::Agent("node3".to_owned()));
    let mut view = healthy_view();
    view.status("node3").vip.here = true;
    view.status("node3").updated_ms = NOW - 180_000;
    assert_eq!(view.vip_holders(&demo_cluster()), ["node1"]);
}

#[test]
fn a_service_on_the_vip_is_named_with_a_way_around_it() {
    let finding = only_finding(|view| {
        view.vip = Err("Connection refused".to_owned());
        view.api().write = None;
        view.api().services_on_vip = vec![ServiceName {
            namespace: "default".to_owned(),
            name: "grabber".to_owned(),
        }];
    });
    assert_eq!(
        finding.what,
        "the API at 10.77.0.30:6444: Connection refused; Service default/grabber claims that address, so every node sends what \
         is for the API to it"
    );
    assert_eq!(
        finding.next,
        "kubectl --server https://10.77.0.11:6443 -n default edit service grabber"
    );
}

#[test]
fn the_api_that_does_not_answer_is_asked_past_the_vip() {
    let finding = only_finding(|view| {
        view.vip = Err("Connection refused".to_owned());
    });
    assert_eq!(finding.part, Part::Api);
    assert_eq!(
        finding.next,
        "kubectl --server https://10.77.0.11:6443 get --raw /readyz?verbose"
    );
}

#[test]
fn what_can_be_read_and_not_written_is_not_whole() {
    check_rows(&[(
        "a webhook that does not answer refuses writes",
        |view| {
            view.api().write = Some(Err(
                "HTTP 500: failed calling webhook \"policy\": no endpoints".to_owned(),
            ));
        },
        &[
            "API: it can be read and not written: HTTP 500: failed calling webhook \"policy\": no endpoints",
        ],
    )]);
}

#[test]
fn of_an_outside_balancer_only_its_answer_counts() {
    let mut demo = demo_cluster();
    demo.is_external = true;
    demo.endpoint.name = Some("k8s-api.example.org".to_owned());
    let mut view = healthy_view();
    for name in PLANES {
        view.status(name).vip.here = false;
        view.status(name).backends.clear();
    }
    assert_eq!(cluster_findings(&demo, &view), []);
    view.vip = Err("Connection refused".to_owned());
    view.apiservers
        .insert("node3".to_owned(), Err("Connection refused".to_owned()));
    let told: Vec<(Part, String)> = cluster_findings(&demo, &view)
        .into_iter()
        .map(|finding| (finding.part, finding.what))
        .collect();
    let api = |what: &str| (Part::Api, what.to_owned());
    assert_eq!(
        told[..2],
        [
            api(
                "the API at k8s-api.example.org:6444: Connection refused; the balancer there is not the cluster's, and node1 and \
                 node2 behind it would answer: are they its servers, on port 6443?"
            ),
            api("node3's apiserver: Connection refused"),
        ],
        "{told:?}"
    );
}
