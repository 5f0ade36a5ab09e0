//! A logind on a bus of the test's own says that the machine goes down, and sees who still delays it.

use std::io::{PipeReader, Read as _};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use ha_test_support::real;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::LocalSet;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedFd};

use super::*;
use crate::render::haproxy::STATS_SOCKET;
use crate::sys::testing::PrivateBus;
use crate::testing::{self, FakeMachine};

/// Hands out delays; whoever holds the other end sees when one ends.
struct FakeLogind(Sender<PipeReader>);

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl FakeLogind {
    fn inhibit(&self, what: &str, _who: &str, _why: &str, mode: &str) -> OwnedFd {
        assert_eq!((what, mode), ("shutdown", "delay"));
        let (watch, lock) = std::io::pipe().unwrap();
        self.0.send(watch).unwrap();
        std::os::fd::OwnedFd::from(lock).into()
    }

    #[zbus(signal)]
    async fn prepare_for_shutdown(emitter: &SignalEmitter<'_>, begins: bool) -> zbus::Result<()>;
}

const LOGIND: (&str, &str) = ("org.freedesktop.login1", "/org/freedesktop/login1");
const NFT: &str = "run nft";

async fn send_prepare_for_shutdown(logind: &Connection, begins: bool) {
    let emitter = SignalEmitter::new(logind, LOGIND.1).unwrap();
    FakeLogind::prepare_for_shutdown(&emitter, begins)
        .await
        .unwrap();
}

/// Until it is so.
async fn poll_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{what}: not after 20 s"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The end of a delay: its last copy was closed.
async fn wait_for_release(mut delay: PipeReader) {
    tokio::task::spawn_blocking(move || delay.read_to_end(&mut Vec::new()))
        .await
        .unwrap()
        .unwrap();
}

fn health_word(machine: &FakeMachine) -> String {
    let text = machine.cx.sys.files.read(paths::HEALTH_FILE).unwrap();
    text.unwrap_or_default()
}

/// A control plane that holds the VIP: the loopback address is always there.
fn node_with_vip() -> NodeFile {
    let mut node = testing::control_plane();
    node.endpoint.vip = "127.0.0.1".parse().unwrap();
    node
}

async fn with_logind(
    node: NodeFile,
    story: impl AsyncFnOnce(&FakeMachine, &Connection, &Receiver<PipeReader>),
) {
    let machine = testing::fake_machine(node);
    machine.commands.succeed("nft");
    machine.file(paths::HEALTH_FILE, keepalived::FINE);
    let Some(bus) = PrivateBus::start(&machine.cx.sys.files) else {
        return;
    };
    let (given, delays) = channel();
    let logind = bus.serve(LOGIND.0, LOGIND.1, FakeLogind(given)).await;
    let local = LocalSet::new();
    let task = local.spawn_local(prepare_shutdowns(machine.cx.clone()));
    local.run_until(story(&machine, &logind, &delays)).await;
    task.abort();
}

#[tokio::test]
async fn the_holder_closes_its_door_gives_the_vip_away_and_only_then_lets_the_machine_go() {
    with_logind(node_with_vip(), async |machine, logind, delays| {
        let delay = poll_until("a delay", || delays.try_recv().ok()).await;
        assert_eq!(machine.orders(), [""; 0], "nothing happens before the word");
        send_prepare_for_shutdown(logind, true).await;
        wait_for_release(delay).await;
        let orders = machine.orders();
        assert!(
            orders.len() == 1 && orders[0].starts_with("run nft -f "),
            "{orders:?}"
        );
        assert_eq!(health_word(machine), keepalived::SICK);
        // Called off: the door is open again, and the next word is waited for.
        send_prepare_for_shutdown(logind, false).await;
        let delay = poll_until("another delay", || delays.try_recv().ok()).await;
        assert_eq!(machine.orders(), [format!("{NFT} delete table ip {TABLE}")]);
        send_prepare_for_shutdown(logind, true).await;
        wait_for_release(delay).await;
    })
    .await;
}

/// haproxy's statistics, with one session less at each question until `lasting` are left.
async fn serve_sessions(machine: &FakeMachine, mut open: u64, lasting: u64) {
    let socket = machine.cx.sys.files.path(STATS_SOCKET);
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let row = format!("apiservers,node1,{open},UP,40,L7OK");
        let csv = format!("# pxname,svname,scur,status,lastchg,check_status\n{row}\n");
        let mut question = [0; 64];
        assert!(client.read(&mut question).await.unwrap() > 0);
        client.write_all(csv.as_bytes()).await.unwrap();
        open = open.saturating_sub(1).max(lasting);
    }
}

