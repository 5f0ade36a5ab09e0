//! sd_notify: READY, STATUS, WATCHDOG. Without NOTIFY_SOCKET nothing happens.

use std::rc::Rc;

use sd_notify::NotifyState;

use crate::sys::Clock;

pub(super) fn notify_ready() {
    notify(&[NotifyState::Ready]);
}

pub(super) fn notify_stopping() {
    notify(&[NotifyState::Stopping]);
}

pub(super) fn notify_status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

pub(super) async fn notify_watchdog(clock: Rc<dyn Clock>) {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        notify(&[NotifyState::Watchdog]);
        clock.sleep(period / 2).await;
    }
}

fn notify(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::debug!("systemd was not told: {error}");
    }
}
