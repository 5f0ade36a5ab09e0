//! `status` without a name: what there is.

use anyhow::Result;
use ha_host_base::exit::Exit;
use ha_host_base::text::{Paint, printable_line, shown_path};
use serde_json::json;

use crate::state::{ClusterRecord, StateRoot};

/// The version of the JSON below.
const VERSION: u32 = 1;

/// A record that cannot be read hides no other; exit code 1 if there is one.
pub fn print_clusters(root: &StateRoot, json: bool) -> Result<Exit> {
    let (mut known, mut unreadable) = (Vec::new(), Vec::new());
    for name in root.clusters() {
        match root.dir(&name).record() {
            Ok(record) => known.extend(record.map(|record| (name, record))),
            Err(error) => unreadable.push((name, format!("{error:#}"))),
        }
    }
    if json {
        let clusters: Vec<&ClusterRecord> = known.iter().map(|(_, record)| record).collect();
        let broken = |(name, error): &(String, String)| json!({"name": name, "error": error});
        let unreadable: Vec<_> = unreadable.iter().map(broken).collect();
        println!(
            "{}",
            json!({"version": VERSION, "clusters": clusters, "unreadable": unreadable})
        );
    } else {
        print_lines(root, &known, &unreadable);
    }
    Ok(if unreadable.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn print_lines(
    root: &StateRoot,
    known: &[(String, ClusterRecord)],
    unreadable: &[(String, String)],
) {
    if known.is_empty() && unreadable.is_empty() {
        println!("no clusters; `ha-host new` writes a cluster file to start from");
    }
    for (name, record) in known {
        let place = shown_path(root.dir(name).path());
        println!("{:<20} {:<20} {place}", record.name, record.life.label());
    }
    let paint = Paint::stdout();
    for (name, error) in unreadable {
        // Padded before it is painted: colours have no width.
        let word = paint.red(&format!("{:<20}", "not readable"));
        println!(
            "{:<20} {word} {}",
            printable_line(name),
            printable_line(error)
        );
    }
}
