//! `registries`: a pod of an image that only a mirror has, which is below a path and asks who pulls.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::lab::Lab;
use ha_tests::plan::ClusterPlan;
use ha_tests::process::RunningProcess;
use ha_tests::registry;
use ha_tests::story::Story;

/// A pod gets its node, its image and runs.
const RUNS: Duration = Duration::from_secs(60);
/// The nodes' router, which is the operator's machine.
const ROUTER: &str = "10.77.0.1";
const PORT: u16 = 5000;
const PASSWORD: &str = "hush-hush";
/// Nobody answers by this name: the mirror has it or nobody.
const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: pulled}
spec:
  containers: [{name: a, image: 'registry.example.test/lab/tiny:1', imagePullPolicy: Always}]
";

#[test]
#[ignore = "a further launch (half a minute): make test-options"]
fn an_image_comes_from_a_mirror_that_asks_who_pulls() {
    let story = Story::new("options_registries");
    let secrets = tempfile::tempdir().unwrap();
    let password = secrets.path().join("password");
    fs::write(&password, PASSWORD).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let registries = format!(
        "registries: [{{host: registry.example.test, mirrors: ['http://{ROUTER}:{PORT}/cache/lab'], \
         auth: {{user: robot, passwordFile: {}}}}}]\n",
        password.display()
    );
    let plan = ClusterPlan {
        node_keys: [("node1", "taints: []".into())].into(),
        more: registries,
        ..ClusterPlan::new("e2e-registries", 1, 0)
    };
    let cluster = story.step("the lab is there", || Cluster::new(plan));
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step(
        "containerd has its own settings, and the mirrors' directory",
        || {
            let config = cluster.node("node1").read("/run/ha-host-containerd.toml")?;
            let dir = config.contains("config_path = '/etc/containerd/certs.d'");
            ensure!(dir && config.contains("registry.k8s.io/pause:"), "{config}");
            Ok(())
        },
    );
    let registry = story.step("a registry that asks who pulls", || {
        serve_image(&cluster, &password)
    });
    story.step("a pod of an image that only the mirror has", || {
        let file = cluster.dir().join("pulled.yaml");
        fs::write(&file, POD)?;
        cluster
            .kube()
            .ctl(&["apply", "-f", &file.display().to_string()])?;
        wait_until("it runs", RUNS, || {
            let phase = cluster.kube().get(&["pod", "pulled"])?["status"]["phase"].clone();
            ensure!(phase == "Running", "{phase}: {}", registry.so_far());
            Ok(())
        })
    });
    story.step("the mirror was asked below its path", || {
        let said = registry.so_far();
        let asked =
            said.contains("200 /v2/cache/lab/lab/tiny/manifests/1?ns=registry.example.test");
        ensure!(asked, "{said}");
        Ok(())
    });
    story.step("the password is in one file of root's, and in no journal", || {
        let look = format!("stat -L -c %a /var/lib/kubelet/config.json; ! journalctl --no-pager | grep -F -e {PASSWORD} -e $(printf robot:{PASSWORD} | base64)");
        let mode = cluster.node("node1").sh(&look)?;
        ensure!(mode.trim() == "600", "{mode}");
        Ok(())
    });
    drop(registry);
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// On the operator's machine.
fn serve_image(cluster: &Cluster, password: &Path) -> Result<RunningProcess> {
    let image = Lab::default().part("images/pause.tar");
    let names = ["cache/lab/lab/tiny", "robot"].map(Path::new);
    registry::serve_images(cluster, PORT, [&image, names[0], names[1], password])
}
