//! Words and classes that the chart and the page have in common.

use std::time::Duration;

use ha_host_base::text::human_duration;

use super::story::StretchKind;

/// What the style sheet calls it.
pub fn kind_class(kind: StretchKind) -> &'static str {
    match kind {
        StretchKind::Boot => "boot",
        StretchKind::Wait => "wait",
        StretchKind::Work => "work",
    }
}

/// What a node does in it.
pub fn kind_words(kind: StretchKind) -> &'static str {
    match kind {
        StretchKind::Boot => "boots",
        StretchKind::Wait => "waits",
        StretchKind::Work => "works",
    }
}

/// `3.4 s`, `41 s`, `3 min 5 s`.
pub fn short_span(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => human_duration(Duration::from_millis(ms)),
    }
}
