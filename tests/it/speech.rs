//! The speech gate on signals made here: what is speech, what is not, and the quality figures of known mixes.

use std::{f32::consts::TAU, io::Cursor, process::Command};

use clonewatch::{
    features::CHUNK_FRAMES,
    speech::{FrameClass, Quality, SpeechGate},
};
use proptest::prelude::*;
use realfft::RealFftPlanner;

const RATE_HZ: f32 = 16_000.0;
const BINS: usize = 201;
const SECS: f32 = 6.0;

/// White noise from a xorshift generator, uniform in ±1: the same samples everywhere.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as f32 / u32::MAX as f32 * 2.0 - 1.0
    }

    fn samples(secs: f32) -> Vec<f32> {
        let mut noise = Self(0x9e37_79b9);
        (0..(secs * RATE_HZ) as usize).map(|_| noise.next()).collect()
    }
}

/// Two-pole resonance that runs along with its signal.
#[derive(Default)]
struct Resonance {
    y1: f32,
    y2: f32,
}

impl Resonance {
    fn run(&mut self, x: f32, centre_hz: f32, width_hz: f32) -> f32 {
        let radius = (-std::f32::consts::PI * width_hz / RATE_HZ).exp();
        let y =
            (1.0 - radius) * x + 2.0 * radius * (TAU * centre_hz / RATE_HZ).cos() * self.y1 - radius * radius * self.y2;
        self.y2 = std::mem::replace(&mut self.y1, y);
        y
    }
}

/// Speech-like: four syllables a second, each a fricative, a vowel that glides in pitch and formants, and a stop gap; a
/// pause after every sixth syllable.
fn babbling(secs: f32, f0_hz: f32) -> Vec<f32> {
    const VOWELS_HZ: [[f32; 3]; 5] =
        [[730., 1090., 2440.], [270., 2290., 3010.], [300., 870., 2240.], [530., 1840., 2480.], [570., 840., 2410.]];
    let mut noise = Noise(12_345);
    let mut formants: [Resonance; 3] = Default::default();
    let (mut hiss, mut phase) = (Resonance::default(), 0.0f32);
    let sample = |i: usize| {
        let at = i as f32 / RATE_HZ * 4.0;
        let (syllable, within) = (at as usize, at.fract());
        let pause = syllable % 7 == 6;
        let (from, to) = (VOWELS_HZ[syllable % 5], VOWELS_HZ[(syllable * 3 + 1) % 5]);
        let pitch_hz = f0_hz * (1.0 + 0.15 * (TAU * at / 6.0).sin() + 0.1 * (0.5 - within));
        phase = (phase + pitch_hz / RATE_HZ).fract();
        let voicing =
            if (0.3..0.85).contains(&within) && !pause { (TAU / 2.0 * (within - 0.3) / 0.55).sin() } else { 0.0 };
        let friction =
            if (0.02..0.28).contains(&within) && !pause { (TAU / 2.0 * (within - 0.02) / 0.26).sin() } else { 0.0 };
        let source = (1.0 - 2.0 * phase) * voicing;
        let vowel: f32 = (0..3)
            .map(|n| {
                let centre_hz = from[n] + (to[n] - from[n]) * within;
                formants[n].run(source, centre_hz, 80.0 + 40.0 * n as f32) * [1.0, 0.7, 0.4][n]
            })
            .sum();
        0.6 * vowel + 0.15 * hiss.run(friction * noise.next(), 5_500.0, 3_000.0) + 0.02 * friction * noise.next()
    };
    normalise((0..(secs * RATE_HZ) as usize).map(sample).collect())
}

fn normalise(mut samples: Vec<f32>) -> Vec<f32> {
    let peak = samples.iter().fold(1e-9f32, |peak, x| peak.max(x.abs()));
    samples.iter_mut().for_each(|x| *x *= 0.9 / peak);
    samples
}

/// Lines at the frequencies, keyed on and off.
fn tones(lines_hz: &[f32], on_secs: f32, off_secs: f32) -> Vec<f32> {
    let sample = |i: usize| {
        let t = i as f32 / RATE_HZ;
        let keyed = t % (on_secs + off_secs) < on_secs;
        if keyed { lines_hz.iter().map(|f| 0.3 * (TAU * f * t).sin()).sum() } else { 0.0 }
    };
    mix(&(0..(SECS * RATE_HZ) as usize).map(sample).collect::<Vec<_>>(), &Noise::samples(SECS), 30.0)
}

