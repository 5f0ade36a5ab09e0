//! Somebody else's etcd, three members with TLS that this test runs on the operator's machine: nothing is founded over another
//! cluster's objects in it, two control planes live on it, one of its members is away, a control plane is made anew.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_kube::Identity;
use ha_kube::testing::{client_identity, server_certificate, test_authority};
use ha_test_support::real;
use ha_tests::cluster::Cluster;
use ha_tests::eventually::eventually;
use ha_tests::lab::workspace_root;
use ha_tests::plan::ClusterPlan;
use ha_tests::process::{RunningProcess, run_to_end};
use ha_tests::story::Story;

/// This end of the cable to the nodes, as they see it: the gateway. There it is once the launch has made the network.
const HOST: &str = "10.77.0.1";
/// One port each for clients, on every address; peers meet on the loopback address, at the port behind it.
const PORTS: [u16; 3] = [12379, 22379, 32379];
/// A look at the whole cluster.
const LOOK: Duration = Duration::from_secs(60);
/// An agent looks every five to seven seconds, `status` takes one.
const TOLD: Duration = Duration::from_secs(40);
/// A node is back, on two cores.
const BACK: Duration = Duration::from_secs(240);
/// etcd elects, or answers curl.
const SHORT: Duration = Duration::from_secs(20);
/// `/registry/pods/default/theirs` in base64.
const THEIR_KEY: &str = "L3JlZ2lzdHJ5L3BvZHMvZGVmYXVsdC90aGVpcnM=";

/// The three members' files, and what clients need.
struct Files {
    dir: PathBuf,
    etcd: PathBuf,
}

impl Files {
    fn make() -> Result<Self> {
        let dir = workspace_root().join("target/e2e/external-etcd");
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let ca = test_authority("their-etcd");
        let Identity { cert, key } = client_identity(&ca);
        let (server, server_key) = server_certificate(&ca, HOST.parse()?);
        for (name, text) in [
            ("ca.crt", ca.cert()),
            ("client.crt", &cert),
            ("client.key", key.expose()),
            ("server.crt", &server.pem()),
            ("server.key", &server_key.serialize_pem()),
        ] {
            fs::write(dir.join(name), text)?;
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o600))?;
        }
        let etcd = real::of_kubernetes("etcd").context("the lab has no etcd")?;
        Ok(Self { dir, etcd })
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// The cluster of two control planes that names them.
    fn plan(&self) -> ClusterPlan {
        let [a, b, c] = PORTS.map(|port| format!("\"https://{HOST}:{port}\""));
        let [ca, cert, key] = ["ca.crt", "client.crt", "client.key"].map(|name| self.path(name));
        ClusterPlan {
            kubernetes: format!(
                "etcd: {{external: {{endpoints: [{a}, {b}, {c}], caFile: {ca}, certFile: {cert}, keyFile: {key}}}}}"
            ),
            ..ClusterPlan::new("e2e-external-etcd", 2, 0)
        }
    }

    /// One member, on the operator's machine.
    fn start(&self, cluster: &Cluster, index: usize) -> Result<RunningProcess> {
        let peer = |port: u16| format!("http://127.0.0.1:{}", port + 1);
        let all = PORTS.iter().map(|port| format!("m{port}={}", peer(*port)));
        let (port, all) = (PORTS[index], all.collect::<Vec<_>>().join(","));
        let mut member = cluster.operator().command(&self.etcd);
        member
            .args([
                "--name",
                &format!("m{port}"),
                "--data-dir",
                &self.path(&format!("m{port}")),
            ])
            .args(["--listen-client-urls", &format!("https://0.0.0.0:{port}")])
            .args(["--advertise-client-urls", &format!("https://{HOST}:{port}")])
            .args([
                "--listen-peer-urls",
                &peer(port),
                "--initial-advertise-peer-urls",
                &peer(port),
            ])
            .args(["--initial-cluster", &all, "--client-cert-auth"])
            .args(["--trusted-ca-file", &self.path("ca.crt")])
            .args([
                "--cert-file",
                &self.path("server.crt"),
                "--key-file",
                &self.path("server.key"),
            ]);
        RunningProcess::start(member)
    }

    /// What a client on the operator's machine gets of a member; the address is the nodes' once there is a cable.
    fn ask(&self, cluster: &Cluster, path: &str, body: &str) -> Result<String> {
        let mut curl: Command = cluster.operator().command("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--max-time",
            "5",
        ])
        .args([
            "--connect-to",
            &format!("{HOST}::127.0.0.1:"),
            "--data",
            body,
        ])
        .args([
            "--cacert",
            &self.path("ca.crt"),
            "--cert",
            &self.path("client.crt"),
        ])
        .args(["--key", &self.path("client.key")])
        .arg(format!("https://{HOST}:{}{path}", PORTS[0]));
        Ok(run_to_end(curl, SHORT)?.ok()?.stdout)
    }
}

