//! What a node's machine looks like from inside, as the provider makes it and Ignition and the agent find it.

/// The virtio-serial port that takes the agent's events on a virtual machine.
pub const EVENTS_PORT: &str = "org.flatcar-ha.events";
/// The device of [`EVENTS_PORT`].
pub const EVENTS_PORT_DEVICE: &str = "/dev/virtio-ports/org.flatcar-ha.events";
/// The file that takes the agent's events where the host has mounted a directory for it (containers).
pub const EVENTS_MOUNTED_FILE: &str = "/run/ha-host/events.jsonl";
/// The serial, and the file system's label, of the disk with system extensions and image archives.
pub const ASSETS_SERIAL: &str = "ha-assets";
/// The device of [`ASSETS_SERIAL`].
pub const ASSETS_DEVICE: &str = "/dev/disk/by-id/virtio-ha-assets";
