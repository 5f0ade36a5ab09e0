//! Random numbers.

use anyhow::{Context as _, Result};

/// In 0..1; good enough to spread load, useless for secrets.
pub fn random_fraction() -> f64 {
    fastrand::f64()
}

/// Tells a question's answer from others.
pub fn random_id() -> u16 {
    fastrand::u16(..)
}

/// So many of these, or all if there are fewer.
pub fn some_of<T>(all: Vec<T>, at_most: usize) -> Vec<T> {
    fastrand::choose_multiple(all, at_most)
}

/// From the kernel, good for secrets.
pub fn secret_bytes<const LENGTH: usize>() -> Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).context("the kernel gives no random bytes")?;
    Ok(bytes)
}
