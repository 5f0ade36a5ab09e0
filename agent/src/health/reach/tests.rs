use std::cell::RefCell;
use std::rc::Rc;

use ha_wire::paths::HEALTH_FILE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;
use crate::kube::testing::{Script, run_local, test_authority};
use crate::render::haproxy::STATS_SOCKET;
use crate::render::keepalived;
use crate::testing::{self, FakeMachine};

const DOWN: &str = "DOWN";
/// Longer than any patience here.
const LONG: u64 = 15_000;

#[test]
fn a_node_gives_up_after_two_looks_that_agree_and_comes_back_after_two() {
    use ReachOutcome::{NobodyIsBetter, NoneUp, PeerIsBetter, Reached};
    let mut reach = Reach::default();
    for (i, (seen, gives_up)) in [
        (NoneUp, false),
        (PeerIsBetter, false),
        (Reached, false),
        (PeerIsBetter, false),
        (NobodyIsBetter, false),
        (PeerIsBetter, false),
        (PeerIsBetter, true),
        (PeerIsBetter, true),
        (Reached, true),
        (PeerIsBetter, true),
        (Reached, true),
        (Reached, false),
        (PeerIsBetter, false),
        (PeerIsBetter, true),
        (NobodyIsBetter, true),
        (NobodyIsBetter, false),
    ]
    .into_iter()
    .enumerate()
    {
        reach = reach.after(seen);
        assert_eq!(reach.gives_up, gives_up, "after look {i}, {seen:?}");
    }
}

#[test]
fn peers_are_asked_after_five_seconds_without_any_apiserver() {
    let mut reach = Reach::default();
    for (ms, seen, due) in [
        (1_000, ReachOutcome::NoneUp, false),
        (5_900, ReachOutcome::NoneUp, false),
        (6_000, ReachOutcome::NoneUp, true),
        (6_500, ReachOutcome::NoneUp, true),
        (7_000, ReachOutcome::Reached, false),
        (7_500, ReachOutcome::NoneUp, false),
        (12_400, ReachOutcome::NoneUp, false),
        (12_500, ReachOutcome::NoneUp, true),
    ] {
        assert_eq!(reach.is_due(seen, Duration::from_millis(ms)), due, "{ms}");
    }
}

/// A control plane whose haproxy says this of its apiservers.
struct Holder {
    machine: FakeMachine,
    state: Rc<RefCell<&'static str>>,
}

impl Holder {
    fn begin(ca: &str, port: u16) -> Self {
        let mut node = testing::control_plane();
        node.endpoint.port = port;
        for (i, peer) in node.control_planes.iter_mut().enumerate() {
            peer.address = IpAddr::from([127, 7, 1, u8::try_from(i).unwrap() + 1]);
        }
        let machine = testing::fake_machine(node);
        machine.file(CA_CERT, ca);
        machine.file(HEALTH_FILE, "");
        machine.file("/run/haproxy/here", "");
        let state = Rc::new(RefCell::new(DOWN));
        let listener = UnixListener::bind(machine.cx.sys.files.path(STATS_SOCKET)).unwrap();
        let says = state.clone();
        tokio::task::spawn_local(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 100]).await;
                let state = *says.borrow();
                let csv = format!(
                    "# pxname,svname,scur,status,lastchg,check_status\n\
                     apiservers,node1,0,{state},40,L4TOUT\napiservers,node2,0,DOWN,40,L4CON\n"
                );
                let _ = stream.write_all(csv.as_bytes()).await;
            }
        });
        Self { machine, state }
    }

    fn says(&self) -> String {
        let files = &self.machine.cx.sys.files;
        files.read(HEALTH_FILE).unwrap().unwrap()
    }

    async fn watch_while(&self, story: impl Future<Output = ()>) {
        let sys = &self.machine.cx.sys;
        let claim = VipClaim::begin(&sys.files);
        tokio::select! {
            () = watch_reach(&self.machine.cx.node, sys, &claim) => {}
            () = story => {}
        }
    }

    /// Until this is said, or for long.
    async fn until(&self, word: &str) {
        let clock = &self.machine.cx.sys.clock;
        let begun = clock.now_ms();
        while self.says() != word && clock.now_ms() < begun + LONG {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// What `/readyz` says at this address; the port.
async fn serve_readyz(ca: &ha_kube::Authority, address: &str, status: u16) -> u16 {
    let apiserver = Script::default();
    apiserver.on("GET /readyz", status, "ok");
    apiserver.serve_at(ca, address).await.port()
}

#[test]
fn a_holder_without_any_apiserver_gives_way_to_a_peer_that_has_one_until_it_has_one_itself() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let port = serve_readyz(&ca, "127.7.1.3:0", 200).await;
        let holder = Holder::begin(ca.cert(), port);
        let story = async {
            holder.until(keepalived::SICK).await;
            assert_eq!(holder.says(), keepalived::SICK);
            *holder.state.borrow_mut() = "UP";
            holder.until(keepalived::FINE).await;
            assert_eq!(holder.says(), keepalived::FINE);
        };
        holder.watch_while(story).await;
    });
}

#[test]
fn nobody_gives_way_to_a_peer_that_is_no_better() {
    run_local(async {
        let ca = test_authority("kubernetes");
        let port = serve_readyz(&ca, "127.7.1.3:0", 503).await;
        let holder = Holder::begin(ca.cert(), port);
        holder.watch_while(holder.until(keepalived::SICK)).await;
        assert_eq!(holder.says(), keepalived::FINE, "the peer has none either");

        let stranger = test_authority("kubernetes");
        let port = serve_readyz(&stranger, "127.7.1.3:0", 200).await;
        let holder = Holder::begin(ca.cert(), port);
        holder.watch_while(holder.until(keepalived::SICK)).await;
        assert_eq!(
            holder.says(),
            keepalived::FINE,
            "the peer is another cluster's"
        );

        let port = serve_readyz(&ca, "127.7.1.3:0", 200).await;
        serve_readyz(&ca, &format!("127.0.0.1:{port}"), 200).await;
        let holder = Holder::begin(ca.cert(), port);
        holder.watch_while(holder.until(keepalived::SICK)).await;
        assert_eq!(
            holder.says(),
            keepalived::FINE,
            "an unchecked one answers here"
        );
    });
}
