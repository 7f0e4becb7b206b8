//! Where the time goes, on the real speech of `samples/`, one thread: `cargo bench`.
//!
//! Stages are run in turn, round by round, so that a machine whose speed drifts slows all of them alike; the shares
//! and ratios are what to compare, not the absolute times. The median round is printed.

use std::{hint::black_box, path::Path, sync::Arc, time::Instant};

use clonewatch::{
    decode::{Limits, first_channel_16k},
    model::{ModelBundle, embedded_files, embedded_light_files},
    policy::Policy,
    scan::Engine,
    screen::{GatedChunk, Screener, SpeechFront},
};

const ROUNDS: usize = 7;

fn main() {
    let model = Arc::new(ModelBundle::load(&embedded_files()).expect("the embedded bundle loads"));
    let light = Arc::new(ModelBundle::load(&embedded_light_files()).expect("the light bundle loads"));
    let policy = Policy::default_of(&model.manifest().thresholds);
    let engine = Engine { model: Arc::clone(&model), policy, limits: Limits::default() };
    println!("{:<28} {:>9} {:>18} {:>12}", "input", "seconds", "stage", "x real time");
    for name in
        ["spliced-podcast.mp3", "genuine-es-allison.m4a", "genuine-it-carlo.opus", "genuine-it-menardi.ulaw.wav"]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name);
        if path.is_file() {
            measure(&engine, &light, &path, name);
        }
    }
}

fn measure(engine: &Engine, light: &Arc<ModelBundle>, path: &Path, name: &str) {
    let samples = decode(path);
    let secs = samples.len() as f64 / 16_000.0;
    let features = |is_fine: bool| {
        let mut front = SpeechFront::new();
        let sink = |chunk: GatedChunk<'_>| {
            black_box(chunk.classes);
            if is_fine {
                black_box(chunk.fine_blocks());
            }
            Ok::<(), ()>(())
        };
        front.push(&samples, sink).expect("the sink never fails");
    };
    let judge = |model: &Arc<ModelBundle>| {
        let mut screener = Screener::new(Arc::clone(model));
        screener.push(&samples).expect("the network runs");
        black_box(screener.finish().expect("the network runs"));
    };
    let stages: [(&str, &dyn Fn()); 6] = [
        ("decode", &|| {
            black_box(decode(path));
        }),
        ("features", &|| features(false)),
        ("all features", &|| features(true)),
        ("with light network", &|| judge(light)),
        ("with network", &|| judge(&engine.model)),
        ("end to end", &|| {
            black_box(engine.scan_path(path, None).expect("the sample scans"));
        }),
    ];
    let mut times = vec![Vec::new(); stages.len()];
    for _ in 0..ROUNDS {
        for (stage, times) in stages.iter().zip(&mut times) {
            let start = Instant::now();
            stage.1();
            times.push(start.elapsed().as_secs_f64());
        }
    }
    for ((stage, _), times) in stages.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!("{name:<28} {secs:>9.1} {stage:>18} {:>12.0}", secs / times[ROUNDS / 2]);
    }
}

/// First channel at 16 kHz.
fn decode(path: &Path) -> Vec<f32> {
    let mut samples = Vec::new();
    let keep = |block: &[f32]| {
        samples.extend_from_slice(block);
        true
    };
    first_channel_16k(path, &Limits::default(), keep).expect("the sample decodes");
    samples
}
