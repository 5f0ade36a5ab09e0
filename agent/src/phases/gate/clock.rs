//! Whether this machine's clock is the cluster's. What a node does that joins with another one fails later, and elsewhere.

use crate::context::Context;
use crate::kube::client::Client;
use crate::kube::error::ApiError;

/// Apiservers whose clocks are further apart refuse each other's tokens (go-jose's `DefaultLeeway`, a minute); from an hour on
/// they refuse the certificates that this node makes, too.
const APART_MS: u64 = 60_000;
/// For milliseconds in words.
const MINUTE_MS: u64 = 60_000;

/// What is wrong, in words; none: the two clocks are close, or the server does not tell its own.
pub async fn find_difference(cx: &Context, client: &Client) -> Result<Option<String>, ApiError> {
    let Some(theirs) = client.now_ms().await? else {
        return Ok(None);
    };
    let ours = cx.sys.clock.now_ms();
    let apart = ours.abs_diff(theirs);
    let way = if ours > theirs { "ahead of" } else { "behind" };
    let minutes = (apart + MINUTE_MS / 2) / MINUTE_MS;
    Ok((apart > APART_MS).then(|| {
        format!(
            "this machine's clock is {minutes} min {way} the cluster's: set the one that is wrong, or let it reach its time server"
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::testing::{Script, run_local, test_authority};
    use crate::testing;

    /// 2026-11-21T15:00:42Z.
    const THEIRS: &str = "Sat, 21 Nov 2026 15:00:42 GMT";
    const THEIRS_MS: u64 = 1_795_273_242_000;

    #[test]
    fn a_clock_that_is_more_than_a_minute_off_is_named_with_its_way() {
        run_local(async {
            let ca = test_authority("kubernetes");
            let script = Script::default();
            let base = format!("https://{}", script.serve(&ca).await);
            let client = Client::new(&base, ca.cert(), None).unwrap();
            let machine = testing::fake_machine(testing::control_plane());
            let see = async |ours: u64| {
                machine.clock.0.set(ours);
                find_difference(&machine.cx, &client).await.unwrap()
            };
            assert_eq!(see(0).await, None, "it does not tell its own");
            *script.date.borrow_mut() = THEIRS.to_owned();
            for near in [THEIRS_MS - APART_MS, THEIRS_MS, THEIRS_MS + APART_MS] {
                assert_eq!(see(near).await, None);
            }
            let ahead = see(THEIRS_MS + 7_199_000).await.unwrap();
            assert!(
                ahead.contains("is 120 min ahead of the cluster's"),
                "{ahead}"
            );
            let behind = see(THEIRS_MS - 61_000).await.unwrap();
            assert!(behind.contains("is 1 min behind the cluster's"), "{behind}");
        });
    }
}
