//! `provider: none` with a machine that boots from the network: the real iPXE runs what `ha-host serve` gives it, the real Ignition
//! fetches by the machine's MAC, and its agent is heard by the launch. No ha-host has made this machine.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::eventually::wait_until;
use ha_tests::lab::Lab;
use ha_tests::network_boot::{HOST, MAC, NetworkMachine, write_flatcar};
use ha_tests::others::{Others, told_phase};
use ha_tests::plan::MachineKind;
use ha_tests::process::{last_lines, run_to_end};
use ha_tests::scenario;
use ha_tests::story::Story;

/// Where the server listens on the operator's machine.
const LISTEN: &str = "127.0.0.1:8080";
/// What takes a moment.
const SHORT: Duration = Duration::from_secs(30);
/// iPXE, what it boots and what that installs, one after the other under an emulator; whatever runs beside it ends by then.
const BOOT: Duration = Duration::from_secs(400);

#[test]
fn a_machine_boots_from_the_network() {
    let story = Story::new("network-boot");
    let cluster = story.step("the lab is there", || {
        let mut plan = scenario::balancer_plan("e2e-network-boot", MachineKind::Qemu, 1)?;
        plan.node_keys.insert("node1", format!("mac: \"{MAC}\""));
        Cluster::new(plan)
    });
    let others = story.step("nobody's ha-host makes machines", || Others::new(&cluster));
    let flatcar = cluster.dir().join("flatcar");
    story.step("there is something to boot", || {
        write_flatcar(&flatcar, &Lab::default())
    });
    let launch = story.step("launch waits for the machine", || others.launch("900s"));
    let server = story.step("serve offers a boot from the network", || {
        let flatcar = flatcar.display().to_string();
        let url = format!("http://{HOST}:8080");
        let args = ["serve", cluster.name(), "--listen", LISTEN, "--url", &url];
        let server = others.start(&[&args[..], &["--pxe", &flatcar]].concat())?;
        wait_until("a line for iPXE", SHORT, || {
            let said = server.so_far();
            ensure!(said.contains(&format!("chain {url}/boot.ipxe")), "{said}");
            Ok(())
        })?;
        Ok(server)
    });
    let begun = Instant::now();
    let machine = story.step("the machine is switched on", || {
        let script = format!("http://{HOST}:8080/boot.ipxe");
        NetworkMachine::start(&cluster, &script, &others.events_of("node1"))
    });
    story.step("the launch hears its agent go through the balancer", || {
        wait_until("phase init", BOOT, || {
            let console = machine.console();
            ensure!(!console.contains("LIVE:"), "{console}");
            let said = launch.so_far();
            let console = last_lines(&console, 10);
            ensure!(told_phase(&said, "node1", "init"), "{said}\n{console}");
            Ok(())
        })
    });
    story.note(&format!(
        "{:.0} s after its power",
        begun.elapsed().as_secs_f64()
    ));
    story.step("its config is given to nobody else", || {
        ensure_refused(&cluster)
    });
    drop(machine);
    story.step("Ctrl-C ends the launch, and the server", || {
        cluster.interrupt(&launch)?;
        launch.wait(BOOT)?.expect_exit_code(130)?;
        cluster.interrupt(&server)?;
        server.wait(BOOT)?.expect_exit_code(130)
    });
    story.step("destroy forgets it", || {
        others.run(&["destroy", cluster.name(), "--yes"])?.ok()
    });
}

fn ensure_refused(cluster: &Cluster) -> Result<()> {
    let mut curl = cluster.operator().command("curl");
    curl.args(["--silent", "--output", "/dev/null", "--write-out"])
        .args(["%{http_code}", &format!("http://{LISTEN}/config?mac={MAC}")]);
    let done = run_to_end(curl, SHORT)?.ok()?;
    ensure!(done.stdout == "410", "{}", done.stdout);
    Ok(())
}