/// DTMF digits of `secs` each with pauses as long, ITU-T Q.23.
fn dtmf(secs: f32) -> Vec<f32> {
    const LOW_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
    const HIGH_HZ: [f32; 3] = [1209.0, 1336.0, 1477.0];
    let sample = |i: usize| {
        let t = i as f32 / RATE_HZ;
        let step = (t / secs) as usize;
        let line = |f: f32| 0.4 * (TAU * f * t).sin();
        if step.is_multiple_of(2) { line(LOW_HZ[step / 2 % 4]) + line(HIGH_HZ[step / 2 % 3]) } else { 0.0 }
    };
    mix(&(0..(SECS * RATE_HZ) as usize).map(sample).collect::<Vec<_>>(), &Noise::samples(SECS), 30.0)
}

/// Plucked chords, `per_sec` of them, each of three notes of eight harmonics that die away.
fn plucked(per_sec: f32) -> Vec<f32> {
    const ROOTS_HZ: [f32; 4] = [220.0, 261.6, 196.0, 293.7];
    let sample = |i: usize| {
        let t = i as f32 / RATE_HZ;
        let (step, since) = ((t * per_sec) as usize, (t * per_sec).fract() / per_sec);
        let note = |f0: f32| {
            (1..=8u8).map(f32::from).map(|h| (TAU * f0 * h * since).sin() / h * (-since * h).exp()).sum::<f32>()
        };
        [1.0, 1.26, 1.5].into_iter().map(|ratio| 0.1 * note(ROOTS_HZ[step % 4] * ratio)).sum()
    };
    mix(&(0..(SECS * RATE_HZ) as usize).map(sample).collect::<Vec<_>>(), &Noise::samples(SECS), 40.0)
}

/// Bursts of noise, `per_sec` of them, that die away.
fn drummed(per_sec: f32) -> Vec<f32> {
    let beat = |(i, x): (usize, f32)| x * (-(i as f32 / RATE_HZ * per_sec).fract() / per_sec / 0.06).exp();
    Noise::samples(SECS).into_iter().enumerate().map(beat).collect()
}

fn hum(mains_hz: f32) -> Vec<f32> {
    let sample =
        |i: usize| (1..40u8).map(f32::from).map(|h| 0.2 / h * (TAU * mains_hz * h * i as f32 / RATE_HZ).sin()).sum();
    mix(&(0..(SECS * RATE_HZ) as usize).map(sample).collect::<Vec<_>>(), &Noise::samples(SECS), 30.0)
}

/// Adds `noise` at `snr_db` below `signal`, both measured over their whole length.
fn mix(signal: &[f32], noise: &[f32], snr_db: f32) -> Vec<f32> {
    let power = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32;
    let gain = (power(signal) / power(noise)).sqrt() * 10f32.powf(-snr_db / 20.0);
    signal.iter().zip(noise.iter().cycle()).map(|(s, n)| s + gain * n).collect()
}

/// Keeps a band by zeroing everything else in one long transform.
fn band(samples: &[f32], from_hz: f32, to_hz: f32) -> Vec<f32> {
    let (count, mut planner) = (samples.len(), RealFftPlanner::<f32>::new());
    let mut spectrum = planner.plan_fft_forward(count).make_output_vec();
    planner.plan_fft_forward(count).process(&mut samples.to_vec(), &mut spectrum).unwrap();
    for (k, bin) in spectrum.iter_mut().enumerate() {
        if !(from_hz..=to_hz).contains(&(k as f32 * RATE_HZ / count as f32)) {
            *bin *= 0.0;
        }
    }
    let mut out = vec![0.0; count];
    planner.plan_fft_inverse(count).process(&mut spectrum, &mut out).unwrap();
    out.iter().map(|x| x / count as f32).collect()
}

