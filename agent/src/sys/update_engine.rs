//! Flatcar's update-engine over D-Bus: which update is installed and waits for a reboot.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::bus::connect_to_bus;
use super::files::Files;

/// What it calls an update that is installed and not yet booted.
const NEEDS_REBOOT: &str = "UPDATE_STATUS_UPDATED_NEED_REBOOT";
/// It answers at once, or not at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// When it last looked for an update, how far it is, what it does, the new version, its size.
type EngineStatus = (i64, f64, String, String, i64);

#[zbus::proxy(
    interface = "com.coreos.update1.Manager",
    default_service = "com.coreos.update1",
    default_path = "/com/coreos/update1"
)]
trait UpdateEngine {
    /// Who has switched it off does not want it started by a question.
    #[zbus(no_autostart)]
    fn get_status(&self) -> zbus::Result<EngineStatus>;
}

/// The version that is installed and waits for a reboot; an error where there is no bus or no update-engine.
pub async fn installed_update(files: &Files) -> Result<Option<String>> {
    let asked = async {
        let connection = connect_to_bus(files).await?;
        let engine = UpdateEngineProxy::new(&connection).await?;
        Ok(engine.get_status().await?)
    };
    let answer: Result<EngineStatus> = tokio::time::timeout(ANSWER_WITHIN, asked)
        .await
        .context("no answer")?;
    let (_, _, operation, version, _) = answer?;
    Ok((operation == NEEDS_REBOOT).then_some(version))
}

#[cfg(test)]
mod tests;
