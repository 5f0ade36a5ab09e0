//! The machine's system bus.

use anyhow::{Context as _, Result};
use zbus::{Connection, connection};

use super::files::Files;

/// Where it listens.
const SOCKET: &str = "/run/dbus/system_bus_socket";

/// A new connection, which ends with the last of its clones.
pub async fn connect_to_bus(files: &Files) -> Result<Connection> {
    let address = format!("unix:path={}", files.path(SOCKET).display());
    let builder = connection::Builder::address(address.as_str());
    builder
        .build()
        .await
        .context("the system bus cannot be reached")
}
