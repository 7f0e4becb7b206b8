//! The bench's table.

use super::caller::Measured;

pub(super) const HEAD: &str = "calls  verdicts  refresh s  p50 ms  p99 ms  first p99 ms  skipped %  CPU ms/s per call  cores busy  MiB per call  sent late ms";

pub(super) const LEGEND: &str = "\
verdicts: how many came while it was measured; refresh: slowest pace of verdicts that the daemon chose; p50, p99: from sending the
last audio of a verdict to having it; first: the same of first verdicts; skipped: audio
that was not screened; sent late: worst delay of the bench's own callers, who share the machine.";

/// One line of the table.
pub(super) fn row(measured: &Measured) -> String {
    let Measured { calls, before, from, to, .. } = measured;
    let wall_secs = to.at.duration_since(from.at).as_secs_f64();
    let cpu_secs = to.cpu_secs - from.cpu_secs;
    let audio_secs = to.audio_secs - from.audio_secs;
    let skipped_secs = to.skipped_secs - from.skipped_secs;
    let ms = |secs: Option<f64>| secs.map_or_else(|| "-".to_owned(), |secs| format!("{:.0}", secs * 1e3));
    let latencies = sorted(&measured.latencies_secs);
    let first = sorted(&measured.first_secs);
    format!(
        "{calls:>5}  {:>8}  {:>9}  {:>6}  {:>6}  {:>12}  {:>9.2}  {:>17.1}  {:>10.2}  {:>12.2}  {:>12.0}",
        latencies.len(),
        to.refresh_secs,
        ms(quantile(&latencies, 0.5)),
        ms(quantile(&latencies, 0.99)),
        ms(quantile(&first, 0.99)),
        100.0 * skipped_secs / (audio_secs + skipped_secs).max(1e-9),
        1e3 * cpu_secs / wall_secs / *calls as f64,
        cpu_secs / wall_secs,
        (to.rss_bytes - before.rss_bytes) / *calls as f64 / f64::from(1 << 20),
        measured.worst_sending_secs * 1e3,
    )
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which `share` of the sorted ones lie.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((share * last as f64).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_members() {
        let values = sorted(&[3.0, 1.0, 2.0]);
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99), quantile(&[], 0.5)), (Some(2.0), Some(3.0), None));
    }
}
