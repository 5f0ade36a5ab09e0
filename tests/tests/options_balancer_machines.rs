//! Two machines that do nothing but balance, in front of three control planes: what runs where, what a launch and `status` say of
//! them, what clients see of the holder's death, and that a machine which is gone comes back with the next launch.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::kube::all_voters;
use ha_tests::plan::{ClusterPlan, VIP};
use ha_tests::probe::while_power_goes;
use ha_tests::story::Story;
use ha_wire::phase::Role;
use ha_wire::status::PhaseState;
use serde_json::Value;

const MACHINES: [&str; 2] = ["lb1", "lb2"];
/// A look at the whole cluster.
const LOOK: Duration = Duration::from_secs(60);
/// A machine is back, on two cores.
const BACK: Duration = Duration::from_secs(120);
/// haproxy asks servers twice a second, and agents look once a second.
const SETTLE: Duration = Duration::from_secs(20);

fn balancer_machines_plan() -> ClusterPlan {
    let machine =
        |(i, name): (usize, &&str)| format!("{{name: {name}, address: 10.77.0.{}}}", 21 + i);
    let machines: Vec<String> = MACHINES.iter().enumerate().map(machine).collect();
    ClusterPlan {
        more: format!(
            "loadBalancer: {{mode: {{machines: [{}]}}}}\n",
            machines.join(", ")
        ),
        ..ClusterPlan::new("e2e-options-machines", 3, 0)
    }
}

#[test]
#[ignore = "a launch of its own: make test-options"]
fn a_pair_of_machines_balances() {
    let story = Story::new("options_balancer_machines");
    let cluster = story.step(
        "the lab is there",
        || Cluster::new(balancer_machines_plan()),
    );
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    each_runs_what_its_role_needs(&story, &cluster);
    story.step(
        "three Nodes, three voters: the machines are neither",
        || {
            all_voters(&cluster, "node1", &cluster.control_planes())?;
            let nodes = cluster.kube().get(&["nodes"])?;
            let count = nodes["items"].as_array().map_or(0, Vec::len);
            ensure!(count == 3, "{count} Nodes");
            Ok(())
        },
    );
    is_told(&story, &cluster);
    loses_the_holder(&story, &cluster);
    loses_a_control_plane(&story, &cluster);
    is_made_again(&story, &cluster);
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn each_runs_what_its_role_needs(story: &Story, cluster: &Cluster) {
    story.step("control planes do not balance", || {
        for name in cluster.control_planes() {
            cluster.node(&name).sh(
                "! test -e /etc/extensions/haproxy.raw && ! systemctl is-active haproxy keepalived && ! pgrep -x 'haproxy|keepalived'",
            )?;
        }
        Ok(())
    });
    story.step("nothing of Kubernetes is on the machines, and no key", || {
        for name in MACHINES {
            cluster.node(name).sh(
                "systemctl is-active haproxy keepalived && ! test -e /usr/bin/kubelet && ! pgrep -x kubelet \
                 && ! find /etc/ha-agent /etc/kubernetes -name '*.key' | grep .",
            )?;
        }
        Ok(())
    });
    story.step(
        "one of the machines holds the VIP, and is named everywhere",
        || {
            let holder = vip_holder(cluster)?;
            for name in cluster.control_planes() {
                wait_until(&format!("{name} names {holder}"), SETTLE, || {
                    let status = cluster.node(&name).status()?.0;
                    ensure!(status.vip.holder == holder, "{:?}", status.vip);
                    Ok(())
                })?;
            }
            Ok(())
        },
    );
}

/// The machine that has the VIP, and alone has it.
fn vip_holder(cluster: &Cluster) -> Result<String> {
    wait_until("one holder of the VIP", SETTLE, || {
        let mut holders = Vec::new();
        for name in MACHINES {
            if cluster.node(name).holds(VIP.into())? {
                holders.push(name);
            }
        }
        ensure!(holders.len() == 1, "the VIP is on {holders:?}");
        Ok(holders[0].to_owned())
    })
}

fn wait_until_steady(cluster: &Cluster, name: &str) -> Result<()> {
    let what = format!("{name} is steady, and leads to three apiservers");
    wait_until(&what, BACK, || {
        let status = cluster.node(name).status()?.0;
        let up = status.backends.iter().filter(|b| b.state.is_up()).count();
        ensure!(
            status.role == Role::LoadBalancer && status.state == PhaseState::Steady && up == 3,
            "{status:?}"
        );
        Ok(())
    })
}

fn status_finds_nothing(cluster: &Cluster) -> Result<String> {
    wait_until("ha-host status: exit code 0", LOOK, || {
        let done = cluster.ha_host(&["status", cluster.name()], LOOK)?;
        Ok(done.ok()?.stdout)
    })
}

fn is_told(story: &Story, cluster: &Cluster) {
    story.step(
        "status and doctor find nothing, and show who balances",
        || {
            let told = status_finds_nothing(cluster)?;
            let holder = vip_holder(cluster)?;
            for words in ["2 load balancers", &format!("held by {holder}")] {
                ensure!(told.contains(words), "no `{words}` in\n{told}");
            }
            let lines = told.lines().filter(|line| line.contains("load balancer  "));
            ensure!(lines.count() == 2, "{told}");
            cluster.ha_host(&["doctor", cluster.name()], LOOK)?.ok()?;
            cluster
                .ha_host(&["logs", cluster.name(), "lb1"], LOOK)?
                .ok()
        },
    );
    story.step("each machine is steady", || {
        MACHINES
            .iter()
            .try_for_each(|name| wait_until_steady(cluster, name))
    });
}

fn loses_the_holder(story: &Story, cluster: &Cluster) {
    let first = story.step("one machine holds the VIP", || vip_holder(cluster));
    let seen = story.step(&format!("{first} loses power: the API answers"), || {
        while_power_goes(cluster, &first)
    });
    story.note(&format!("the holder loses power: {seen}"));
    story.step("status names the machine that is off", || {
        let args = ["status", cluster.name(), "--json"];
        let told: Value = serde_json::from_str(&cluster.ha_host(&args, LOOK)?.stdout)?;
        let findings = told["findings"].as_array().context("no findings")?;
        let words = format!("{first} does not balance; its machine is off");
        ensure!(findings.iter().any(|f| f["what"] == words), "{findings:?}");
        Ok(())
    });
    story.step("it comes back whole", || {
        cluster.node(&first).power("on")?;
        wait_until_steady(cluster, &first)?;
        status_finds_nothing(cluster)
    });
}

fn loses_a_control_plane(story: &Story, cluster: &Cluster) {
    let seen = story.step("a control plane loses power: the API answers", || {
        while_power_goes(cluster, "node1")
    });
    story.note(&format!("a control plane loses power: {seen}"));
    story.step("it comes back whole", || {
        cluster.node("node1").power("on")?;
        wait_until("every node is Ready", BACK, || cluster.kube().all_ready())?;
        MACHINES
            .iter()
            .try_for_each(|name| wait_until_steady(cluster, name))
    });
}

fn is_made_again(story: &Story, cluster: &Cluster) {
    story.step("a machine whose disk is gone comes back by itself", || {
        let ignition = cluster.ignition_of("lb1");
        cluster.remake("lb1", &ignition)?;
        wait_until_steady(cluster, "lb1")
    });
    story.step(
        "a second launch has nothing to do, and status finds nothing",
        || {
            cluster.launch(&[])?.ok()?;
            status_finds_nothing(cluster)
        },
    );
}
