//! sd_notify: READY, STATUS, WATCHDOG. Without NOTIFY_SOCKET nothing happens.

use std::rc::Rc;

use sd_notify::NotifyState;

use crate::sys::Clock;

pub(super) fn ready() {
    send(&[NotifyState::Ready]);
}

pub(super) fn stopping() {
    send(&[NotifyState::Stopping]);
}

pub(super) fn status(text: &str) {
    send(&[NotifyState::Status(text)]);
}

pub(super) async fn watchdog(clock: Rc<dyn Clock>) {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        send(&[NotifyState::Watchdog]);
        clock.sleep(period / 2).await;
    }
}

fn send(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::debug!("systemd was not told: {error}");
    }
}
