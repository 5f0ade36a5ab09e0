//! Every way to end a launch, in each form.

use std::time::Duration;

use ha_providers::{Finding, Unfit};
use ha_test_support::demo_cluster;
use ha_wire::phase::{Phase, Role};
use serde_json::{Value, json};

use super::{VERSION, bar_report, json_report, line_report, tell_failing_launch, without_times};
use crate::launch::node_progress::NodeProgress;
use crate::launch::report::{
    BootEnd, End, FailureCause, Failures, LaunchEvent, NodeFailure, PhaseTimings, Report, Summary,
    Unfinished, UnfinishedNode,
};

pub fn demo_summary() -> Summary {
    let seconds = Duration::from_secs;
    Summary {
        cluster: "demo".to_owned(),
        nodes: 5,
        first_node: "node1".to_owned(),
        control_planes: 3,
        members: 3,
        vip_holder: Some("node3".to_owned()),
        dns: Some((2, 2)),
        took: seconds(44),
        kubeconfig: "/state/demo/kubeconfig".into(),
        timings: PhaseTimings(vec![("boot", seconds(5)), ("init", seconds(10))]),
    }
}

pub fn failed_end() -> End {
    let failing = Duration::from_secs(96);
    let cause = FailureCause::PhaseFailed {
        phase: Phase::Join,
        attempts: 5,
        failing,
    };
    let nodes = vec![
        NodeFailure {
            node: "node2".to_owned(),
            role: Role::ControlPlane,
            cause,
            output: vec!["dial tcp: i/o timeout".to_owned()],
            beneath: None,
        },
        NodeFailure {
            node: "node4".to_owned(),
            role: Role::Worker,
            cause: FailureCause::NeverBooted(BootEnd::KernelPanic),
            output: vec!["VFS: no root".to_owned()],
            beneath: None,
        },
    ];
    End::Failed(Failures {
        cluster: "demo".to_owned(),
        file: "demo.yaml".into(),
        nodes,
        others_ready: 1,
        others: 3,
    })
}

fn timed_out(stopped_at: Option<&'static str>) -> End {
    let node = &demo_cluster().nodes[4];
    let late = UnfinishedNode {
        progress: NodeProgress::new(node, std::time::Instant::now()),
        journal: "ha-agent.service: Failed".to_owned(),
    };
    let nodes = stopped_at.is_none().then_some(late);
    End::TimedOut(Unfinished {
        took: Duration::from_secs(900),
        missing: nodes
            .iter()
            .map(|_| "the API at 10.77.0.30:6444: refused".to_owned())
            .collect(),
        nodes: nodes.into_iter().collect(),
        stopped_at,
        file: "demo.yaml".into(),
    })
}

