//! The kubelet's unit and its last words.

use std::collections::BTreeMap;
use std::time::Duration;

use ha_wire::event::Beneath;

use super::verdict::Run;
use crate::context::Context;
use crate::kube::KUBELET;
use crate::sys::Cmd;
use crate::sys::telling::{bare_words, is_severe, telling_line};

/// What is asked of systemd, as `KEY=VALUE` lines.
const PROPERTIES: &str =
    "--property=ActiveState,NRestarts,InvocationID,ExecMainStartTimestamp,ExecMainExitTimestamp";
/// Times as `@SECONDS` since 1970, which is no text for people.
const SECONDS: &str = "--timestamp=unix";
const ASK: Duration = Duration::from_secs(5);
/// What a kubelet says before it gives up.
const LINES: &str = "60";

/// The unit's state, and what its last run said if that has ended.
#[derive(Debug)]
pub struct Kubelet {
    properties: BTreeMap<String, String>,
    dead_run: Option<Run>,
}

impl Kubelet {
    fn get(&self, key: &str) -> &str {
        self.properties.get(key).map_or("", String::as_str)
    }

    fn number(&self, key: &str) -> u64 {
        self.get(key).parse().unwrap_or_default()
    }

    /// None: it has not happened in this run.
    fn time_ms(&self, key: &str) -> Option<u64> {
        let seconds = self.get(key).strip_prefix('@')?;
        seconds.parse::<u64>().ok()?.checked_mul(1000)
    }

    /// What cannot be asked counts as active: nothing is said of it.
    pub fn is_active(&self) -> bool {
        matches!(self.get("ActiveState"), "active" | "")
    }

    pub fn dead_run(&self) -> Option<Run> {
        self.dead_run.clone()
    }

    fn has_died(&self) -> bool {
        matches!(self.get("ActiveState"), "activating" | "failed")
            && self.time_ms("ExecMainExitTimestamp").is_some()
    }
}

/// Asks systemd, and the journal if the kubelet has died.
pub async fn observe_kubelet(cx: &Context) -> Kubelet {
    let args = ["show", KUBELET, SECONDS, PROPERTIES];
    let told = cx.sys.commands.run(Cmd::new("systemctl", &args, ASK)).await;
    let told = told.map(|output| output.stdout).unwrap_or_default();
    let pairs = told.lines().filter_map(|line| line.split_once('='));
    let properties = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let mut kubelet = Kubelet {
        properties,
        dead_run: None,
    };
    if kubelet.has_died() {
        let text = read_journal(cx, &kubelet).await;
        kubelet.dead_run = parse_dead_run(&kubelet, &text);
    }
    kubelet
}

/// Of this start alone, and of the kubelet alone: systemd's own words carry no such field.
async fn read_journal(cx: &Context, kubelet: &Kubelet) -> String {
    let field = format!("_SYSTEMD_INVOCATION_ID={}", kubelet.get("InvocationID"));
    let args = [&field, "-n", LINES, "-o", "cat", "--no-pager", "-q"];
    let told = cx
        .sys
        .commands
        .run(Cmd::new("journalctl", &args, ASK))
        .await;
    told.map(|output| output.stdout).unwrap_or_default()
}

fn parse_dead_run(kubelet: &Kubelet, text: &str) -> Option<Run> {
    let lines: Vec<&str> = text.lines().collect();
    let id = kubelet.get("InvocationID");
    Some(Run {
        id: id.to_owned(),
        number: u32::try_from(kubelet.number("NRestarts")).unwrap_or(u32::MAX),
        word: bare_words(&telling_line(&lines)?),
        first_ms: kubelet.time_ms("ExecMainStartTimestamp")?,
        last_ms: kubelet.time_ms("ExecMainExitTimestamp")?,
        ended: true,
    })
}

/// The first of these static pods that a kubelet that runs does not start, and why, in the kubelet's own words.
pub async fn complaint_of_pods(
    cx: &Context,
    kubelet: &Kubelet,
    pods: &[&'static str],
) -> Option<(&'static str, Beneath)> {
    let text = read_journal(cx, kubelet).await;
    let last_of = |name: &&'static str| {
        let field = format!("pod=\"kube-system/{name}-{}\"", cx.node.name);
        let mut lines = text.lines().rev();
        let line = lines.find(|line| is_severe(line) && line.contains(&field))?;
        Some((*name, line))
    };
    let (name, line) = pods.iter().find_map(last_of)?;
    let beneath = Beneath {
        part: "kubelet".to_owned(),
        does: format!("cannot start {name}"),
        word: bare_words(line),
        origin: None,
    };
    Some((name, beneath))
}