#[test]
#[ignore = "a launch of its own: make test-options"]
fn two_control_planes_live_on_somebody_elses_etcd() {
    let story = Story::new("external_etcd");
    let files = story.step("files of an etcd with TLS", Files::make);
    let cluster = story.step("the lab is there", || Cluster::new(files.plan()));
    let mut members = story.step("three members elect a leader", || {
        let members: Result<Vec<_>> = (0..3).map(|i| files.start(&cluster, i)).collect();
        eventually("etcd takes a key", SHORT, || {
            let theirs = format!(r#"{{"key": "{THEIR_KEY}", "value": "eA=="}}"#);
            files.ask(&cluster, "/v3/kv/put", &theirs)
        })?;
        members
    });
    is_not_founded_over_another(&story, &cluster, &files);
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    no_etcd_is_on_the_nodes(&story, &cluster, &files.dir);
    status_says(&story, &cluster, "external, 3 of 3 endpoints healthy", 0);
    story.step("doctor finds every way open", || {
        cluster.ha_host(&["doctor", cluster.name()], LOOK)?.ok()
    });
    drop(members.pop());
    let sick = format!("2 of 3 endpoints healthy, not https://{HOST}:{}", PORTS[2]);
    status_says(&story, &cluster, &sick, 1);
    story.step("the API takes writes while a member is away", || {
        cluster.kube().ctl(&["create", "namespace", "beside-two"])
    });
    members.push(story.step("the member is back", || files.start(&cluster, 2)));
    status_says(&story, &cluster, "external, 3 of 3 endpoints healthy", 0);
    is_made_anew(&story, &cluster);
    // They are this test's, and `destroy` is looked at for what it leaves.
    drop(members);
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// There is a key of another cluster's: a person has to take it out.
fn is_not_founded_over_another(story: &Story, cluster: &Cluster, files: &Files) {
    story.step(
        "launch names another cluster's key and founds nothing over it",
        || {
            let said = cluster.launch(&[])?.expect_exit_code(1)?;
            let words = said.tail(40);
            ensure!(
                words.contains("holds another cluster's 1 keys below /registry/"),
                "{words}"
            );
            let count = format!(r#"{{"key": "{THEIR_KEY}"}}"#);
            let there = files.ask(cluster, "/v3/kv/range", &count)?;
            ensure!(there.contains(r#""value":"eA==""#), "{there}");
            Ok(())
        },
    );
    story.step("it is taken out, and the agent asked to look again", || {
        let gone = format!(r#"{{"key": "{THEIR_KEY}"}}"#);
        files.ask(cluster, "/v3/kv/deleterange", &gone)?;
        cluster.node("node1").sh("systemctl restart ha-agent")
    });
}

fn no_etcd_is_on_the_nodes(story: &Story, cluster: &Cluster, dir: &Path) {
    story.step("no etcd is on the nodes, and the client's key is root's", || {
        let pods = cluster.kube().system_pods("component=etcd")?;
        ensure!(pods.is_empty(), "{pods:?}");
        for node in cluster.control_planes() {
            let seen = cluster.node(&node).sh(
                "ls -A /var/lib/etcd; ls /etc/kubernetes/manifests; ls /etc/kubernetes/pki; \
                 awk '$4 == \"0A\" {print $2}' /proc/net/tcp /proc/net/tcp6; stat -c '%a %U' /etc/kubernetes/pki/external-etcd/client.key",
            )?;
            let foreign = ["etcd.yaml", ":094B", ":094C", "apiserver-etcd-client", "member"];
            let found = foreign.iter().find(|word| seen.contains(**word));
            ensure!(found.is_none() && seen.contains("600 root"), "{node}: {found:?} in {seen}");
        }
        Ok(())
    });
    story.step("no log and no status holds the key", || {
        let key = fs::read_to_string(dir.join("client.key"))?;
        let line = key.lines().nth(1).context("no key")?.to_owned();
        for node in cluster.control_planes() {
            let logs = cluster
                .node(&node)
                .sh("journalctl --no-pager -o cat; cat /run/ha-agent/*.json*")?;
            ensure!(!logs.contains(&line), "{node}");
        }
        Ok(())
    });
}

fn status_says(story: &Story, cluster: &Cluster, words: &str, code: i32) {
    story.step(&format!("ha-host status says: {words}"), || {
        eventually("its words", TOLD, || {
            let said = cluster
                .ha_host(&["status", cluster.name()], LOOK)?
                .expect_exit_code(code)?;
            ensure!(said.stdout.contains(words), "{}", said.stdout);
            Ok(())
        })
    });
}

fn is_made_anew(story: &Story, cluster: &Cluster) {
    story.step("node2 is made anew and joins again", || {
        cluster.remake("node2", &cluster.ignition_of("node2"))?;
        eventually("every node is Ready", BACK, || cluster.kube().all_ready())?;
        cluster.all_steady(BACK)
    });
    status_says(story, cluster, "external, 3 of 3 endpoints healthy", 0);
}
