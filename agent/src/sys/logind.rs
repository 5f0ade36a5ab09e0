//! logind over D-Bus: hears of every reboot and power-off before anything is stopped, and may delay it.

use anyhow::{Context as _, Result};
use futures_util::StreamExt;
use zbus::OwnedFd;

use super::bus::connect_to_bus;
use super::files::Files;

#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait Login {
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> zbus::Result<OwnedFd>;
    #[zbus(signal)]
    fn prepare_for_shutdown(&self, begins: bool) -> zbus::Result<()>;
}

/// A delay of the next reboot or power-off, for as long as this lives; logind's `InhibitDelayMaxSec` bounds it.
#[derive(Debug)]
pub struct ShutdownDelay {
    _lock: OwnedFd,
}

/// logind, and what it says about the machine's end.
pub struct Logind {
    login: LoginProxy<'static>,
    signals: PrepareForShutdownStream,
}

impl Logind {
    /// Starts logind if it does not run.
    pub async fn connect(files: &Files) -> Result<Self> {
        let connection = connect_to_bus(files).await?;
        let login = LoginProxy::new(&connection).await?;
        let signals = login.receive_prepare_for_shutdown().await?;
        Ok(Self { login, signals })
    }

    /// Delays the next reboot or power-off.
    pub async fn delay_shutdown(&self, why: &str) -> Result<ShutdownDelay> {
        let lock = self.login.inhibit("shutdown", "ha-agent", why, "delay");
        let lock = lock
            .await
            .context("logind gives no delay of the next shutdown")?;
        Ok(ShutdownDelay { _lock: lock })
    }

    /// The next word about the machine's end: true if it begins, false if it was called off. An error: the bus is gone.
    pub async fn next_shutdown(&mut self) -> Result<bool> {
        let signal = self.signals.next().await;
        let signal = signal.context("the connection to the system bus ended")?;
        Ok(signal.args()?.begins)
    }
}
