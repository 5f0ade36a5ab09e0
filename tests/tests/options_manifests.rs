//! `cni: {manifests: [{url, sha256}]}`: the pod network's manifest is fetched on the operator's machine, and once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::lab::Lab;
use ha_tests::plan::ClusterPlan;
use ha_tests::process::{RunningProcess, run_to_end};
use ha_tests::story::Story;

/// What takes a moment.
const SHORT: Duration = Duration::from_secs(30);
/// Of the operator's machine alone: no node reaches it.
const SERVER: &str = "127.0.0.1";
const PORT: u16 = 18081;

/// What ha-host keeps of it for all clusters of this user, removed at the end.
struct Kept(PathBuf);

impl Drop for Kept {
    fn drop(&mut self) {
        // Nothing was fetched where the test ended before.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
#[ignore = "a further launch (half a minute): make test-options"]
fn a_manifest_with_its_hash_is_fetched_once_and_comes_along() {
    let story = Story::new("options_manifests");
    let web = tempfile::tempdir().unwrap();
    let hash = write_manifest(&web.path().join("net.yaml")).unwrap();
    let home = PathBuf::from(std::env::var_os("HOME").unwrap());
    let kept = Kept(home.join(".local/share/ha-host/manifests").join(&hash));
    let url = format!("http://{SERVER}:{PORT}/net.yaml");
    let plan = ClusterPlan {
        network: Some(format!(
            "proxy: nftables, cni: {{manifests: [{{url: '{url}', sha256: {hash}}}]}}"
        )),
        node_keys: [("node1", "taints: []".into())].into(),
        ..ClusterPlan::new("e2e-manifests", 1, 0)
    };
    let cluster = story.step("the lab is there", || Cluster::new(plan));
    let server = story.step("a web server", || serve_manifests(&cluster, web.path()));
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.step("the founder has it as a file, and asked nobody", || {
        let file = cluster
            .node("node1")
            .read("/etc/ha-agent/manifests.d/00-net.yaml")?;
        let asked = server.so_far();
        ensure!(
            fs::read_to_string(web.path().join("net.yaml"))? == file,
            "{file}"
        );
        ensure!(asked.matches("GET /net.yaml").count() == 1, "{asked}");
        Ok(())
    });
    drop(server);
    story.step("without the server the next launch says ready", || {
        let done = cluster.launch(&[])?.ok()?;
        ensure!(done.stdout.contains("ready"), "{}", done.stdout);
        ensure!(kept.0.join("net.yaml").is_file(), "{}", kept.0.display());
        Ok(())
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// The lab's pod network, of this very run: an earlier one's may be kept. Its hash.
fn write_manifest(file: &Path) -> Result<String> {
    let run = SystemTime::UNIX_EPOCH.elapsed()?.as_nanos();
    let text = fs::read_to_string(Lab::default().network())? + &format!("# {run}\n");
    fs::write(file, text)?;
    let mut sum = std::process::Command::new("sha256sum");
    sum.arg(file);
    let said = run_to_end(sum, SHORT)?.ok()?.stdout;
    Ok(said.split(' ').next().context("no hash")?.to_owned())
}

/// On the operator's machine.
fn serve_manifests(cluster: &Cluster, dir: &Path) -> Result<RunningProcess> {
    let mut python = cluster.operator().command("python3");
    python.args(["-u", "-m", "http.server", "--bind", SERVER, "--directory"]);
    python.arg(dir).arg(PORT.to_string());
    let server = RunningProcess::start(python).context("python3")?;
    wait_until("it listens", SHORT, || {
        ensure!(server.so_far().contains("Serving"), "{}", server.so_far());
        Ok(())
    })?;
    Ok(server)
}
