//! Whether the clock can be right: signatures of webhooks, certificates and the audit log's times depend on it.

use std::path::Path;

use super::Finding;
use crate::{
    config::Config,
    store::{self, UnixMs, list},
};

/// Written by the usual daemon once the clock has been set from the network.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// Later than any deployment of this version.
const LATEST: &str = "2100-01-01T00:00:00Z";
/// A difference that no two clocks of one machine have by chance.
const SLACK_MS: i64 = 300_000;
const REMEDY: &str = "set it: timedatectl set-ntp true, or date --set";

/// `model_date` is the day the model was made: it cannot be later now than then.
pub(super) fn check(model_date: Option<&str>, config: &Config) -> Vec<Finding> {
    vec![of_clock(UnixMs::now(), model_date, newest_job(config), Path::new(SYNCHRONISED).exists())]
}

fn of_clock(now: UnixMs, model_date: Option<&str>, newest_job: Option<UnixMs>, is_synchronised: bool) -> Finding {
    let made = model_date.and_then(|date| UnixMs::parse(&format!("{date}T00:00:00Z")).ok());
    if let Some(made) = made.filter(|made| now < *made) {
        return Finding::fail("clock", format!("{now} is before the model was made ({made})"), REMEDY);
    }
    if UnixMs::parse(LATEST).is_ok_and(|latest| now > latest) {
        return Finding::fail("clock", format!("{now} is too late to be true"), REMEDY);
    }
    if let Some(newest) = newest_job.filter(|newest| newest.0 > now.0.saturating_add(SLACK_MS)) {
        let what = format!("{now}, but the newest job is of {newest}: the clock was put back");
        return Finding::warn("clock", what, REMEDY);
    }
    let how = if is_synchronised { ", set from the network" } else { "" };
    Finding::ok("clock", format!("{now}{how}"))
}

/// When the newest job was accepted, where there is a store with one.
fn newest_job(config: &Config) -> Option<UnixMs> {
    let connection = store::open_readonly(&config.store.dir).ok()?;
    let newest = list::list(&connection, &list::Filter::default(), 1).ok()?;
    newest.first().map(|job| job.accepted_at)
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    #[test]
    fn clocks_that_cannot_be_right_are_named() {
        let at = |text: &str| UnixMs::parse(text).unwrap();
        let job = Some(at("2026-06-01T00:00:00Z"));
        for (now, newest_job, level, words) in [
            ("1970-01-01T00:00:05Z", None, Level::Fail, "before the model was made"),
            ("2101-01-01T00:00:00Z", None, Level::Fail, "too late"),
            ("2026-05-01T00:00:00Z", job, Level::Warn, "put back"),
            ("2026-06-01T00:00:00Z", job, Level::Ok, "2026-06-01"),
            ("2026-05-01T00:00:00Z", None, Level::Ok, "2026-05-01"),
        ] {
            let finding = of_clock(at(now), Some("2026-01-31"), newest_job, false);
            assert!(finding.level == level && finding.what.contains(words), "{now}: {finding:?}");
            assert_eq!(finding.remedy.is_some(), level != Level::Ok);
        }
    }
}
