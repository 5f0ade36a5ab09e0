//! For tests of what talks over the system bus: a real dbus-daemon of the test's own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use ha_test_support::real;
use zbus::{Connection, connection};

use super::files::Files;

/// A bus at the place of the system bus of a machine in a directory. It ends with this value.
pub struct PrivateBus {
    address: String,
    daemon: Child,
}

impl PrivateBus {
    /// None if there is no dbus-daemon here, which has been told.
    pub fn start(machine: &Files) -> Option<Self> {
        let mut command = real::require_command("dbus-daemon", "dbus-daemon")?;
        let socket = machine.path("/run/dbus/system_bus_socket");
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let address = format!("unix:path={}", socket.display());
        command.args(["--session", "--nofork", "--nopidfile", "--print-address"]);
        command.arg(format!("--address={address}"));
        let mut daemon = command.stdout(Stdio::piped()).spawn().unwrap();
        // It prints its address once it listens.
        let mut line = String::new();
        let mut stdout = BufReader::new(daemon.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert!(line.starts_with("unix:"), "{line:?}");
        Some(Self { address, daemon })
    }

    /// A service on it, for as long as the connection lives.
    pub async fn serve(
        &self,
        name: &'static str,
        path: &'static str,
        object: impl zbus::object_server::Interface,
    ) -> Connection {
        let builder = connection::Builder::address(self.address.as_str());
        let builder = builder.serve_at(path, object).name(name);
        builder.build().await.unwrap()
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
