//! The permission to found: until when the founder may, judged by a clock that may have to be set first.

use std::time::Duration;

use ha_wire::phase::Phase;
use tracing::warn;

use crate::context::Context;
use crate::kube::{certs, cluster_ca};

/// The service that sets the clock on Flatcar, and what it makes once it has. Who has another one, or none, is not waited
/// for: a founder that waits at its gate judges anew when its clock has been set.
const TIME_SERVICE: &str = "systemd-timesyncd.service";
const CLOCK_IS_SET: &str = "/run/systemd/timesync/synchronized";
/// A machine boots with the clock of its board for some seconds; without a server of the time nobody ever sets it.
const CLOCK_SET_WITHIN: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// By this machine's clock as it is now.
pub fn is_valid(cx: &Context) -> bool {
    let founder = cx.node.founder;
    founder.is_some_and(|f| cx.sys.clock.now_ms() / 1000 < f.until)
}

/// The same; before it is judged to be over, the clock has a while to be set.
pub async fn is_valid_once_clock_is_set(cx: &Context) -> bool {
    let begin = cx.sys.clock.monotonic();
    while !is_valid(cx) {
        let waited = cx.sys.clock.monotonic().saturating_sub(begin);
        if waited > CLOCK_SET_WITHIN || !is_clock_unset(cx).await {
            warn_of_end(cx);
            return false;
        }
        let what =
            "this machine's clock to be set: by it the permission to found the cluster has ended";
        cx.report.waiting(Phase::Init, what, "");
        cx.sys.clock.sleep(POLL_INTERVAL).await;
    }
    true
}

async fn is_clock_unset(cx: &Context) -> bool {
    let state = cx.sys.systemd.active_state(TIME_SERVICE).await;
    state.is_ok_and(|state| state == "active") && !cx.sys.files.exists(CLOCK_IS_SET)
}

fn warn_of_end(cx: &Context) {
    let minutes = |since_ms: u64| cx.sys.clock.now_ms().saturating_sub(since_ms) / 60_000;
    let ended = cx.node.founder.map_or(0, |f| minutes(f.until * 1000));
    let question = keys_made_ms(cx).map_or_else(String::new, |made| {
        let made = minutes(made);
        format!("; the cluster's keys were made {made} min ago. Is this machine's clock ahead? (`timedatectl`)")
    });
    warn!(
        "by this machine's clock the permission to found the cluster ended {ended} min ago: this node joins{question}"
    );
}

/// When the cluster's keys were made; none: the certificate cannot be read, which the preflight names.
fn keys_made_ms(cx: &Context) -> Option<u64> {
    let (from_ms, _) = certs::validity_of_ms(&cluster_ca(cx).ok()?)?;
    let backdate = u64::try_from(ha_kube::authority::BACKDATE.whole_milliseconds()).ok()?;
    Some(from_ms + backdate)
}