/// Every way to end: what people read, what programs read.
fn every_end() -> Vec<(End, &'static str, Vec<Value>)> {
    let summary_object = |kind: &str| {
        json!({
            "version": 2, "type": kind, "cluster": "demo", "seconds": 44.0, "nodes": 5, "etcdMembers": 3,
            "vipHolder": "node3", "kubeconfig": "/state/demo/kubeconfig", "spent": {"boot": 5.0, "init": 10.0},
        })
    };
    let unfit: Finding = Unfit::new("3 GiB free", "free some memory").into();
    vec![
        (
            End::Ready(demo_summary()),
            "demo is ready in N s: 5 of 5 nodes, 3 of 3 etcd members, VIP on node3\n\n\
             kubectl --kubeconfig /state/demo/kubeconfig get nodes\n\
             ha-host status demo      ha-host logs demo node1 -f      ha-host destroy demo\n\
             where the time went: boot 5, init 10\n",
            vec![summary_object("ready")],
        ),
        (
            End::AlreadyReady(demo_summary()),
            "demo is ready already: nothing changed\n\n\
             kubectl --kubeconfig /state/demo/kubeconfig get nodes\n\
             ha-host status demo      ha-host logs demo node1 -f      ha-host destroy demo\n",
            vec![summary_object("already-ready")],
        ),
        (
            End::HostUnfit(vec![unfit]),
            "! error: this machine is not fit for it: 1 problem; nothing was made\n\
             !   3 GiB free\n\
             !            = free some memory\n",
            vec![json!({
                "version": 2, "type": "unfit",
                "problems": [{"message": "3 GiB free", "remedy": "free some memory"}],
            })],
        ),
        (
            failed_end(),
            "! error: node2 (control plane): join failed 5 times in N s\n\
             !   dial tcp: i/o timeout\n\
             !   look     ha-host logs demo node2 --unit ha-agent\n\
             ! error: node4 (worker): its kernel panicked\n\
             !   VFS: no root\n\
             !   look     ha-host logs demo node4\n\
             !   others   1 of the 3 other nodes are Ready\n\
             !   go on    mend what the console says, then  ha-host power demo NODE off  and  ha-host launch demo.yaml  again: it \
             boots node4 again\n\
             !   go on    mend it and run  ha-host launch demo.yaml  again: it continues with node2\n",
            vec![
                json!({
                    "version": 2, "type": "failed", "node": "node2", "phase": "join",
                    "what": "join failed 5 times in 96 s", "words": ["dial tcp: i/o timeout"],
                    "others": "1 of the 3 other nodes are Ready",
                    "look": "ha-host logs demo node2 --unit ha-agent", "again": null,
                }),
                json!({
                    "version": 2, "type": "failed", "node": "node4", "phase": null, "what": "its kernel panicked",
                    "words": ["VFS: no root"], "others": "1 of the 3 other nodes are Ready",
                    "look": "ha-host logs demo node4",
                    "again": "mend what the console says, then  ha-host power demo NODE off  and  ha-host launch \
                              demo.yaml  again: it boots node4 again",
                }),
            ],
        ),
        (
            timed_out(None),
            "! error: not ready after 15 min N s\n\
             !   node5 is in waiting for N s: ha-agent.service: Failed\n\
             !   the API at 10.77.0.30:6444: refused\n\
             !   go on    it works on by itself; run  ha-host launch demo.yaml  again to wait on\n",
            vec![json!({
                "version": 2, "type": "timed-out", "seconds": 900.0, "stoppedAt": null,
                "missing": [
                    "node5 is in waiting for N s: ha-agent.service: Failed",
                    "the API at 10.77.0.30:6444: refused",
                ],
            })],
        ),
        (
            timed_out(Some("preflight")),
            "! error: not ready after 15 min N s\n\
             !   the time was up in: preflight\n\
             !   go on    run  ha-host launch demo.yaml  again, with a longer --timeout: it goes on from there\n",
            vec![json!({
                "version": 2, "type": "timed-out", "seconds": 900.0, "stoppedAt": "preflight", "missing": [],
            })],
        ),
        (
            End::Interrupted("demo.yaml".into()),
            "! error: interrupted: everything is left as it is\n\
             !   go on    run  ha-host launch demo.yaml  again\n",
            vec![json!({"version": 2, "type": "interrupted"})],
        ),
    ]
}

#[test]
fn every_end_is_said_in_a_pipe_and_good_news_alone_on_standard_output() {
    for (end, text, _) in every_end() {
        let (mut report, pipe) = line_report();
        report.tell(&LaunchEvent::Ended(&end));
        assert_eq!(without_times(&pipe.text()), text);
        let good = matches!(end, End::Ready(_) | End::AlreadyReady(_));
        assert!(
            pipe.text()
                .lines()
                .all(|line| line.starts_with("! ") != good)
        );
    }
}

#[test]
fn every_end_is_said_on_a_terminal_below_the_nodes() {
    for (end, text, _) in every_end() {
        let (mut report, screen) = bar_report();
        tell_failing_launch(&mut report);
        let before = screen.text();
        report.tell(&LaunchEvent::Ended(&end));
        let text = text.replace("! ", "");
        let after = without_times(&screen.text());
        let text: Vec<&str> = text.lines().map(str::trim_start).collect();
        let expected = format!("{}{}\n", without_times(&before), text.join("\n"));
        assert_eq!(after, expected);
    }
}

#[test]
fn every_end_is_an_object_for_programs() {
    for (end, _, expected) in every_end() {
        let (mut report, pipe) = json_report();
        report.tell(&LaunchEvent::Ended(&end));
        let mut objects = pipe.objects(VERSION);
        let missing = objects.iter_mut().filter_map(|o| o.get_mut("missing"));
        for line in missing.filter_map(Value::as_array_mut).flatten() {
            *line = without_times(line.as_str().unwrap()).trim_end().into();
        }
        assert_eq!(objects, expected);
    }
}
