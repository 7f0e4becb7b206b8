//! How many calls this machine can judge: the whole way from samples to evidence, timed for a moment on one thread.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Finding;
use crate::{
    error::{Error, Result},
    model::{ModelBundle, embedded_files},
    screen::Screener,
};

/// Speech that is heard at once: long enough that start and end do not count.
const ROUND_SAMPLES: usize = 16_000 * 12;
/// How long is measured, after a first round that is not counted.
const MEASURED: Duration = Duration::from_millis(1_500);
/// Below this a core does not keep up with a handful of calls.
const FEW: f64 = 10.0;

pub(super) fn check(model: &Arc<ModelBundle>, workers: usize) -> Result<Finding> {
    let speech = speech()?;
    hear(model, &speech)?;
    let (started, mut heard_secs) = (Instant::now(), 0.0);
    while started.elapsed() < MEASURED {
        hear(model, &speech)?;
        heard_secs += speech.len() as f64 / 16_000.0;
    }
    let factor = heard_secs / started.elapsed().as_secs_f64();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = workers.min(cores);
    let calls = (factor * threads as f64 * 0.8).floor();
    let what = format!(
        "one thread judges speech at {factor:.0} × real time; {threads} on {cores} cores keep up with about {calls:.0} \
         channels of live speech (a fifth kept free), or {calls:.0} hours of recordings an hour"
    );
    Ok(if factor < FEW {
        let remedy = "is the machine busy, or throttled? In a virtual machine, pass the host's CPU model through";
        Finding::warn("capacity", what, remedy)
    } else {
        Finding::ok("capacity", what)
    })
}

/// The built-in bundle's own recording, repeated.
fn speech() -> Result<Vec<f32>> {
    let fault = |e: String| Error::Fault(format!("golden.wav: {e}"));
    let files = embedded_files();
    let wav = files.get("golden.wav").ok_or_else(|| fault("missing".into()))?;
    let reader = hound::WavReader::new(std::io::Cursor::new(wav)).map_err(|e| fault(e.to_string()))?;
    let samples: Vec<f32> = reader
        .into_samples::<i16>()
        .map(|sample| sample.map(|sample| f32::from(sample) / 32_768.0))
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| fault(e.to_string()))?;
    Ok(samples.iter().copied().cycle().take(ROUND_SAMPLES).collect())
}

fn hear(model: &Arc<ModelBundle>, speech: &[f32]) -> Result<()> {
    let mut screener = Screener::new(Arc::clone(model));
    screener.push(speech).and_then(|()| screener.finish()).map(drop).map_err(|e| Error::Fault(e.to_string()))
}
