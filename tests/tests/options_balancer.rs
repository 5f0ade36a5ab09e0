//! What the cluster file says of the balancer, looked at on three control planes: the API at port 6443 of the VIP, the statistics
//! page's login, an extra port that the nodes listen on themselves, time-outs, VRRP by multicast under a router id of the user's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::health::nothing_is_wrong;
use ha_tests::lab::workspace_root;
use ha_tests::plan::{ClusterPlan, VIP};
use ha_tests::probe::while_its_holder_is_away;
use ha_tests::process::run_to_end;
use ha_tests::story::Story;

/// What systemd, haproxy and a shell would each take for more than letters.
const PASSWORD: &str = r#"p"a$s\ '#1"#;
/// A look at the whole cluster.
const LOOK: Duration = Duration::from_secs(60);
/// haproxy asks servers twice a second.
const UP: Duration = Duration::from_secs(15);
/// A node is back, on two cores.
const BACK: Duration = Duration::from_secs(180);

fn balancer_with_stats_plan() -> Result<ClusterPlan> {
    let file = workspace_root().join("target/e2e/stats-password");
    fs::create_dir_all(file.with_file_name(""))?;
    fs::write(&file, format!("{PASSWORD}\n"))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    let stats = format!(
        "{{port: 9000, address: 0.0.0.0, user: ops, passwordFile: {}}}",
        file.display()
    );
    let extra = "{name: konnectivity, port: 8132, target: 8132, check: {http: {path: /}}, balance: roundrobin}";
    Ok(ClusterPlan {
        more: format!(
            "loadBalancer: {{stats: {stats}, extraPorts: [{extra}], timeouts: {{client: 24h, server: 24h, tunnel: 24h}}, \
             vrrp: multicast, routerId: 51}}\n"
        ),
        port: 6443,
        apiserver_port: 6444,
        ..ClusterPlan::new("e2e-options-balancer", 3, 0)
    })
}

#[test]
#[ignore = "a launch of its own: make test-options"]
fn every_option_of_the_balancer_has_its_effect() {
    let story = Story::new("options_balancer");
    let cluster = story.step("the lab is there", || {
        Cluster::new(balancer_with_stats_plan()?)
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    apiservers_listen_where_the_file_says(&story, &cluster);
    the_page_has_a_login(&story, &cluster);
    nodes_listen_on_the_same_port(&story, &cluster);
    one_holds_the_vip(&story, &cluster);
    nothing_is_wrong(&story, &cluster, LOOK);
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// kubeadm's own files and the API's service name the apiservers' port, kubeconfigs the VIP's.
fn apiservers_listen_where_the_file_says(story: &Story, cluster: &Cluster) {
    story.step(
        "apiservers listen on 6444, clients go to 6443 of the VIP",
        || {
            let server = "jsonpath={.clusters[0].cluster.server}";
            let server = cluster.kube().ctl(&["config", "view", "-o", server])?;
            ensure!(server == format!("https://{VIP}:6443"), "{server}");
            let ask = ["endpointslice", "kubernetes", "-n", "default"];
            let slice = cluster.kube().get(&ask)?;
            let port = &slice["ports"][0]["port"];
            let servers = slice["endpoints"].as_array().map(Vec::len);
            ensure!(port == 6444 && servers == Some(3), "{slice}");
            Ok(())
        },
    );
}

/// What the operator's curl gets at a port of the VIP: status, or text.
fn curl_vip(cluster: &Cluster, port: u16, more: &[&str]) -> Result<String> {
    let mut curl = cluster.operator().command("curl");
    curl.args(["--silent", "--show-error", "--max-time", "3"])
        .args(more);
    curl.arg(format!("http://{VIP}:{port}/"));
    Ok(run_to_end(curl, LOOK)?.ok()?.stdout.trim().to_owned())
}

fn the_page_has_a_login(story: &Story, cluster: &Cluster) {
    story.step(
        "the page answers to who has the password, and to nobody else",
        || {
            let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
            let with =
                |user: &str| curl_vip(cluster, 9000, &[&status[..], &["--user", user]].concat());
            let seen = [
                curl_vip(cluster, 9000, &status)?,
                with("ops:wrong")?,
                with(&format!("ops:{PASSWORD}"))?,
            ];
            ensure!(seen == ["401", "401", "200"], "{seen:?}");
            Ok(())
        },
    );
    story.step("the password is root's alone on a node", || {
        let seen = cluster.node("node1").sh(
            "stat -c '%a %U' /etc/ha-agent/haproxy.env; grep -cF 'p\"a$s' /etc/haproxy/haproxy.cfg /etc/ha-agent/node.json; true",
        )?;
        ensure!(
            seen.starts_with("600 root") && seen.matches(":0").count() == 2,
            "{seen}"
        );
        Ok(())
    });
    story.step("haproxy has the time-outs of the file", || {
        let seen = cluster
            .node("node1")
            .sh("grep -c 'timeout .* 24h' /etc/haproxy/haproxy.cfg")?;
        ensure!(seen.trim() == "3", "{seen}");
        Ok(())
    });
}

fn nodes_listen_on_the_same_port(story: &Story, cluster: &Cluster) {
    story.step("each node listens on 8132 of its own address", || {
        for (name, _, address) in cluster.plan().nodes() {
            cluster.node(&name).sh(&format!(
                "mkdir -p /run/page && uname -n > /run/page/index.html && systemd-run --quiet --unit=page busybox httpd -f -p {address}:8132 -h /run/page"
            ))?;
        }
        Ok(())
    });
    story.step("all of them answer at 8132 of the VIP", || {
        wait_until("three names in turn", UP, || {
            let said: Result<Vec<_>> = (0..6).map(|_| curl_vip(cluster, 8132, &[])).collect();
            let mut said = said?;
            said.sort();
            said.dedup();
            ensure!(said == ["node1", "node2", "node3"], "{said:?}");
            Ok(())
        })
    });
}

fn one_holds_the_vip(story: &Story, cluster: &Cluster) {
    while_its_holder_is_away(story, cluster, BACK);
    story.step("one node holds the VIP", || cluster.vip_holder());
}
