//! How long to wait before the next attempt: doubling, bounded, jittered. Pure.

use std::time::Duration;

/// The first wait: most first failures are a neighbour that is not up yet, and the launch counts seconds.
pub const FIRST: Duration = Duration::from_millis(500);
/// The longest wait: a cause that was mended must not wait longer than this to be noticed.
pub const LONGEST: Duration = Duration::from_secs(15);

/// The wait after failed attempt `attempt` (1 at first). `random` in 0..1 spreads it over the upper half of the
/// bounded, doubling base, so that nodes that failed together do not come back together.
pub fn retry_delay(attempt: u32, random: f64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let base = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    spread_pause(base, random)
}

/// A pause of about this length, the upper half of which is drawn: who waits for the same thing does not ask at the same time.
pub fn spread_pause(period: Duration, random: f64) -> Duration {
    period.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_bounded_on_both_sides(attempt: u32, random in 0.0..1.0_f64) {
            let delay = retry_delay(attempt, random);
            prop_assert!(delay >= FIRST / 2 && delay <= LONGEST);
        }

        #[test]
        fn never_shrinks_with_the_attempts(attempt in 0..1000_u32, random in 0.0..1.0_f64) {
            prop_assert!(retry_delay(attempt, random) <= retry_delay(attempt + 1, random));
        }

        #[test]
        fn a_pause_is_never_longer_than_its_period(ms in 0..100_000_u64, random in 0.0..1.0_f64) {
            let period = Duration::from_millis(ms);
            let pause = spread_pause(period, random);
            prop_assert!(pause <= period && pause * 2 >= period);
        }

        #[test]
        fn jitter_stays_within_the_upper_half(attempt: u32) {
            prop_assert!(retry_delay(attempt, 0.0) * 2 >= retry_delay(attempt, 1.0));
        }
    }
}
