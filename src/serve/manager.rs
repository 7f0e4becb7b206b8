//! The service manager's side: readiness, reloads, the watchdog. Without one, all of it does nothing.

use std::{sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, warn};

use super::core::Core;
use crate::store::audit;

pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "no monotonic clock"),
    }
}

pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager cannot be told");
    }
}

/// Feeds the watchdog for as long as the store answers and no worker is stuck. Ends with the daemon.
pub(super) async fn watchdog(core: Arc<Core>) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return core.stopping().await };
    let mut ticks = interval(limit / 4);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = core.stopping() => return,
        }
        let stall = core.pulse.longest_stall();
        let store = timeout(limit / 4, core.store.read(|c| audit::head(c).map(drop))).await;
        if stall < limit / 2 && matches!(store, Ok(Ok(()))) {
            tell(&[NotifyState::Watchdog]);
        } else {
            error!(stall_secs = stall.as_secs(), store_answers = store.is_ok(), "stuck: the watchdog is not fed");
        }
    }
}

/// While the drain lasts, the service manager must not lose patience.
pub(super) fn extend(by: Duration) {
    tell(&[NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))]);
}
