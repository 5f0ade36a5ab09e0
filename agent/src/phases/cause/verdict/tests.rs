use super::*;

const BEGIN: u64 = 1_000_000;

/// `12-13 word` for each run in turn: its first and last second since kubeadm's start.
fn runs_of(of: &[(&str, &[&str])]) -> BTreeMap<String, Vec<Run>> {
    let mut all = BTreeMap::new();
    for (name, texts) in of {
        for (number, text) in (0..).zip(*texts) {
            let (times, word) = text.split_once(' ').unwrap();
            let (first, last) = times.split_once('-').unwrap();
            let ms = |seconds: &str| BEGIN + seconds.parse::<u64>().unwrap() * 1000;
            let run = Run {
                id: format!("{number}.log"),
                number,
                word: word.to_owned(),
                first_ms: ms(first),
                last_ms: ms(last),
                ended: *name == KUBELET,
            };
            remember_run(&mut all, name, run);
        }
    }
    all
}

fn describe_found(of: &[(&str, &[&str])], is_active: bool, now: u64) -> Option<(String, bool)> {
    let found = find_failed_program(&runs_of(of), is_active, None, BEGIN, BEGIN + now * 1000)?;
    let error = found.to_error(Phase::Init);
    Some((error.to_string(), error.is_final))
}

/// Runs by container, whether kubeadm is quiet, seconds, and what is told with whether it is final.
type Case<'a> = (
    &'a [(&'a str, &'a [&'a str])],
    bool,
    u64,
    Option<(&'a str, bool)>,
);

#[test]
fn what_is_told_and_what_is_final() {
    let wrong: [&str; 3] = ["1-1 bad", "2-2 bad", "13-13 bad"];
    let slow: [&str; 4] = [
        "1-22 no etcd",
        "23-44 no etcd",
        "55-76 no etcd",
        "97-118 no etcd",
    ];
    let cases: [Case; 11] = [
        (&[], true, 60, None),
        // The third run has said what its predecessors ended with, and is silent.
        (
            &[("etcd", &wrong)],
            true,
            17,
            Some(("etcd exits at its start, 3 times in 12 s: bad", true)),
        ),
        (
            &[("etcd", &wrong)],
            true,
            14,
            Some(("etcd exits at its start, 2 times in 1 s: bad", false)),
        ),
        // One end may be chance: the second run lives.
        (&[("etcd", &["1-1 bad", "2-9 serving"])], true, 60, None),
        // Each time something else.
        (
            &[("etcd", &["1-1 a", "2-2 b", "13-13 c", "30-30 serving"])],
            true,
            60,
            Some(("etcd exits at its start, 3 times in 12 s: c", false)),
        ),
        // Who waits for another program is not wrong itself, however often.
        (
            &[("kube-apiserver", &slow)],
            true,
            400,
            Some(("kube-apiserver exits, 3 times in 75 s: no etcd", false)),
        ),
        // What others hang on comes first.
        (
            &[("kube-apiserver", &slow), ("etcd", &wrong)],
            true,
            400,
            Some(("etcd exits at its start, 3 times in 12 s: bad", true)),
        ),
        (
            &[(KUBELET, &["1-1 no cri"]), ("etcd", &wrong)],
            false,
            20,
            Some(("kubelet exits at its start: no cri", false)),
        ),
        (
            &[(KUBELET, &["1-1 no cri", "11-11 no cri", "22-22 no cri"])],
            false,
            23,
            Some(("kubelet exits at its start, 3 times in 21 s: no cri", true)),
        ),
        // It runs again.
        (
            &[(KUBELET, &["1-1 no cri", "11-11 no cri", "22-22 no cri"])],
            true,
            60,
            None,
        ),
        (
            &[(
                "kube-scheduler",
                &["1-1 x", "2-2 x", "13-13 x", "30-90 serving"],
            )],
            true,
            91,
            Some((
                "kube-scheduler exits at its start, 3 times in 12 s: x",
                true,
            )),
        ),
    ];
    for (at, (of, is_active, now, expected)) in cases.into_iter().enumerate() {
        let expected = expected.map(|(words, is_final)| (words.to_owned(), is_final));
        assert_eq!(describe_found(of, is_active, now), expected, "case {at}");
    }
}

/// The kubelet starts a program again before a busy agent has looked, and removes the log of its first run.
#[test]
fn without_its_first_run_a_program_is_told_by_how_often_it_ran() {
    let mut all = runs_of(&[("etcd", &["1-1 bad", "2-2 bad", "13-13 bad", "40-40 bad"])]);
    all.get_mut("etcd").unwrap().remove(0);
    let found = find_failed_program(&all, true, None, BEGIN, BEGIN + 60_000).unwrap();
    assert!(found.is_alike);
    assert_eq!(found.beneath.does, "exits at its start, 4 times");
}

/// For programs, beside the words for people.
#[test]
fn the_argument_that_a_program_refuses_is_carried() {
    let word = "invalid argument \"many\" for \"--max-requests-inflight\" flag: parse error";
    let all = runs_of(&[(
        "kube-apiserver",
        &[&format!("1-1 {word}"), &format!("2-2 {word}"), "30-30 ok"],
    )]);
    let found = find_failed_program(&all, true, None, BEGIN, BEGIN + 60_000).unwrap();
    let sent = serde_json::to_value(found.beneath).unwrap();
    let origin = serde_json::json!({"kind": "argument", "name": "max-requests-inflight"});
    assert_eq!(sent["origin"], origin);
    let refused = config_refused("networking.dnsDomain: Invalid value: \"A.B\": lower case");
    let sent = serde_json::to_value(refused.found).unwrap();
    let origin = serde_json::json!({"kind": "field", "path": "networking.dnsDomain"});
    assert_eq!(sent["origin"], origin);
}

#[test]
fn what_ended_before_kubeadm_began_may_be_mended() {
    let all = runs_of(&[("etcd", &["1-1 bad", "2-2 bad", "13-13 bad"])]);
    let found =
        |begin: u64| find_failed_program(&all, true, None, BEGIN + begin * 1000, BEGIN + 60_000);
    assert!(found(13).is_some());
    assert_eq!(found(14), None);
}

#[test]
fn what_etcd_finds_at_a_join_changes_with_the_next_attempt() {
    let all = runs_of(&[("etcd", &["1-1 bad", "2-2 bad", "13-13 bad"])]);
    let found = find_failed_program(&all, true, None, BEGIN, BEGIN + 60_000).unwrap();
    assert!(found.to_error(Phase::Init).is_final);
    assert!(!found.to_error(Phase::Join).is_final);
}

/// The apiserver ends because etcd never began.
#[test]
fn the_kubelets_word_of_a_pod_goes_before_those_that_need_it() {
    let lives: [&str; 3] = ["1-22 no etcd", "23-44 no etcd", "55-76 no etcd"];
    let dying: &[(&str, &[&str])] = &[("kube-apiserver", &lives)];
    let told = |pod: &'static str| {
        let beneath = Beneath {
            part: "kubelet".to_owned(),
            does: format!("cannot start {pod}"),
            word: "no image".to_owned(),
            origin: None,
        };
        let complaint = Some((pod, beneath));
        let found = find_failed_program(&runs_of(dying), true, complaint, BEGIN, BEGIN + 60_000);
        found.unwrap().to_error(Phase::Init).to_string()
    };
    assert_eq!(told("etcd"), "kubelet cannot start etcd: no image");
    let of_apiserver = told("kube-scheduler");
    assert!(
        of_apiserver.starts_with("kube-apiserver exits"),
        "{of_apiserver}"
    );
}