#[tokio::test]
async fn requests_that_are_in_get_their_answers_and_watches_are_not_waited_for() {
    // Every look takes 10 ms of the fake clock, and the last of the answers is waited for.
    for (open, lasting, least, most) in [(30, 3, 400, 500), (3, 3, 150, 200), (500, 0, 800, 810)] {
        let machine = testing::fake_machine(node_with_vip());
        let begun = machine.cx.sys.clock.monotonic();
        tokio::select! {
            () = serve_sessions(&machine, open, lasting) => {}
            () = wait_for_answers(&machine.cx) => {}
        }
        let took = (machine.cx.sys.clock.monotonic() - begun).as_millis();
        assert!(
            (least..=most).contains(&took),
            "{open} to {lasting}: {took} ms"
        );
    }
}

#[tokio::test]
async fn who_does_not_hold_the_vip_leaves_the_health_file_alone() {
    with_logind(testing::control_plane(), async |machine, logind, delays| {
        let delay = poll_until("a delay", || delays.try_recv().ok()).await;
        send_prepare_for_shutdown(logind, true).await;
        wait_for_release(delay).await;
        assert_eq!(machine.orders().len(), 1);
        assert_eq!(health_word(machine), keepalived::FINE);
    })
    .await;
}

#[tokio::test]
async fn a_control_plane_alone_and_a_worker_delay_nothing() {
    let mut alone = testing::founder();
    alone.control_planes.truncate(1);
    for node in [alone, testing::worker()] {
        let machine = testing::fake_machine(node);
        prepare_shutdowns(machine.cx.clone()).await;
    }
}

#[test]
fn the_rules_are_these_and_the_real_nft_takes_them() {
    let text = render_rules(&testing::control_plane());
    assert_eq!(
        text,
        "table ip ha_agent_shutdown {
    chain input {
        type filter hook input priority -200; policy accept;
        ip daddr 10.77.0.30 tcp flags & (syn | ack) == syn drop
        iifname != \"lo\" tcp dport 6443 tcp flags & (syn | ack) == syn reject with tcp reset
    }
}
"
    );
    let of_machine = render_rules(&testing::balancer_machine());
    assert!(of_machine.contains("10.77.0.30") && !of_machine.contains("6443"));
    let outside = render_rules(&testing::behind_external(testing::control_plane()));
    assert!(
        !outside.contains("daddr") && outside.contains("dport 6443"),
        "{outside}"
    );
    let mut six = testing::control_plane();
    (six.endpoint.port, six.endpoint.apiserver_port) = (6443, 6444);
    assert!(
        render_rules(&six).contains(" dport 6444 "),
        "haproxy's is not the apiserver's"
    );
    six.endpoint.vip = "fd00::30".parse().unwrap();
    let needed = (
        real::require_program("nft", "nftables"),
        real::own_network(),
    );
    let (Some(nft), Some(mut in_namespace)) = needed else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let all = [
        ("four", text),
        ("six", render_rules(&six)),
        ("machine", of_machine),
    ];
    for (name, text) in all {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let script = r#"cd "$1"; "$2" -f four; "$2" -f six; "$2" delete table ip ha_agent_shutdown; "$2" -f machine; "$2" delete table ip ha_agent_shutdown; "$2" delete table ip6 ha_agent_shutdown"#;
    in_namespace
        .args(["sh", "-ec", script, "sh"])
        .arg(dir.path())
        .arg(nft);
    let out = in_namespace.output().unwrap();
    assert!(out.status.success(), "{out:?}");
}
