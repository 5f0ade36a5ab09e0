use ha_test_support::real;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::*;
use crate::render::testing::{assert_golden, balancer_nodes};
use crate::render::validators::assert_haproxy_accepts;
use crate::testing;

#[test]
fn golden_files() {
    for (name, node) in balancer_nodes() {
        assert_golden(
            &format!("{name}.haproxy.cfg"),
            &render_config(&node, &node.control_planes),
        );
    }
}

#[test]
fn the_servers_are_read_back() {
    for (name, node) in balancer_nodes() {
        assert_eq!(
            parse_servers(&render_config(&node, &node.control_planes)),
            node.control_planes,
            "{name}"
        );
    }
    assert!(
        parse_servers("# the sysext's seed\nbackend web\n    server a 1.2.3.4:80 check\n")
            .is_empty()
    );
}

#[test]
fn haproxy_takes_it() {
    let render = |node: NodeFile| render_config(&node, &node.control_planes);
    let texts = balancer_nodes()
        .into_iter()
        .map(|(name, n)| (name.into(), render(n)));
    assert_haproxy_accepts(&texts.collect());
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// An apiserver on a starved machine: the kernel accepts the connection, and the handshake waits for a processor.
#[test]
fn a_check_s_handshake_has_the_time_of_the_whole_check() {
    let Some(haproxy) = real::program("haproxy", "haproxy") else {
        return;
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(place("ca.crt"), testing::ca_pem()).unwrap();
    let mut node = testing::founder();
    node.control_planes.truncate(1);
    node.control_planes[0].address = "127.0.0.1".parse().unwrap();
    let text = render_config(&node, &node.control_planes)
        .replace(CA, &place("ca.crt"))
        .replace("/run/haproxy", &place(""))
        .replace(
            &format!("bind :{}", node.endpoint.port),
            &format!("bind unix@{}", place("api.sock")),
        )
        .replace(
            &format!("127.0.0.1:{APISERVER_PORT}"),
            &format!("127.0.0.1:{port}"),
        );
    std::fs::write(place("haproxy.cfg"), text).unwrap();
    let haproxy = Command::new(haproxy)
        .args(["-db", "-f", &place("haproxy.cfg")])
        .spawn();
    let _running = Running(haproxy.unwrap());
    let took = first_timeout(&dir.path().join("stats.sock"));
    assert!(took >= 690, "the handshake got {took} ms");
}

/// How many milliseconds haproxy waited for the handshake of a check.
fn first_timeout(socket: &Path) -> u32 {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let mut csv = String::new();
        if let Ok(mut stats) = UnixStream::connect(socket) {
            stats.write_all(b"show stat\n").unwrap();
            stats.read_to_string(&mut csv).unwrap();
        }
        let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        let column = |name: &str| rows[0].iter().position(|column| *column == name).unwrap();
        let timeout = rows
            .iter()
            .find(|row| row.iter().any(|value| value.ends_with("L6TOUT")));
        if let Some(row) = timeout {
            return row[column("check_duration")].parse().unwrap();
        }
        assert!(Instant::now() < end, "no check ended:\n{csv}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
