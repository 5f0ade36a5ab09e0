use super::*;

const QUOTA: &str = include_str!("../../../../tests/captured/etcd-quota.log");

/// Words of real programs of Kubernetes 1.34.4 with a fault in their arguments.
const CAPTURED: [(&str, &str, &str); 5] = [
    (
        "etcd",
        QUOTA,
        r#"invalid value "8G" for flag -quota-backend-bytes: parse error"#,
    ),
    (
        "etcd",
        include_str!("../../../../tests/captured/etcd-data-dir.log"),
        "discovery failed: cannot access data directory: mkdir /proc/nope: no such file or directory",
    ),
    (
        "kube-apiserver",
        include_str!("../../../../tests/captured/kube-apiserver-flag.log"),
        "unknown flag: --no-such-flag",
    ),
    (
        "kube-apiserver",
        include_str!("../../../../tests/captured/kube-apiserver-issuer.log"),
        "[service-account-issuer is a required flag, either `--service-account-key-file` or \
         `--service-account-signing-endpoint` must be set, --service-account-signing-key-file and --service-account-issuer \
         are required flags]",
    ),
    (
        "kube-scheduler",
        include_str!("../../../../tests/captured/kube-scheduler-flag.log"),
        "unknown flag: --no-such-flag",
    ),
];

fn write_pod_log(files: &Files, path: &str, text: &str) {
    files.write(path, 0o640, text.as_bytes()).unwrap();
}

#[test]
fn the_word_of_each_real_program_is_found_in_its_log() {
    for (name, text, word) in CAPTURED {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(root.path());
        let dir = format!("{PODS}/kube-system_{name}-node2_0123abcd/{name}");
        write_pod_log(&files, &format!("{dir}/7.log"), text);
        let runs = read_runs(&files, "node2").unwrap();
        let [(of, run)] = &runs[..] else {
            panic!("{runs:?}")
        };
        assert_eq!((*of, run.number, run.word.as_str()), (name, 7, word));
    }
}

#[test]
fn only_the_nodes_own_static_pods_are_read_and_nothing_odd_ends_it() {
    let root = tempfile::tempdir().unwrap();
    let files = Files::new(root.path());
    assert_eq!(read_runs(&files, "node2").unwrap(), [], "no directory yet");
    for path in [
        "kube-system_etcd-node22_1/etcd/0.log",
        "default_etcd-node2_1/etcd/0.log",
        "kube-system_etcd-node2_1/etcd/0.log.20261126-074102",
        "kube-system_etcd-node2_1/init/0.log",
    ] {
        write_pod_log(&files, &format!("{PODS}/{path}"), QUOTA);
    }
    for (number, text) in ["", "no time\n", "2026-11-26T07:41:02Z stderr F\n"]
        .iter()
        .enumerate()
    {
        write_pod_log(
            &files,
            &format!("{PODS}/kube-system_etcd-node2_1/etcd/{number}.log"),
            text,
        );
    }
    assert_eq!(read_runs(&files, "node2").unwrap(), []);
}
