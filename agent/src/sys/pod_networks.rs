//! The networks of this node's pods, from inside: containerd and CRI-O hold each open by a file, which is gone with the pod. A socket
//! stays in the network in which it was made, so a thread goes through them, makes sockets, and ends: no other thread of the agent
//! ever leaves the node's own network.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};
use tokio::sync::oneshot;

use super::files::Files;
use super::net::connected_socket;
use super::random;

/// Where both runtimes keep them, and people their own (`ip netns`).
const NETWORKS: &str = "/run/netns";
/// So many are entered at a time.
const AT_MOST: usize = 4;

/// A socket to this address in each of some pods' networks, which ones by chance. Pods of the node's own network have none.
pub async fn connected_sockets(
    files: &Files,
    to: SocketAddr,
) -> Vec<(PathBuf, io::Result<UdpSocket>)> {
    let mut names = files.names(NETWORKS).unwrap_or_default();
    names.retain(|name| ends_with_uuid(name));
    let names = random::some_of(names, AT_MOST).into_iter();
    let paths: Vec<PathBuf> = names
        .map(|name| files.path(format!("{NETWORKS}/{name}")))
        .collect();
    if paths.is_empty() {
        return Vec::new();
    }
    let (made, sockets) = oneshot::channel();
    let enter_all = move || {
        let enter = |path: PathBuf| Some((enter_and_connect(&path, to)?, path));
        let all = paths.into_iter().filter_map(enter);
        // Nobody waits for them any more: the agent ends.
        drop(made.send(all.map(|(socket, path)| (path, socket)).collect()));
    };
    match std::thread::Builder::new().spawn(enter_all) {
        Ok(_) => sockets.await.unwrap_or_default(),
        Err(error) => {
            tracing::debug!("no thread for the networks of pods: {error}");
            Vec::new()
        }
    }
}

/// Leaves this thread in that network. None: it cannot be entered, as one that its pod has just left.
fn enter_and_connect(network: &Path, to: SocketAddr) -> Option<io::Result<UdpSocket>> {
    let entered = File::open(network).and_then(|file| Ok(setns(file, CloneFlags::CLONE_NEWNET)?));
    match entered {
        Ok(()) => Some(connected_socket(to)),
        Err(error) => {
            tracing::debug!("{}: {error}", network.display());
            None
        }
    }
}

/// `cni-` and a UUID by containerd, a UUID alone by CRI-O.
fn ends_with_uuid(name: &str) -> bool {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    let start = name.len().checked_sub(36);
    let Some(end) = start.and_then(|start| name.as_bytes().get(start..)) else {
        return false;
    };
    let fits = |(at, byte): (usize, &u8)| match DASHES.contains(&at) {
        true => *byte == b'-',
        false => byte.is_ascii_hexdigit(),
    };
    end.iter().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use ha_test_support::real;
    use nix::sched::unshare;

    use super::*;
    use crate::testing;

    /// The kernel hands it over at once.
    const PATIENCE: Duration = Duration::from_secs(20);
    const POD: &str = "cni-8a1c6ad7-6a5c-4f0c-9a35-7fbb60cf6d0e";

    #[test]
    fn pods_networks_are_told_from_others() {
        for (name, is_a_pods) in [
            (POD, true),
            (&POD["cni-".len()..], true),
            ("cilium-health", false),
            ("blue", false),
            ("cni-8a1c6ad7-6a5c-4f0c-9a35+7fbb60cf6d0e", false),
            ("", false),
        ] {
            assert_eq!(ends_with_uuid(name), is_a_pods, "{name}");
        }
    }

    /// A thread in a network of its own plays the pod: nobody outside reaches who listens there.
    #[tokio::test]
    #[ignore = "needs root: make test runs it"]
    async fn a_socket_is_made_inside_of_a_pod_s_network() {
        if !real::is_root("enters a network namespace") {
            return;
        }
        let (told, of_pod) = mpsc::channel();
        let pod = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let up = ["link", "set", "lo", "up"];
            let up = std::process::Command::new("ip").args(up).status();
            assert!(up.unwrap().success());
            let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
            listener.set_read_timeout(Some(PATIENCE)).unwrap();
            let network = format!("/proc/self/task/{}/ns/net", nix::unistd::gettid());
            told.send((network, listener.local_addr().unwrap()))
                .unwrap();
            let mut heard = [0; 2];
            listener.recv(&mut heard).map(|_| heard)
        });
        let (network, address) = of_pod.recv().unwrap();
        let machine = testing::fake_machine(testing::worker());
        let files = &machine.cx.sys.files;
        machine.file("/run/netns/blue", "");
        machine.file(&format!("{NETWORKS}/{}", POD.replace('8', "0")), "");
        let sockets = connected_sockets(files, address).await;
        assert!(sockets.is_empty(), "no networks: {sockets:?}");
        std::os::unix::fs::symlink(&network, files.path(format!("{NETWORKS}/{POD}"))).unwrap();
        let (path, socket) = connected_sockets(files, address).await.remove(0);
        assert!(path.ends_with(POD));
        socket.unwrap().send(b"it").unwrap();
        assert_eq!(pod.join().unwrap().unwrap(), *b"it");
    }
}
