//! Whole launches over machines that only pretend.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::bail;
use ha_cluster_file::cluster::Node;
use ha_providers::{Finding, Made, Power};
use ha_test_support::{DEMO, cluster};
use ha_wire::event::Event;

use super::*;

/// Machines that do nothing; what their agents say is given.
#[derive(Debug)]
struct Pretended {
    dir: PathBuf,
    fit: bool,
    broken: Option<&'static str>,
    machine: Machine,
    says: &'static str,
    console: &'static str,
    deaf: bool,
    calls: Mutex<Vec<String>>,
}

impl Pretended {
    fn note(&self, call: &str) {
        self.calls.lock().unwrap().push(call.to_owned());
    }
}

impl Provider for Pretended {
    fn preflight(&self) -> Result<Vec<Finding>> {
        let (message, remedy) = ("3 GiB free".to_owned(), "free some memory".to_owned());
        Ok(vec![Finding {
            ok: self.fit,
            message,
            remedy,
        }])
    }
    fn prepare(&self) -> Result<()> {
        self.note("prepare");
        Ok(())
    }
    fn ensure(&self, node: &Node, ignition: &Path) -> Result<Made> {
        assert!(ignition.is_file());
        self.note(&format!("ensure {}", node.name));
        if self.broken == Some(node.name.as_str()) {
            bail!("no space left on device");
        }
        std::fs::write(self.console(node), self.console).unwrap();
        if node.name == "node3" {
            std::fs::write(self.events(node), self.says).unwrap();
        }
        Ok(Made::New { warning: None })
    }
    fn state(&self, _node: &Node) -> Result<Machine> {
        Ok(self.machine)
    }
    fn power(&self, _node: &Node, _order: Power) -> Result<()> {
        Ok(())
    }
    fn remove(&self, _node: &Node) -> Result<()> {
        Ok(())
    }
    fn exec(&self, node: &Node, argv: &[&str]) -> Result<Command> {
        self.note(&format!("exec {} {}", node.name, argv.join(" ")));
        if self.deaf {
            bail!("nobody there answers");
        }
        let mut command = Command::new("echo");
        command.arg("ha-agent.service: Failed with result 'exit-code'.");
        Ok(command)
    }
    fn events(&self, node: &Node) -> PathBuf {
        self.dir.join(format!("{}.events", node.name))
    }
    fn console(&self, node: &Node) -> PathBuf {
        self.dir.join(format!("{}.console", node.name))
    }
    fn destroy(&self) -> Result<()> {
        Ok(())
    }
}

/// Keeps the end.
#[derive(Default)]
struct Kept(Vec<String>);

impl Show for Kept {
    fn begin(&mut self, _cluster: &Cluster) {}
    fn step(&mut self, _name: &str, _seen: &[String]) {}
    fn event(&mut self, _event: &Event) {}
    fn change(&mut self, _track: &Track, _change: Change) {}
    fn look(&mut self, _look: &Look, _cluster: &Cluster) {}
    fn tick(&mut self, _tracks: &[Track]) {}
    fn end(&mut self, end: &End) {
        self.0.push(format!("{end:?}"));
    }
}

struct Stage {
    dir: tempfile::TempDir,
    source: Source,
}

impl Stage {
    /// The documentation's network: nothing ever answers there.
    fn new() -> Self {
        let text = DEMO.replace("10.77.0.", "192.0.2.");
        let cluster = cluster(&text, Path::new("/"));
        let dir = tempfile::tempdir().unwrap();
        Self {
            dir,
            source: Source {
                path: "demo.yaml".into(),
                text,
                base: "/".into(),
                cluster,
            },
        }
    }

    fn provider(&self) -> Pretended {
        let (dir, calls) = (self.dir.path().to_owned(), Mutex::default());
        Pretended {
            dir,
            fit: true,
            broken: None,
            machine: Machine::Running,
            says: "",
            console: "",
            deaf: false,
            calls,
        }
    }

    fn state(&self) -> Dir {
        Root::new(Some(&self.dir.path().join("state")))
            .unwrap()
            .dir("demo")
    }

