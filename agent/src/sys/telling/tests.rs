use super::*;

/// Of kubeadm 1.34.4, as it ended when its control plane did not come up.
const INIT: &str = "\
[control-plane-check] kube-scheduler is healthy after 2.5s

A control plane component may have crashed or exited when started by the container runtime.
To troubleshoot, list all containers using your preferred container runtimes CLI.
Here is one example how you may list all running Kubernetes containers by using crictl:
\t- 'crictl --runtime-endpoint unix:///run/containerd/containerd.sock ps -a | grep kube | grep -v pause'
\tOnce you have found the failing container, you can inspect its logs with:
\t- 'crictl --runtime-endpoint unix:///run/containerd/containerd.sock logs CONTAINERID'

error: error execution phase wait-control-plane: failed while waiting for the control plane to start: kube-apiserver check failed at https://10.82.0.11:6443/livez: context deadline exceeded
To see the stack trace of this error execute with --v=5 or higher
\t- 'crictl --runtime-endpoint unix:///run/containerd/containerd.sock logs CONTAINERID'
";
const ETCD: &str = "\
invalid value \"8G\" for flag -quota-backend-bytes: parse error
Usage:

  etcd [flags]
    Start an etcd server.

  etcd grpc-proxy
    Run the stateless etcd v3 gRPC L7 reverse proxy.

";
const ETCD_JSON: &str = r#"{"level":"fatal","ts":"2026-11-26T07:41:59.313741Z","caller":"etcdmain/etcd.go:183","msg":"discovery failed","error":"cannot access data directory: mkdir /proc/nope: no such file or directory","stacktrace":"go.etcd.io\n\tx"}
{"level":"info","ts":"2026-11-26T07:41:59.312254Z","caller":"embed/etcd.go:428","msg":"closed etcd server","name":"default"}"#;
const APISERVER: &str = r#"I1126 07:41:02.360728   30882 options.go:263] external host was not specified, using 192.0.2.2
E1126 07:41:02.361514   30882 run.go:72] "command failed" err="service-account-issuer is a required flag"
W1126 07:41:02.361600   30882 authentication.go:815] AnonymousAuth is not allowed"#;
const SCHEDULER: &str = "Usage:\n  kube-scheduler [flags]\n\nMisc flags:\n\n      --version   prints version\n\nError: unknown flag: --no-such-flag\n";
const KUBELET: &str = r#"I1126 07:41:59.241782    1694 watchdog_linux.go:137] "Systemd watchdog is not enabled"
E1126 07:41:58.580583    1676 run.go:72] "command failed" err="failed to load kubelet config file, path: kl.yaml, error: \"kl.yaml\": json: cannot unmarshal string""#;
const PREFLIGHT: &str = "[preflight] Some fatal errors occurred:
\t[ERROR CRI]: could not connect to the container runtime
[preflight] If you know what you are doing, you can make a check non-fatal
error: error execution phase preflight: preflight checks failed
To see the stack trace of this error execute with --v=5 or higher";
/// Of podman 5.4.2, which tries every form that an archive may have.
const PODMAN: &str = "\
Error: payload does not match any of the supported image formats:
 * oci: open /run/cut.tar/index.json: not a directory
 * docker-archive: loading tar component \"manifest.json\": unexpected EOF
";

#[test]
fn the_line_that_says_why_is_found_in_what_real_programs_print() {
    let cases = [
        (
            INIT,
            "error execution phase wait-control-plane: failed while waiting for the control plane to start: kube-apiserver check failed at https://10.82.0.11:6443/livez: context deadline exceeded",
        ),
        (
            ETCD,
            "invalid value \"8G\" for flag -quota-backend-bytes: parse error",
        ),
        (
            ETCD_JSON,
            "discovery failed: cannot access data directory: mkdir /proc/nope: no such file or directory",
        ),
        (APISERVER, "service-account-issuer is a required flag"),
        (SCHEDULER, "unknown flag: --no-such-flag"),
        (
            KUBELET,
            "failed to load kubelet config file, path: kl.yaml, error: \"kl.yaml\": json: cannot unmarshal string",
        ),
        (
            PREFLIGHT,
            "[ERROR CRI]: could not connect to the container runtime",
        ),
        (
            PODMAN,
            "payload does not match any of the supported image formats: oci: open /run/cut.tar/index.json: not a directory; \
             docker-archive: loading tar component \"manifest.json\": unexpected EOF",
        ),
        ("one\ntwo\n", "two"),
        ("\tonly this\n", "only this"),
    ];
    for (text, expected) in cases {
        let lines: Vec<&str> = text.lines().collect();
        let line = telling_line(&lines).unwrap();
        assert_eq!(bare_words(&line), expected);
    }
    assert_eq!(telling_line(&["", "  "]), None);
}
