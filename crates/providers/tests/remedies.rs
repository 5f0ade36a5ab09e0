//! What messages, comments and documents tell people to type exists.
#![allow(clippy::unwrap_used, reason = "this is a test, helpers included")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What is not ours, or made.
const PASSED_OVER: [&str; 4] = ["target", "out", ".git", "node_modules"];

#[test]
fn every_make_target_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let makefile = std::fs::read_to_string(root.join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0))
        .collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in texts_below(&root) {
        let text = std::fs::read_to_string(&file).unwrap();
        for order in make_orders(&text) {
            seen += 1;
            let unknown: Vec<&str> = named_targets(order)
                .filter(|word| !targets.contains(word))
                .collect();
            if !unknown.is_empty() {
                wrong.push(format!("{}: `make {order}`", file.display()));
            }
        }
    }
    assert!(seen > 10, "only {seen} were found at all");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_order_is_read_to_its_end() {
    let text = "call `make a b-c X=1` or\n`make d`, not make e";
    let orders: Vec<&str> = make_orders(text).collect();
    assert_eq!(orders, ["a b-c X=1", "d"]);
    assert_eq!(named_targets(orders[0]).collect::<Vec<_>>(), ["a", "b-c"]);
}

/// What follows `make` between two backquotes.
fn make_orders(text: &str) -> impl Iterator<Item = &str> {
    text.split("`make ")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('`')?.0))
}

fn named_targets(order: &str) -> impl Iterator<Item = &str> {
    let words = order.split_whitespace();
    words.filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
}

fn texts_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() && !PASSED_OVER.contains(&name.as_str()) {
            found.extend(texts_below(&path));
        }
        let text = [".rs", ".md", ".sh"].iter().any(|end| name.ends_with(end));
        if kind.is_file() && text && !path.ends_with("tests/remedies.rs") {
            found.push(path);
        }
    }
    found
}