    fn launch(&self, provider: &Arc<Pretended>, timeout: u64) -> (Option<Exit>, String) {
        let (mut show, provider) = (Kept::default(), provider.clone() as Arc<dyn Provider>);
        let (dir, extras, begun) = (self.state(), Extras::default(), Instant::now());
        let launch = Launch {
            source: &self.source,
            dir,
            extras,
            provider,
            begun,
        };
        let exit = launch
            .run(true, &mut show, Duration::from_secs(timeout))
            .ok();
        (exit, show.0.join("\n"))
    }
}

const GAVE_UP: &str = concat!(
    r#"{"version":1,"seq":1,"timeMs":5,"node":"node3","event":"hello","agent":"0.1.0","role":"control-plane","boot":"x"}"#,
    "\n",
    r#"{"version":1,"seq":2,"timeMs":6,"node":"node3","event":"failed","phase":"join","attempt":3,"#,
    r#""error":"dial tcp 192.0.2.11:2379: i/o timeout","tail":["[etcd] Announced"],"retryMs":null}"#,
    "\n",
);

#[test]
fn a_machine_that_is_not_fit_is_left_alone() {
    let stage = Stage::new();
    let provider = Arc::new(Pretended {
        fit: false,
        ..stage.provider()
    });
    let (exit, end) = stage.launch(&provider, 5);
    assert_eq!(exit, None);
    assert!(
        end.starts_with("Unfit") && end.contains("free some memory"),
        "{end}"
    );
    assert!(provider.calls.lock().unwrap().is_empty());
    assert!(!stage.state().path().exists(), "nothing was written");
}

#[test]
fn a_node_that_gives_up_ends_the_launch_with_its_words_and_is_told_to_try_again_by_the_next() {
    let stage = Stage::new();
    let provider = Arc::new(Pretended {
        says: GAVE_UP,
        ..stage.provider()
    });
    let (exit, end) = stage.launch(&provider, 30);
    assert_eq!(exit, Some(Exit::Failed));
    for words in [
        "node3",
        "control plane",
        "join",
        "i/o timeout",
        "[etcd] Announced",
        "--unit ha-agent",
    ] {
        assert!(end.contains(words), "{words}: {end}");
    }
    assert_eq!(
        stage.state().record().unwrap().unwrap().life,
        state::Life::Launching
    );
    provider.calls.lock().unwrap().clear();
    let ca = stage.state().pki().unwrap().unwrap();
    stage.launch(&provider, 1);
    assert_eq!(
        stage.state().pki().unwrap().unwrap().files(),
        ca.files(),
        "the same cluster"
    );
    let calls = provider.calls.lock().unwrap();
    assert!(
        calls.contains(&"exec node3 systemctl restart --no-block ha-agent.service".to_owned()),
        "{calls:?}"
    );
}

#[test]
fn a_machine_that_cannot_be_made_is_named_once_the_others_are_made() {
    let stage = Stage::new();
    let provider = Arc::new(Pretended {
        broken: Some("node2"),
        ..stage.provider()
    });
    let (exit, end) = stage.launch(&provider, 30);
    assert_eq!(exit, Some(Exit::Failed));
    assert!(
        end.contains("node2") && end.contains("no space left on device"),
        "{end}"
    );
    let calls = provider.calls.lock().unwrap();
    assert_eq!(
        calls.iter().filter(|c| c.starts_with("ensure ")).count(),
        5,
        "{calls:?}"
    );
}

#[test]
fn a_machine_that_goes_off_is_named_with_its_console() {
    let stage = Stage::new();
    let provider = Arc::new(Pretended {
        machine: Machine::Off,
        console: "Out of memory\r\n",
        ..stage.provider()
    });
    let (exit, end) = stage.launch(&provider, 60);
    assert_eq!(exit, Some(Exit::Failed));
    assert!(
        end.contains("its machine went off") && end.contains("Out of memory"),
        "{end}"
    );
}

#[test]
fn an_ignition_failure_on_the_console_ends_the_launch_with_its_cause() {
    let stage = Stage::new();
    let provider = Arc::new(Pretended {
        console: "ignition[6]: CRITICAL : Ignition failed: hash verification failed\r\nPress Enter for emergency shell",
        ..stage.provider()
    });
    let (exit, end) = stage.launch(&provider, 60);
    assert_eq!(exit, Some(Exit::Failed));
    for words in [
        "Ignition failed on its first boot",
        "hash verification failed",
        "node1.console",
        "ha-host destroy demo --yes",
    ] {
        assert!(end.contains(words), "{words}: {end}");
    }
}