/// [frames × 201] power spectra of 400-sample periodic Hann frames every 160 samples.
fn power_spectra(samples: &[f32]) -> Vec<f32> {
    let fft = RealFftPlanner::<f32>::new().plan_fft_forward(400);
    let mut spectrum = fft.make_output_vec();
    let mut power = Vec::new();
    for frame in samples.windows(400).step_by(160) {
        let hann = |(n, x): (usize, &f32)| x * (0.5 - 0.5 * (TAU * n as f32 / 400.0).cos());
        let mut windowed: Vec<f32> = frame.iter().enumerate().map(hann).collect();
        fft.process(&mut windowed, &mut spectrum).unwrap();
        power.extend(spectrum.iter().map(|bin| bin.norm_sqr()));
    }
    power
}

fn gate(samples: &[f32]) -> (Vec<FrameClass>, Quality) {
    gate_power(&power_spectra(samples))
}

fn gate_power(power: &[f32]) -> (Vec<FrameClass>, Quality) {
    let (mut gate, mut classes, mut chunk_classes) = (SpeechGate::new(), Vec::new(), Vec::new());
    for chunk in power.chunks(CHUNK_FRAMES * BINS) {
        gate.classify(chunk, &mut chunk_classes);
        assert_eq!(chunk_classes.len(), chunk.len() / BINS);
        classes.append(&mut chunk_classes);
    }
    (classes, gate.quality())
}

fn share(classes: &[FrameClass], class: FrameClass) -> f64 {
    classes.iter().filter(|&&c| c == class).count() as f64 / classes.len() as f64
}

