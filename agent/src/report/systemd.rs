//! sd_notify: READY, STATUS, WATCHDOG. Without NOTIFY_SOCKET nothing happens.

use std::rc::Rc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::sys::Clock;

pub(super) fn notify_ready() {
    send_to_systemd(&[NotifyState::Ready]);
}

pub(super) fn notify_stopping() {
    send_to_systemd(&[NotifyState::Stopping]);
}

pub(super) fn notify_status(text: &str) {
    send_to_systemd(&[NotifyState::Status(text)]);
}

/// So often in a watchdog period: the loop may stand still for nearly all of it, in a slow fsync, say.
const PINGS: u32 = 6;

pub(super) async fn notify_watchdog(clock: Rc<dyn Clock>, is_well: impl Fn(Duration) -> bool) {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        if is_well(clock.monotonic()) {
            send_to_systemd(&[NotifyState::Watchdog]);
        }
        clock.sleep(period / PINGS).await;
    }
}

fn send_to_systemd(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::debug!("systemd was not told: {error}");
    }
}
