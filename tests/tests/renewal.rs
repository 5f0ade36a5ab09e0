//! Certificates that live ten minutes, for half an hour: the agents renew them in time, and nobody who asks the API notices.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::plan::ClusterPlan;
use ha_tests::probe::Probe;
use ha_tests::story::{Story, print_uncaptured};

/// kubeadm's own key for it, as a user writes it.
const TEN_MINUTES: &str = "certificateValidityPeriod: 10m";
/// Three lives of a certificate, unless `HA_RENEWAL_MINUTES` says otherwise.
const WATCHED_MINUTES: u64 = 30;
/// Between two looks at every end.
const LOOK: Duration = Duration::from_secs(30);
/// From a launch's end to all agents steady, and from a restart to a pod that is scheduled: a leader is missed for 15 s.
const SETTLE: Duration = Duration::from_secs(180);
/// What kubeadm makes on a control plane; the administrator's second kubeconfig is only where the cluster was founded.
const RENEWED: [&str; 10] = [
    "admin.conf",
    "apiserver",
    "apiserver-etcd-client",
    "apiserver-kubelet-client",
    "controller-manager.conf",
    "etcd-healthcheck-client",
    "etcd-peer",
    "etcd-server",
    "front-proxy-client",
    "scheduler.conf",
];

#[test]
#[ignore = "half an hour: make test-renewal"]
fn certificates_of_ten_minutes_serve_for_half_an_hour() {
    let story = Story::new("renewal");
    let cluster = story.step("the lab is there", || {
        let mut plan = ClusterPlan::new("e2e-renewal", 3, 1);
        plan.kubeadm = TEN_MINUTES.into();
        Cluster::new(plan)
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    let begun_ms = now_ms(&cluster).expect("a node's clock");
    story.step("every agent is steady", || cluster.all_steady(SETTLE));
    let probe = story.step("somebody asks through the VIP all the time", || {
        Probe::of_apiserver(&cluster.client()?, cluster.endpoint())
    });
    story.step("nothing ends, and writes go on", || {
        watch_certificates(&cluster, begun_ms)
    });
    let seen = story.step("the probe ends", || probe.stop());
    story.note(&format!("through the VIP: {seen}"));
    story.step("no request failed", || {
        ensure!(seen.tries > 10_000, "only {} requests", seen.tries);
        ensure!(seen.failed == 0, "{seen}");
        Ok(())
    });
    story.step("every certificate is young", || {
        every_certificate_is_young(&cluster)
    });
    story.step("every apiserver answers with a renewed certificate", || {
        for server in cluster.apiservers() {
            cluster.client()?.ready(server)?;
        }
        Ok(())
    });
    story.step(
        "a pod is scheduled and can be reached through its kubelet",
        || scheduled_and_reached(&cluster),
    );
    story.step("the administrator's kubeconfig of each node works", || {
        cluster.control_planes().iter().try_for_each(|name| {
            let node = cluster.node(name);
            node.sh(&format!(
                "{} get --raw /readyz",
                ha_tests::node::ADMIN_KUBECTL
            ))
            .map(drop)
        })
    });
    story.step("every agent is steady still", || cluster.all_steady(SETTLE));
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn now_ms(cluster: &Cluster) -> Result<u64> {
    Ok(cluster.node("node1").sh("date +%s%3N")?.trim().parse()?)
}

/// Until the time is over: no certificate on any node has ended, and a write goes through.
fn watch_certificates(cluster: &Cluster, begun_ms: u64) -> Result<()> {
    let begun = Instant::now();
    let mut round = 0;
    let minutes = std::env::var("HA_RENEWAL_MINUTES");
    let minutes = minutes.map_or(Ok(WATCHED_MINUTES), |m| m.parse())?;
    while begun.elapsed() < Duration::from_secs(60 * minutes) {
        round += 1;
        for name in cluster.control_planes() {
            let (status, _) = cluster.node(&name).status()?;
            let now = now_ms(cluster)?;
            let first = status
                .certificates
                .first()
                .with_context(|| format!("{name} tells no ends"))?;
            ensure!(
                first.at_ms > now,
                "{name}: {} has ended: {:?}",
                first.name,
                status.renewal
            );
            ensure!(!status.renewal.failed, "{name}: {}", status.renewal.words);
            if round % 4 == 1 {
                print_uncaptured(&format!(
                    "       {} s: {name}: {} ends in {} s {}",
                    (now - begun_ms) / 1000,
                    first.name,
                    (first.at_ms - now) / 1000,
                    status.renewal.words
                ));
            }
        }
        let map = format!("round-{round}");
        cluster.kube().ctl(&["create", "configmap", &map])?;
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn every_certificate_is_young(cluster: &Cluster) -> Result<()> {
    for name in cluster.control_planes() {
        let (status, _) = cluster.node(&name).status()?;
        let now = now_ms(cluster)?;
        for certificate in RENEWED {
            let end = status.certificates.iter().find(|c| c.name == certificate);
            let end = end.with_context(|| format!("{name} has no {certificate}"))?;
            ensure!(end.at_ms > now, "{name}: {certificate} has ended");
            ensure!(
                end.at_ms <= now + 10 * 60_000,
                "{name}: {certificate} lives for longer than was said"
            );
        }
    }
    Ok(())
}

fn scheduled_and_reached(cluster: &Cluster) -> Result<()> {
    let kube = cluster.kube();
    let of_net = kube.get(&["daemonsets", "-n", "kube-system"])?;
    let image = of_net["items"]
        .as_array()
        .into_iter()
        .flatten()
        .find_map(|set| {
            let image = set["spec"]["template"]["spec"]["containers"][0]["image"].as_str()?;
            image.contains("net").then(|| format!("--image={image}"))
        });
    let image = image.context("no image of the lab")?;
    kube.ctl(&[
        "create",
        "deployment",
        "young",
        &image,
        "--",
        "/usr/local/bin/busybox",
        "sleep",
        "3600",
    ])?;
    wait_until("a deployment's pod is Ready", SETTLE, || {
        let seen = kube.get(&["deployment", "young"])?;
        ensure!(seen["status"]["readyReplicas"] == 1, "{}", seen["status"]);
        Ok(())
    })?;
    // exec goes from an apiserver to a kubelet, under the certificate that is for it.
    kube.ctl(&[
        "exec",
        "deployment/young",
        "--",
        "/usr/local/bin/busybox",
        "true",
    ])
    .map(drop)
}