#[test]
fn speech_and_everything_else() {
    let voice = babbling(SECS, 120.0);
    let noise = Noise::samples(SECS);
    // (signal, samples, least and greatest share of speech)
    let cases = [
        ("low voice", voice.clone(), 0.75, 1.0),
        ("high voice", babbling(SECS, 210.0), 0.75, 1.0),
        ("telephone voice", band(&voice, 300.0, 3400.0), 0.75, 1.0),
        ("short clip", babbling(2.0, 140.0), 0.75, 1.0),
        ("voice in noise, 20 dB", mix(&voice, &noise, 20.0), 0.65, 1.0),
        ("voice in noise, 10 dB", mix(&voice, &noise, 10.0), 0.5, 1.0),
        ("voice over plucked chords, 15 dB", mix(&voice, &plucked(2.0), 15.0), 0.6, 1.0),
        ("digital silence", vec![0.0; 64_000], 0.0, 0.0),
        ("white noise", noise.iter().map(|x| 0.1 * x).collect(), 0.0, 0.0),
        ("noise at -80 dBFS", noise.iter().map(|x| 1e-4 * x).collect(), 0.0, 0.0),
        ("50 Hz hum", hum(50.0), 0.0, 0.0),
        ("60 Hz hum", hum(60.0), 0.0, 0.0),
        ("European ring-back", tones(&[425.0], 1.0, 4.0), 0.0, 0.0),
        ("American ring-back", tones(&[440.0, 480.0], 2.0, 4.0), 0.0, 0.0),
        ("British ring-back", tones(&[400.0, 450.0], 0.4, 0.2), 0.0, 0.0),
        ("dial tone", tones(&[350.0, 440.0], 9.0, 0.0), 0.0, 0.0),
        ("busy tone", tones(&[480.0, 620.0], 0.5, 0.5), 0.0, 0.0),
        ("voicemail beep", tones(&[1000.0], 0.4, 2.0), 0.0, 0.0),
        ("fax tone", tones(&[1100.0], 0.5, 3.0), 0.0, 0.0),
        ("DTMF of 70 ms", dtmf(0.07), 0.0, 0.0),
        ("DTMF of 200 ms", dtmf(0.2), 0.0, 0.0),
        ("slow plucked chords", plucked(1.0), 0.0, 0.05),
        ("fast plucked chords", plucked(4.0), 0.0, 0.05),
        ("slow beat", drummed(2.0), 0.0, 0.05),
        ("fast beat", drummed(6.0), 0.0, 0.05),
    ];
    let mut wrong = Vec::new();
    for (name, samples, least, greatest) in cases {
        let found = share(&gate(&samples).0, FrameClass::Speech);
        if !(least..=greatest).contains(&found) {
            wrong.push(format!("{name}: {found:.3} is speech, expected {least}-{greatest}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_what_is_not_speech() {
    let cases = [
        ("silence", vec![0.0; 64_000], FrameClass::Silence, 1.0),
        ("dial tone", tones(&[350.0, 440.0], 9.0, 0.0), FrameClass::Tone, 0.95),
        ("white noise", Noise::samples(SECS), FrameClass::Noise, 0.95),
        ("fast plucked chords", plucked(4.0), FrameClass::Music, 0.6),
    ];
    for (name, samples, class, least) in cases {
        let (classes, quality) = gate(&samples);
        let found = share(&classes, class);
        assert!(found >= least, "{name}: {found:.3} is {class:?}, expected {least} or more");
        assert_eq!((quality.snr_db, quality.bandwidth_hz, quality.level_dbfs), (None, None, None), "{name}");
    }
}

#[test]
fn gain_does_not_matter() {
    let noisy = mix(&babbling(SECS, 120.0), &Noise::samples(SECS), 15.0);
    let power = power_spectra(&noisy);
    let reference = gate_power(&power).0;
    for gain_db in [-40.0f32, -20.0, 6.0, 20.0] {
        let scaled: Vec<f32> = power.iter().map(|p| p * 10f32.powf(gain_db / 10.0)).collect();
        let classes = gate_power(&scaled).0;
        let differing = classes.iter().zip(&reference).filter(|(a, b)| a != b).count();
        // Rounding may push a frame or two over a threshold.
        assert!(differing <= 3, "{gain_db} dB changes {differing} frames of {}", reference.len());
    }
}

#[test]
fn speech_is_contiguous_and_pauses_are_not_speech() {
    let (classes, _) = gate(&babbling(4.0, 120.0));
    let runs: Vec<_> = classes.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
    // Pauses of 250 ms after every sixth syllable, the stop gaps before and after belong to them or are bridged.
    assert!(runs.len() <= 7, "{runs:?}");
    assert!(
        runs[1..runs.len() - 1].iter().all(|&(class, frames)| class != FrameClass::Speech || frames >= 40),
        "{runs:?}"
    );
}

#[test]
fn a_call_from_ring_back_to_silence() {
    let voice = babbling(8.0, 160.0);
    let hiss = |secs: f32| Noise::samples(secs).into_iter().map(|x| 0.002 * x).collect::<Vec<_>>();
    let call = [tones(&[425.0], 1.0, 4.0), voice, hiss(8.0)].concat();
    let (classes, _) = gate(&call);
    let part = |from_secs: usize, to_secs: usize| share(&classes[from_secs * 100..to_secs * 100], FrameClass::Speech);
    assert!(part(0, 5) < 0.05, "ring-back: {}", part(0, 5));
    assert!(part(6, 14) > 0.7, "speech: {}", part(6, 14));
    assert!(part(15, 21) == 0.0, "hiss: {}", part(15, 21));
}

#[test]
fn snr_of_known_mixes() {
    let (voice, noise) = (babbling(8.0, 120.0), Noise::samples(8.0));
    let speech_share = share(&gate(&voice).0, FrameClass::Speech) as f32;
    for snr_db in [10.0f32, 20.0, 30.0] {
        // The mix is set over the whole signal, pauses included; the gate's figure is over speech frames.
        let expected = snr_db - 10.0 * speech_share.log10();
        let found = gate(&mix(&voice, &noise, snr_db)).1.snr_db.unwrap();
        assert!((found - expected).abs() <= 3.0, "{snr_db} dB: {found}, expected {expected}");
    }
}

#[test]
fn bandwidth_of_filtered_speech() {
    let voice = babbling(SECS, 120.0);
    for (top_hz, expected) in
        [(8000.0, 7000..=8000), (5500.0, 5300..=5700), (4000.0, 3800..=4200), (3400.0, 3200..=3600)]
    {
        let found = gate(&band(&voice, 0.0, top_hz)).1.bandwidth_hz.unwrap();
        assert!(expected.contains(&found), "cut at {top_hz} Hz: {found}, expected {expected:?}");
    }
}

#[test]
fn level_and_seconds_of_speech() {
    let voice = babbling(4.0, 120.0);
    let (classes, quality) = gate(&voice);
    let frames = classes.iter().filter(|class| **class == FrameClass::Speech).count();
    assert!((quality.speech_secs - frames as f64 * 0.01).abs() < 1e-9);
    let rms_db = 10.0 * (voice.iter().map(|x| x * x).sum::<f32>() / voice.len() as f32).log10();
    let expected_db = rms_db - 10.0 * (share(&classes, FrameClass::Speech) as f32).log10();
    let found_db = quality.level_dbfs.unwrap();
    // Frames overlap the edges of speech by 25 ms.
    assert!((found_db - expected_db).abs() < 0.5, "{found_db}, expected {expected_db}");
}

#[test]
fn a_stream_without_frames_has_no_speech() {
    let (classes, quality) = gate_power(&[]);
    assert!(classes.is_empty());
    assert_eq!(quality, Quality::default());
}

/// 16 kHz samples that espeak-ng makes of a text, or `None` where it is not installed.
fn espeak(voice: &str, text: &str) -> Option<Vec<f32>> {
    let made = match Command::new("espeak-ng").args(["-v", voice, "--stdout", text]).output() {
        Ok(made) => made,
        Err(error) if std::env::var("CI").as_deref() == Ok("true") => panic!("espeak-ng: {error}"),
        Err(_) => return None,
    };
    assert!(made.status.success(), "espeak-ng: {}", String::from_utf8_lossy(&made.stderr));
    let mut reader = hound::WavReader::new(Cursor::new(made.stdout)).unwrap();
    let step = reader.spec().sample_rate as f32 / RATE_HZ;
    let samples: Vec<f32> = reader.samples::<i16>().map_while(Result::ok).map(|x| f32::from(x) / 32_768.0).collect();
    let between = |i: usize| {
        let at = i as f32 * step;
        let (left, share) = (at as usize, at.fract());
        samples[left] * (1.0 - share) + samples[left + 1] * share
    };
    Some((0..((samples.len() - 1) as f32 / step) as usize).map(between).collect())
}

#[test]
fn espeak_speech_in_many_languages() {
    let cases = [
        ("en", "The quick brown fox jumps over the lazy dog, and then it sleeps in the warm afternoon sun."),
        ("de", "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich, und niemand schaut ihnen zu."),
        ("cmn", "今天天气很好,我们一起去公园散步吧,然后再去喝一杯茶。"),
        ("ar", "صباح الخير، كيف حالك اليوم؟ أتمنى لك يوما سعيدا."),
    ];
    for (language, text) in cases {
        let Some(samples) = espeak(language, text) else {
            println!("skipped: espeak-ng is missing");
            return;
        };
        for (kind, samples) in [("full band", samples.clone()), ("telephone", band(&samples, 300.0, 3400.0))] {
            let found = share(&gate(&samples).0, FrameClass::Speech);
            assert!(found > 0.75, "{language}, {kind}: {found:.3} is speech");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn any_power_gives_one_class_per_frame(
        rows in prop::collection::vec((prop_oneof![Just(0.0f32), Just(f32::MAX), Just(f32::MIN_POSITIVE), 0.0f32..1e4], any::<u32>()), 0..90),
        wild in any::<bool>(),
    ) {
        let row = |&(scale, seed): &(f32, u32)| {
            let mut noise = Noise(seed | 1);
            (0..BINS).map(move |_| if wild { scale * noise.next().abs() } else { scale }).collect::<Vec<_>>()
        };
        let power: Vec<f32> = rows.iter().flat_map(row).collect();
        let (mut gate, mut classes) = (SpeechGate::new(), Vec::new());
        for chunk in power.chunks(37 * BINS) {
            gate.classify(chunk, &mut classes);
            prop_assert_eq!(classes.len(), chunk.len() / BINS);
        }
        let quality = gate.quality();
        prop_assert!(quality.speech_secs.is_finite());
        for figure in [quality.snr_db, quality.level_dbfs] {
            prop_assert!(figure.is_none_or(f32::is_finite), "{:?}", quality);
        }
    }
}