#[test]
fn a_silent_node_is_shown_with_its_consoles_last_line() {
    let stage = Stage::new();
    let provider = Arc::new(Pretended {
        console: "EXT4-fs (vda9): unmounting filesystem\r\n",
        deaf: true,
        ..stage.provider()
    });
    let (exit, end) = stage.launch(&provider, 1);
    assert_eq!(exit, Some(Exit::TimedOut));
    assert!(
        end.contains("unmounting filesystem (so Flatcar's console ends when Ignition fails"),
        "{end}"
    );
}

#[test]
fn a_launch_that_takes_too_long_says_what_everybody_waits_for() {
    let stage = Stage::new();
    let (exit, end) = stage.launch(&Arc::new(stage.provider()), 1);
    assert_eq!(exit, Some(Exit::TimedOut));
    for words in [
        "node5 is in boot for",
        "Failed with result 'exit-code'",
        "the API at 192.0.2.30:6444",
    ] {
        assert!(end.contains(words), "{words}: {end}");
    }
}

#[test]
fn a_permission_that_ran_out_is_said_before_anything_waits_for_it() {
    let stage = Stage::new();
    let provider = Arc::new(stage.provider());
    assert_eq!(stage.launch(&provider, 1).0, Some(Exit::TimedOut));
    let file = std::fs::File::options()
        .append(true)
        .open(stage.state().ignition("node1"))
        .unwrap();
    let old =
        std::time::SystemTime::now() - Duration::from_secs(crate::ignition::FOUNDER_SECONDS + 5);
    file.set_modified(old).unwrap();
    let (dir, extras, begun) = (stage.state(), Extras::default(), Instant::now());
    let launch = Launch {
        source: &stage.source,
        dir,
        extras,
        provider,
        begun,
    };
    let error = launch
        .run(true, &mut Kept::default(), Duration::from_secs(1))
        .unwrap_err();
    assert!(
        error.to_string().contains("node1 may no longer found"),
        "{error}"
    );
}

#[test]
fn only_what_a_launch_can_do_may_change() {
    let stage = Stage::new();
    let root = Root::new(Some(&stage.dir.path().join("state"))).unwrap();
    let judge = |text: &str| {
        let cluster = cluster(text, Path::new("/"));
        let source = Source {
            path: "demo.yaml".into(),
            text: text.to_owned(),
            base: "/".into(),
            cluster,
        };
        change::judge(&root.dir("demo"), &source).map_err(|e| e.to_string())
    };
    let text = &stage.source.text;
    assert_eq!(judge(text), Ok(true), "no such cluster yet");
    let store = stage.state().lock().unwrap();
    store.accept(&stage.source).unwrap();
    assert_eq!(
        judge(&text.replace("port: 6444", "port: 7444")),
        Ok(true),
        "only rendered: anything goes"
    );
    state::advance(&store, state::Life::Standing).unwrap();
    assert_eq!(judge(&format!("{text}# a comment\n")), Ok(true));
    let worker = "  - {name: node6, role: worker, address: 192.0.2.16}\n";
    assert_eq!(
        judge(&format!("{text}{worker}")),
        Ok(false),
        "a new worker is work to do"
    );
    let table = [
        (
            text.replace("port: 6444", "port: 7444"),
            "endpoint is not what it was",
        ),
        (
            text.replace("1.34.4", "1.34.3"),
            "kubernetes is not what it was",
        ),
        (
            text.replace("192.0.2.15", "192.0.2.25"),
            "node node5 is not what it was",
        ),
        (text.replace("node5", "node7"), "node node5 is gone"),
    ];
    for (text, message) in table {
        let error = judge(&text).unwrap_err();
        assert!(
            error.contains(message) && error.contains("nothing was changed"),
            "{error}"
        );
    }
    state::advance(&store, state::Life::Destroying).unwrap();
    assert!(
        judge(text)
            .unwrap_err()
            .contains("finish it with `ha-host destroy demo`")
    );
}
