//! Between the nodes' segment and the user network. QEMU's hub shows every frame to everybody, and its user network takes
//! whatever it sees for traffic to the outside: it answers what one node sends to another with "network unreachable" and
//! resets. So the two hang on hubs of their own, and this process carries from the nodes only what is meant for the gateway.
//!
//! Looked at: QEMU's netfilters (none goes by addresses), `restrict=on` (it resets, too), vde_switch (one more package).

use std::io::{BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context, Result};
use ha_host_base::files;

use super::spawn;

/// The socket of the nodes' side.
pub const LAN: &str = "lan";
/// The socket of the user network's side.
pub const WAN: &str = "wan";
/// A frame's length comes before it, four bytes, the highest first (`-netdev stream`).
const HEAD: usize = 4;
/// QEMU's longest frame is 68 KiB; whoever says more does not speak this language.
const LONGEST: usize = 1 << 17;
/// Every address of the user network begins so; the rest is the IPv4 address that it answers for.
const GATEWAY: [u8; 2] = [0x52, 0x55];

/// Starts it in its directory unless it runs; returns when both sides can be plugged in. `program` is ha-host.
pub fn ensure_running(dir: &Path, program: &Path) -> Result<()> {
    if spawn::running_process(dir).is_some() {
        return Ok(());
    }
    files::make_dir(dir)?;
    for socket in [LAN, WAN] {
        // An earlier one's would be in the way.
        let _ = std::fs::remove_file(dir.join(socket));
    }
    spawn::start_program(dir, program, &["qemu-filter".to_owned()], &dir.join(WAN))
}

/// Carries frames for ever. Runs in its directory.
pub fn carry_frames() -> Result<()> {
    let listen =
        |name: &str| UnixListener::bind(name).with_context(|| format!("cannot listen on {name}"));
    let (lan, wan) = (listen(LAN)?, listen(WAN)?);
    loop {
        let ((lan, _), (wan, _)) = (lan.accept()?, wan.accept()?);
        carry_connection(&lan, &wan)?;
    }
}

/// Until one side ends; the gateway then plugs in both anew.
fn carry_connection(lan: &UnixStream, wan: &UnixStream) -> Result<()> {
    let (to_wan, to_lan) = (wan.try_clone()?, lan.try_clone()?);
    let (from_lan, from_wan) = (lan.try_clone()?, wan.try_clone()?);
    let end = |result: std::io::Result<()>| {
        // Whatever ended it, the other direction ends, too.
        let _ = (
            lan.shutdown(std::net::Shutdown::Both),
            wan.shutdown(std::net::Shutdown::Both),
        );
        result
    };
    std::thread::scope(|scope| {
        scope.spawn(|| end(copy_frames(from_lan, to_wan, is_for_the_gateway)));
        scope.spawn(|| end(copy_frames(from_wan, to_lan, |_| true)));
    });
    Ok(())
}

fn copy_frames(
    from: UnixStream,
    mut to: UnixStream,
    passes: fn(&[u8]) -> bool,
) -> std::io::Result<()> {
    let mut from = BufReader::with_capacity(LONGEST, from);
    let mut frame = Vec::new();
    loop {
        let mut head = [0; HEAD];
        from.read_exact(&mut head)?;
        let length = u32::from_be_bytes(head) as usize;
        if length > LONGEST {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        frame.clear();
        frame.extend_from_slice(&head);
        frame.resize(HEAD + length, 0);
        from.read_exact(&mut frame[HEAD..])?;
        if passes(&frame[HEAD..]) {
            to.write_all(&frame)?;
        }
    }
}

/// To everybody (ARP), or to an address of the user network.
fn is_for_the_gateway(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 1 == 1) || frame.starts_with(&GATEWAY)
}

/// Ends it; fine if it does not run.
pub fn stop_filter(dir: &Path) -> Result<()> {
    spawn::stop_process(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame_to(to: [u8; 6]) -> Vec<u8> {
        let mut frame = vec![0, 0, 0, 14];
        frame.extend(to);
        frame.extend([0x52, 0x54, 0, 0, 0, 1, 8, 0]);
        frame
    }

    #[test]
    fn what_nodes_say_to_each_other_is_not_heard_outside() {
        let ((lan, inside), (wan, outside)) =
            (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let carrier = std::thread::spawn(move || carry_connection(&lan, &wan).unwrap());
        let (everybody, gateway) = ([0xff; 6], [0x52, 0x55, 10, 77, 0, 1]);
        let node = [0x52, 0x54, 0, 0, 0, 2];
        for to in [node, everybody, node, gateway] {
            (&inside).write_all(&frame_to(to)).unwrap();
        }
        let mut heard = vec![0; 2 * frame_to(node).len()];
        (&outside).read_exact(&mut heard).unwrap();
        assert_eq!(heard, [frame_to(everybody), frame_to(gateway)].concat());
        (&outside).write_all(&frame_to(node)).unwrap();
        let mut answer = vec![0; frame_to(node).len()];
        (&inside).read_exact(&mut answer).unwrap();
        assert_eq!(answer, frame_to(node), "everything comes in");
        drop(outside);
        carrier.join().unwrap();
        assert_eq!((&inside).read(&mut [0; 1]).unwrap(), 0, "both sides end");
    }

    #[test]
    fn who_speaks_another_language_is_hung_up_on() {
        let ((lan, inside), (wan, _outside)) =
            (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let carrier = std::thread::spawn(move || carry_connection(&lan, &wan).unwrap());
        (&inside).write_all(&[0xff; 8]).unwrap();
        carrier.join().unwrap();
    }
}
