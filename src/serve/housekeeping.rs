//! What is over its time is purged, every few minutes: kept audio, old results, idempotency keys, delivered events.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use super::core::Core;
use crate::{
    config::Retention,
    store::{
        Result, UnixMs,
        jobs::{self, Expiry},
        outbox,
    },
};

const EVERY: Duration = Duration::from_secs(300);
const HOUR_MS: i64 = 3_600_000;
/// Days that delivered events stay to be looked at.
const DELIVERED_DAYS: i64 = 7;

/// Purges until the daemon stops.
pub(super) async fn run(core: Arc<Core>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = core.stopping() => return,
        }
        if let Err(error) = purge(&core).await {
            error!(%error, "what is over its time could not be purged");
        }
    }
}

async fn purge(core: &Core) -> Result<()> {
    let now = UnixMs::now();
    let expiry = expiry(&core.in_force().config.retention, now);
    let audio = core
        .store
        .write(move |tx| {
            outbox::purge(tx, now.minus(DELIVERED_DAYS * 24 * HOUR_MS))?;
            jobs::purge(tx, &expiry, now)
        })
        .await?;
    for id in &audio {
        core.store.spool().remove(id);
    }
    if !audio.is_empty() {
        info!(scans = audio.len(), "purged what is over its time");
    }
    Ok(())
}

fn expiry(retention: &Retention, now: UnixMs) -> Expiry {
    let days_ago = |days: u32| now.minus(i64::from(days) * 24 * HOUR_MS);
    Expiry {
        audio_before: days_ago(retention.flagged_audio_days),
        results_before: (retention.results_days > 0).then(|| days_ago(retention.results_days)),
        keys_before: now.minus(i64::from(retention.idempotency_hours) * HOUR_MS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_back_from_now() {
        let now = UnixMs(100 * 24 * HOUR_MS);
        let none = expiry(&Retention::default(), now);
        assert_eq!((none.audio_before, none.results_before), (now, None));
        let retention = Retention { flagged_audio_days: 30, results_days: 90, idempotency_hours: 24 };
        let some = expiry(&retention, now);
        assert_eq!(some.audio_before, UnixMs(70 * 24 * HOUR_MS));
        assert_eq!(some.results_before, Some(UnixMs(10 * 24 * HOUR_MS)));
        assert_eq!(some.keys_before, UnixMs(99 * 24 * HOUR_MS));
    }
}
