//! How much comes of how little.

use super::*;
use crate::file::ClusterFile;

/// Bytes of texts and keys that a tree holds.
fn held_bytes(node: &YamlNode) -> usize {
    match &node.value {
        Value::Empty => 0,
        Value::Scalar { text, .. } => text.len(),
        Value::List(items) => items.iter().map(held_bytes).sum(),
        Value::Map(entries) => {
            let entry = |(key, value): &(Key, YamlNode)| key.name.len() + held_bytes(value);
            entries.iter().map(entry).sum()
        }
    }
}

/// Bytes that the faults of a text hold before anything is shown.
fn fault_bytes(faults: &[Fault]) -> usize {
    let bytes = |f: &Fault| f.path.len() + f.message.len() + f.help.len();
    faults.iter().map(bytes).sum()
}

#[test]
fn a_text_counts_as_often_as_aliases_repeat_it() {
    for aliases in [1_000, 20_000, 200_000] {
        let text = format!(
            "a: &a {}\nb: [{}]\n",
            "x".repeat(20_000),
            "*a,".repeat(aliases)
        );
        let mut faults = Vec::new();
        let held = parse_yaml(&text, &mut faults).map_or(0, |node| held_bytes(&node));
        assert!(
            held <= expansion::MAX_BYTES,
            "{aliases}: {held} bytes of {}",
            text.len()
        );
        let told: Vec<_> = faults.iter().map(|f| f.message.as_str()).collect();
        match aliases {
            1_000 => assert_eq!((held, told.len()), (20_000 * 1_001 + 2, 0), "{told:?}"),
            _ => assert_eq!(
                told,
                ["more than 64 MiB of texts and their paths in the file, aliases expanded"]
            ),
        }
    }
}

#[test]
fn paths_count_as_often_as_they_are_written() {
    // A hundred lists of three hundred words, ten long keys down: each word would be told with its path.
    let words = format!("w: &w [{}]\n", "yes,".repeat(300));
    let lists = format!("l: &l [{}]\n", "*w,".repeat(100));
    let mut below = "*l".to_owned();
    for _ in 0..10 {
        below = format!("{{{}: {below}}}", "k".repeat(400));
    }
    let text = format!("{words}{lists}kubernetes: {{kubeletConfig: {below}}}\n");
    let (_, faults) = ClusterFile::read(&text);
    let bytes = fault_bytes(&faults);
    assert!(
        bytes <= 3 * expansion::MAX_BYTES,
        "{bytes} bytes of {} faults of a file of {}",
        faults.len(),
        text.len()
    );
}

#[test]
fn an_alias_costs_what_it_repeats_where_it_stands() {
    let spent = |text: &str| {
        let mut faults = Vec::new();
        let mut builder = TreeBuilder::new(text, &mut faults);
        assert!(builder.document().is_ok());
        (builder.spent.nodes, builder.spent.bytes)
    };
    // Root; key `a` and its value of two bytes at path `a`.
    assert_eq!(spent("a: xy"), (3, 1 + 2 + 1));
    // And key `bcd`, the alias and its value at path `bcd`.
    assert_eq!(spent("a: &a xy\nbcd: *a"), (3 + 3, 4 + 3 + 3 + 2 + 3));
    // The list's two paths are `a` and `a[0]`, then `bcd` (the alias and the list) and `bcd[0]`.
    assert_eq!(spent("a: &a [xy]\nbcd: *a"), (4 + 4, 8 + 3 + 3 + 3 + 2 + 6));
}

#[test]
fn anchors_in_anchors_count_each_time() {
    // Each of the lists holds all of the text once more.
    let text = format!(
        "{}[{}]{}",
        "&a [".repeat(20),
        "x".repeat(4 << 20),
        "]".repeat(20)
    );
    let mut faults = Vec::new();
    assert!(parse_yaml(&text, &mut faults).is_none());
    assert!(
        faults[0].message.starts_with("more than 64 MiB"),
        "{faults:?}"
    );
}

#[test]
fn a_file_that_is_too_large_is_one_fault() {
    let comment = "# a comment\n";
    let text = comment.repeat(MAX_FILE_BYTES / comment.len() + 1);
    let (_, faults) = ClusterFile::read(&text);
    let told: Vec<_> = faults.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(told, ["the file is larger than 16 MiB"]);
}
