//! Named places where a test build can be cut off, as by a power cut, or a thread be held, as one that gets no processor.

/// Names the place to be cut at; debug builds only.
#[cfg(debug_assertions)]
const VARIABLE: &str = "HA_HOST_FAILPOINT";

/// Ends the process without any clean-up if this place is named (`NAME` or, for its n-th time, `NAME:n`). `NAME:hold` holds the
/// thread for ever.
#[cfg(debug_assertions)]
pub fn hit(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static HITS: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var(VARIABLE) else {
        return;
    };
    let (place, nth) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if place == name && nth == "hold" {
        loop {
            std::thread::park();
        }
    }
    if place == name && HITS.fetch_add(1, Ordering::Relaxed) + 1 == nth.parse().unwrap_or(1) {
        std::process::abort();
    }
}

/// Nothing in a release build.
#[cfg(not(debug_assertions))]
pub fn hit(_name: &str) {}
