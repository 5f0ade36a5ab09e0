//! Where the chart comes from: the operator's own file, the CLI, or nowhere.

use std::rc::Rc;

use ha_wire::paths::CILIUM_CHART;

use super::*;
use crate::phases::NeedsAPerson;
use crate::sys::command::ChildProcesses;
use crate::sys::{Cmd, Output};

const UNPACK: &str =
    "tar --extract --gzip --strip-components=1 --no-same-owner --no-same-permissions --file";
const NONE: &str = r#"{"items":[]}"#;

fn with_chart() -> Cni {
    Cni::Cilium {
        version: "1.18.1".into(),
        chart: Some(CILIUM_CHART.into()),
        values: Map::new(),
    }
}

async fn founder_with(cni: Cni, net: u8) -> FakeMachine {
    let (machine, api) = network_fixture(testing::founder(), cni, net).await;
    api.on("GET /api/v1/nodes/node1", 200, READY)
        .on(SECRETS, 200, NONE);
    machine
}

#[test]
fn a_chart_of_the_operators_own_is_unpacked_for_the_cli() {
    run_local(async {
        let machine = founder_with(with_chart(), 172).await;
        machine.file(CILIUM_CHART, "packed");
        let root = |name: &str| machine.cx.sys.files.path(name);
        let dir = root("/run/ha-agent/cilium-chart");
        machine.file("/run/ha-agent/cilium-chart/of-an-earlier-attempt", "");
        machine.commands.succeed(UNPACK);
        machine
            .commands
            .leaves("tar", dir.join("Chart.yaml"), "name: cilium");
        machine.commands.succeed("cilium install --chart-directory");
        super::super::run(&machine.cx).await.unwrap();
        let orders = machine.orders();
        let (dir, values) = (dir.display(), root(ha_wire::paths::CILIUM_VALUES));
        let archive = root(CILIUM_CHART);
        let wanted = [
            format!("run {UNPACK} {} --directory {dir}", archive.display()),
            format!(
                "run cilium install --chart-directory {dir} --values {}",
                values.display()
            ),
        ];
        assert_eq!(orders, wanted);
        assert!(!root("/run/ha-agent/cilium-chart/of-an-earlier-attempt").exists());
    });
}

#[test]
fn a_chart_that_is_none_needs_a_person_and_nothing_is_installed() {
    run_local(async {
        let missing = founder_with(with_chart(), 173).await;
        let other = founder_with(with_chart(), 174).await;
        other.file(CILIUM_CHART, "packed");
        other.commands.succeed(UNPACK);
        for (machine, word) in [(missing, "is not there"), (other, "no Chart.yaml")] {
            let error = super::super::run(&machine.cx).await.unwrap_err();
            let text = format!("{error:#}");
            assert!(error.chain().any(|e| e.is::<NeedsAPerson>()), "{text}");
            assert!(text.contains(CILIUM_CHART) && text.contains(word), "{text}");
            let all = programs_run(&machine);
            assert!(!all.iter().any(|p| p == "cilium install"), "{all:?}");
        }
    });
}

/// As `helm package` makes it: all of it in one directory.
#[test]
fn the_machines_own_tar_takes_these_arguments() {
    run_local(async {
        let mut machine = founder_with(with_chart(), 175).await;
        machine.file("/src/cilium/Chart.yaml", "name: cilium");
        machine.file("/src/cilium/templates/a.yaml", "{}");
        machine.file(CILIUM_CHART, "");
        machine.cx.sys.commands = Rc::new(ChildProcesses);
        let path = |name: &str| machine.cx.sys.files.path(name).display().to_string();
        let (archive, source) = (path(CILIUM_CHART), path("/src"));
        let pack = [
            "--create",
            "--gzip",
            "--file",
            &archive,
            "--directory",
            &source,
            "cilium",
        ];
        let pack = Cmd::new("tar", &pack, std::time::Duration::from_secs(60));
        machine.cx.sys.commands.run(pack).await.unwrap();
        let dir = super::super::cilium::chart::unpack_chart(&machine.cx, CILIUM_CHART)
            .await
            .unwrap();
        assert_eq!(dir, path("/run/ha-agent/cilium-chart"));
        let text = machine
            .cx
            .sys
            .files
            .read("/run/ha-agent/cilium-chart/templates/a.yaml");
        assert_eq!(text.unwrap().unwrap(), "{}");
    });
}

/// What the CLI does not hold it asks of the internet, from the node, and says only that.
#[test]
fn a_chart_that_the_cli_neither_holds_nor_gets_is_named_with_its_remedy() {
    run_local(async {
        for (net, listed, is_missing) in [
            (176, "1.17.7 (default)\n1.16.14\n", true),
            (177, "1.19.5 (default)\n1.18.1\n", false),
            (178, "v1.18.1 (default)\nv1.17.7\n", false),
            (179, "", false),
        ] {
            let machine = founder_with(cilium_cni(), net).await;
            let failed = CommandFailed {
                command: "cilium install".into(),
                outcome: "exit code 1".into(),
                code: Some(1),
                tail: vec!["Error: no such host".into()],
            };
            machine.commands.answer(INSTALL, Err(failed.into()));
            let stdout = listed.to_owned();
            machine.commands.answer(LIST, Ok(Output { stdout }));
            let error = super::super::run(&machine.cx).await.unwrap_err();
            let text = format!("{error:#}");
            let begin =
                "cilium install: this cilium program holds no chart 1.18.1 (its newest: 1.17.7)";
            assert_eq!(text.starts_with(begin), is_missing, "{text}");
            assert_eq!(
                text.contains("kubernetes.cni.cilium.chart"),
                is_missing,
                "{text}"
            );
            assert!(text.contains("no such host"), "{text}");
        }
    });
}
