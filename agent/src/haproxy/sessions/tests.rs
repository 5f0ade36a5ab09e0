use std::cell::RefCell;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::LocalSet;

use super::*;
use crate::render::haproxy::STATS_SOCKET;
use crate::testing;

fn server_in_state(state: &str, since: u64, check: &str, sessions: u64) -> Server {
    Server {
        name: "node2".into(),
        state: state.into(),
        since: Duration::from_secs(since),
        code: String::new(),
        check: check.into(),
        sessions,
    }
}

#[test]
fn a_busy_apiserver_keeps_its_sessions_and_a_lost_one_does_not() {
    for (state, since, check, sessions, lost) in [
        ("UP", 40, "L7OK", 3, false),
        // On its way down: one check failed.
        ("UP 1/2", 40, "L6TOUT", 3, false),
        ("DOWN", 2, "L6TOUT", 3, false),
        ("DOWN", 4, "L7TOUT", 3, false),
        ("DOWN", 4, "L7STS", 3, false),
        ("DOWN", 5, "L7TOUT", 3, true),
        ("DOWN", 5, "L7STS", 3, true),
        ("DOWN", 0, "L4TOUT", 3, false),
        ("DOWN", 1, "L4TOUT", 3, true),
        ("DOWN", 60, "L4CON", 0, false),
        ("MAINT", 60, "", 3, false),
    ] {
        let server = server_in_state(state, since, check, sessions);
        assert_eq!(is_lost(&server), lost, "{server:?}");
    }
}

/// haproxy's socket: tells the statistics and notes every other command.
async fn serve_stats_socket(
    listener: UnixListener,
    csv: String,
    answer: &str,
    heard: Rc<RefCell<Vec<String>>>,
) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut command = [0; 200];
        let length = stream.read(&mut command).await.unwrap();
        let command = String::from_utf8_lossy(&command[..length]);
        let text = match command.trim() {
            "show stat" => csv.as_str(),
            other => {
                heard.borrow_mut().push(other.into());
                answer
            }
        };
        stream.write_all(text.as_bytes()).await.unwrap();
    }
}

const CSV: &str = "# pxname,svname,scur,status,lastchg,check_status\n\
                   apiservers,node1,2,UP,40,L7OK\n\
                   apiservers,node2,1,DOWN,7,L6TOUT\n\
                   apiservers,node3,4,DOWN,3,L6TOUT\n\
                   apiservers,last-resort-node2,1,no check,,\n";

async fn cut_with(csv: &str, answer: &'static str) -> (anyhow::Result<()>, Vec<String>) {
    let machine = testing::fake_machine(testing::control_plane());
    machine.file("/run/haproxy/here", "");
    let listener = UnixListener::bind(machine.cx.sys.files.path(STATS_SOCKET)).unwrap();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let run = async {
        tokio::task::spawn_local(serve_stats_socket(
            listener,
            csv.into(),
            answer,
            heard.clone(),
        ));
        cut_lost_sessions("node2", &machine.cx.sys).await
    };
    let done = LocalSet::new().run_until(run).await;
    let heard = heard.take();
    (done, heard)
}

#[tokio::test]
async fn only_the_lost_ones_sessions_are_cut() {
    let (done, heard) = cut_with(CSV, "\n\n").await;
    done.unwrap();
    let both = "shutdown sessions server apiservers/node2;shutdown sessions server apiservers/last-resort-node2";
    assert_eq!(heard, [both]);
}

#[tokio::test]
async fn nothing_is_cut_while_there_is_nowhere_else_to_go() {
    let (done, heard) = cut_with(&CSV.replace(",UP,", ",DOWN,"), "\n").await;
    done.unwrap();
    assert_eq!(heard, [""; 0]);
}

#[tokio::test]
async fn a_refusal_is_no_success() {
    let (done, _) = cut_with(CSV, "Permission denied\n").await;
    assert!(format!("{:#}", done.unwrap_err()).contains("Permission denied"));
}
