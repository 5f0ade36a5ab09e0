//! The segment between the nodes, with pretended nodes that speak frames.

use super::*;

/// A node's end of its cable, played by the test: no operating system, only frames.
struct FrameEndpoint {
    stream: UnixStream,
    mac: [u8; 6],
}

impl FrameEndpoint {
    fn new(fixture: &QemuFixture, name: &str, mac: u8) -> Self {
        let dir = fixture.provider.layout.node(name).0;
        files::make_dir(&dir).unwrap();
        // Socket names are limited, this directory's is longer.
        let short = operator_machine::shared_dir().join(name);
        let listener = UnixListener::bind(&short).unwrap();
        std::fs::rename(&short, dir.join(NodeDir::cable(0))).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mac = [0x52, 0x54, 0, 0, 0, mac];
        Self { stream, mac }
    }

    fn say(&mut self, frame: &[u8]) {
        self.stream
            .write_all(&(frame.len() as u32).to_be_bytes())
            .unwrap();
        self.stream.write_all(frame).unwrap();
    }

    fn hear(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        frame
    }

    /// Says who has the VIP: as an answer, or unasked as keepalived does.
    fn arp(&mut self, operation: u8, to: &[u8], asker: [u8; 4]) {
        let mut frame = [
            to,
            &self.mac,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation],
            &self.mac,
            &VIP,
        ]
        .concat();
        frame.extend([to, &asker].concat());
        frame.resize(60, 0);
        self.say(&frame);
    }

    /// Asks for the gateway and waits for its answer: then it has dealt with everything that was said before.
    fn settle(&mut self) {
        let me = [10, 77, 0, 200];
        let mut frame = [
            &[0xff; 6][..],
            &self.mac,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
            &self.mac,
            &me,
        ]
        .concat();
        frame.extend([0, 0, 0, 0, 0, 0, 10, 77, 0, 1]);
        frame.resize(60, 0);
        self.say(&frame);
        let answer =
            |frame: &[u8]| frame[12..14] == [8, 6] && frame[21] == 2 && frame[38..42] == me;
        while !answer(&self.hear()) {}
    }

    /// The Ethernet address that the next TCP packet is for; questions for the VIP are answered on the way, if `mine`.
    fn next_tcp(&mut self, mine: bool) -> Vec<u8> {
        loop {
            let frame = self.hear();
            match &frame[12..14] {
                [8, 0] if frame[23] == 6 => return frame[..6].to_vec(),
                [8, 6] if mine && frame[21] == 1 && frame[38..42] == VIP => {
                    let asker = [frame[28], frame[29], frame[30], frame[31]];
                    self.arp(2, &frame[22..28], asker);
                }
                _ => {}
            }
        }
    }
}

const VIP: [u8; 4] = [10, 77, 0, 30];

#[test]
#[ignore = "needs HA_OPERATOR"]
fn a_vip_moves() {
    operator_machine::run_in_operator_machine(false, || {
        let mut fixture = QemuFixture::new("vip");
        let more = "- {name: two, role: worker, address: 10.77.0.12}\n";
        fixture.text = fixture
            .text
            .replace("provider:", &format!("{more}provider:"));
        fixture.provider = fixture.second_provider();
        fixture.provider.prepare().unwrap();
        let there = fixture.provider.reach("10.77.0.30:6444".parse().unwrap());
        let (mut one, mut two) = (
            FrameEndpoint::new(&fixture, "one", 1),
            FrameEndpoint::new(&fixture, "two", 2),
        );
        // The gateway takes the connection by itself and then asks for the VIP.
        let _first = TcpStream::connect(there).unwrap();
        assert_eq!(one.next_tcp(true), one.mac, "the holder is found by asking");
        assert_eq!(
            two.next_tcp(false),
            one.mac,
            "a hub: everybody hears everything"
        );
        two.arp(1, &[0xff; 6], VIP);
        two.settle();
        let _next = TcpStream::connect(there).unwrap();
        assert_eq!(two.next_tcp(false), two.mac, "the old holder is forgotten");
        pull_cable(&fixture, &mut one, &mut two);
    });
}

/// A cable is pulled and plugged in again: what tests of partitions do.
fn pull_cable(fixture: &QemuFixture, one: &mut FrameEndpoint, two: &mut FrameEndpoint) {
    let frame = |number: u8| {
        [
            &[0xff; 6][..],
            &[0x52, 0x54, 0, 0, 0, 2],
            &[0x88, 0xb5, number],
            &[0; 45],
        ]
        .concat()
    };
    let marked = |frame: &[u8]| (frame[12..14] == [0x88, 0xb5]).then(|| frame[14]);
    fixture.monitor("set_link cable-one.0 off");
    two.say(&frame(1));
    two.settle();
    fixture.monitor("set_link cable-one.0 on");
    two.say(&frame(2));
    let first = std::iter::repeat_with(|| one.hear()).find_map(|frame| marked(&frame));
    assert_eq!(first, Some(2), "what was said meanwhile is lost, not late");
}
