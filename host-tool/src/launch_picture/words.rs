//! Words and classes that the chart and the page have in common.

use std::time::Duration;

use ha_host_base::text::human_duration;

use super::story::Kind;

/// What the style sheet calls it.
pub fn kind_class(kind: Kind) -> &'static str {
    match kind {
        Kind::Boot => "boot",
        Kind::Wait => "wait",
        Kind::Work => "work",
    }
}

/// What a node does in it.
pub fn kind_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Boot => "boots",
        Kind::Wait => "waits",
        Kind::Work => "works",
    }
}

/// `3.4 s`, `41 s`, `3 min 5 s`.
pub fn short_span(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => human_duration(Duration::from_millis(ms)),
    }
}
