//! What failed beneath kubeadm, while it waits and after it failed: the container runtime, the kubelet, the static pods.
//! Only what a person is told comes from here, and whether another attempt alone can help.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Error, Result};
use ha_wire::event::Beneath;
use ha_wire::phase::Phase;
use tracing::{debug, warn};

use super::preflight::runtime::runtime_refusal;
use super::proxy::kubeadm_command;
use super::{ConfigFile, FailedBeneath, kubeadm_run_config};
use crate::context::Context;
use crate::kube::KUBELET;
use crate::sys::CommandFailed;
use crate::sys::cri;

mod kubelet;
mod pod_logs;
mod refusal;
mod verdict;

use verdict::{Found, Run, STATIC_PODS};

/// kubeadm has said nothing new for so long: then something beneath it may be wrong. A good init has no such pause.
const QUIET: Duration = Duration::from_secs(8);
/// How often what lies beneath is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// kubeadm reads a file and ends.
const VALIDATE: Duration = Duration::from_secs(60);
/// A runtime that has just been started serves CRI after a moment.
const RUNTIME_WITHIN: Duration = Duration::from_secs(10);
/// Between two questions to it.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A runtime that serves no CRI, whatever it did at preflight's look, ends the phase.
pub async fn require_runtime(cx: &Context, phase: Phase) -> Result<()> {
    let socket = cx.sys.files.path(cx.node.kubernetes.cri.socket_path());
    let begin = cx.sys.clock.monotonic();
    loop {
        let answer = cri::ask_version(&socket).await;
        let Some(refused) = runtime_refusal(&cx.node, &answer) else {
            return Ok(());
        };
        if cx.sys.clock.monotonic().saturating_sub(begin) >= RUNTIME_WITHIN {
            return Err(refused.into());
        }
        cx.report
            .waiting(phase, "the container runtime", &refused.to_string());
        cx.sys.clock.sleep(ASK_AGAIN).await;
    }
}

/// kubeadm's own verdict on its configuration, before anything is done with it. Refused is final.
pub async fn require_valid(cx: &Context, config: &ConfigFile) -> Result<()> {
    let file = kubeadm_run_config::ConfigOnDisk::write(cx, config)?;
    let args = ["config", "validate", "--config", &file.path()];
    let ended = cx
        .sys
        .commands
        .run(kubeadm_command(cx, &args, VALIDATE))
        .await;
    let Err(error) = ended else { return Ok(()) };
    match error.downcast_ref::<CommandFailed>() {
        Some(failed) if failed.code.is_some() => Err(verdict::config_refused(&failed.why()).into()),
        // No verdict: kubeadm itself will say.
        _ => {
            warn!("{error:#}");
            Ok(())
        }
    }
}

/// What is known while one kubeadm runs.
#[derive(Debug)]
pub struct Watch<'a> {
    cx: &'a Context,
    phase: Phase,
    begin_ms: u64,
    /// The last step that kubeadm told, and when.
    step: RefCell<String>,
    stepped: Cell<Duration>,
    runs: RefCell<BTreeMap<String, Vec<Run>>>,
    found: RefCell<Option<Found>>,
}

impl<'a> Watch<'a> {
    /// Just before kubeadm starts.
    pub fn new(cx: &'a Context, phase: Phase) -> Self {
        Self {
            cx,
            phase,
            begin_ms: cx.sys.clock.now_ms(),
            step: RefCell::new("kubeadm".to_owned()),
            stepped: Cell::new(cx.sys.clock.monotonic()),
            runs: RefCell::default(),
            found: RefCell::default(),
        }
    }

    /// kubeadm said what it does now.
    pub fn stepped(&self, words: &str) {
        self.stepped.set(self.cx.sys.clock.monotonic());
        words.clone_into(&mut self.step.borrow_mut());
        self.tell();
    }

    /// kubeadm's step, with what fails beneath it as long as that does.
    fn tell(&self) {
        let found = self.found.borrow();
        let error = found.as_ref().map(|found| found.to_error(self.phase));
        let error = error.map_or_else(String::new, |error| error.to_string());
        self.cx
            .report
            .waiting(self.phase, &self.step.borrow(), &error);
    }

    /// Looks again and again; ends with what no further waiting can mend.
    pub async fn until_final(&self) -> FailedBeneath {
        loop {
            self.cx.sys.clock.sleep(LOOK).await;
            let now = self.cx.sys.clock.monotonic();
            let quiet = now.saturating_sub(self.stepped.get());
            self.remember_pods();
            // What was found is told on, whatever kubeadm says beside it.
            if quiet < QUIET && self.found.borrow().is_none() {
                continue;
            }
            self.look().await;
            let found = self.found.borrow().clone();
            let Some(found) = found else { continue };
            let error = found.to_error(self.phase);
            if error.is_final {
                return error;
            }
            self.tell();
        }
    }

    /// kubeadm's failure with what failed beneath it, if anything did.
    pub async fn explain(&self, error: Error) -> Error {
        self.remember_pods();
        self.look().await;
        match &*self.found.borrow() {
            Some(found) => error.context(found.to_error(self.phase)),
            None => error,
        }
    }

    async fn look(&self) {
        let kubelet = kubelet::observe_kubelet(self.cx).await;
        if let Some(run) = kubelet.dead_run() {
            verdict::remember_run(&mut self.runs.borrow_mut(), KUBELET, run);
        }
        let never_ran = |name: &&str| !self.runs.borrow().contains_key(*name);
        let missing: Vec<_> = STATIC_PODS.into_iter().filter(never_ran).collect();
        let complaint = if kubelet.is_active() && self.cx.node.is_control_plane() {
            kubelet::complaint_of_pods(self.cx, &kubelet, &missing).await
        } else {
            None
        };
        let now_ms = self.cx.sys.clock.now_ms();
        let found = verdict::find_failed_program(
            &self.runs.borrow(),
            kubelet.is_active(),
            complaint,
            self.begin_ms,
            now_ms,
        );
        *self.found.borrow_mut() = found;
    }

    /// The kubelet removes the logs of all but the last two runs.
    fn remember_pods(&self) {
        match pod_logs::read_runs(&self.cx.sys.files, &self.cx.node.name) {
            Ok(seen) => {
                for (name, run) in seen {
                    verdict::remember_run(&mut self.runs.borrow_mut(), name, run);
                }
            }
            Err(error) => debug!("{error:#}"),
        }
    }
}

#[cfg(test)]
mod tests;
