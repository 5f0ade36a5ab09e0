//! A launch's report that has the last word however the launch ends: by itself, by a signal, or because its time is up before
//! there are nodes to wait for.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use ha_flatcar_image::Bar;
use ha_host_base::exit::{Exit, Stop};
use ha_host_base::interrupt::{self, Cause, Interrupt};
use ha_host_base::signals::{self, TimeLimit};

use super::choose_report;
use crate::launch::report::{End, LaunchEvent, NODES, Report, Unfinished};

/// Passes everything on, but not what fails only because the launch is interrupted.
pub struct InterruptibleReport {
    inner: Box<dyn Report>,
    cut: CutOff,
    /// Until the nodes are followed.
    limit: Option<TimeLimit>,
}

/// What there is to say of a launch that is cut off.
#[derive(Debug, Clone)]
struct CutOff {
    file: std::path::PathBuf,
    begun: Instant,
    /// What the launch is at.
    step: Arc<Mutex<&'static str>>,
}

impl CutOff {
    fn end(&self, cause: Cause) -> End {
        match cause {
            Cause::Signal => End::Interrupted(self.file.clone()),
            Cause::TimeUp => End::TimedOut(Unfinished {
                took: self.begun.elapsed(),
                nodes: Vec::new(),
                missing: Vec::new(),
                stopped_at: Some(*self.step.lock().unwrap_or_else(PoisonError::into_inner)),
                file: self.file.clone(),
            }),
        }
    }
}

impl InterruptibleReport {
    /// Begins the time that the launch of this file may take, told to `inner`.
    pub fn begin(inner: Box<dyn Report>, json: bool, file: &Path, timeout: Duration) -> Self {
        let begun = Instant::now();
        let cut = CutOff {
            file: file.to_owned(),
            begun,
            step: Arc::new(Mutex::new("file")),
        };
        let of_thread = cut.clone();
        signals::set_last_words(move |cause| {
            choose_report(json).tell(&LaunchEvent::Ended(&of_thread.end(cause)));
        });
        Self {
            inner,
            cut,
            limit: Some(TimeLimit::until(begun + timeout)),
        }
    }

    /// Says what nobody said yet of how it ended.
    pub fn finish(&mut self, result: Result<Exit>) -> Result<Exit> {
        let error = match (result, Interrupt::of_process().cause()) {
            (Err(_), Some(cause)) => {
                let end = self.cut.end(cause);
                self.tell(&LaunchEvent::Ended(&end));
                return Ok(cause.into());
            }
            (Ok(exit), _) => return Ok(exit),
            (Err(error), None) => error,
        };
        if !matches!(error.downcast_ref(), Some(Stop::Said(_))) {
            self.tell(&LaunchEvent::Broken(&error));
        }
        Err(error)
    }
}

impl Report for InterruptibleReport {
    fn tell(&mut self, happened: &LaunchEvent<'_>) {
        match happened {
            LaunchEvent::StepBegun(step) => {
                *self.cut.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
                if *step == NODES {
                    self.limit = None;
                }
            }
            LaunchEvent::Ended(end) if Interrupt::of_process().asked() => {
                let own = matches!(end, End::HostUnfit(_) | End::Failed(_));
                if own || !interrupt::take_last_word() {
                    return;
                }
            }
            _ => {}
        }
        self.inner.tell(happened);
    }

    fn download_bar(&self) -> Box<dyn Bar> {
        self.inner.download_bar()
    }
}
