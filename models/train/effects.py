"""Degradations of one clip: pure functions of samples (float32 [samples], 16 kHz) and a random generator."""

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

from codecs_av import resampled
from corpus import SAMPLE_RATE_HZ


def rms(samples):
    return float(np.sqrt(np.mean(np.square(samples)) + 1e-12))


def at_peak(samples, peak):
    """Scaled so that the largest magnitude is `peak`."""
    return samples * (peak / max(float(np.max(np.abs(samples))), 1e-6))


def band_limited(samples, low_hz, high_hz, order=4):
    """Butterworth band pass; a bound of None is left open."""
    nyquist_hz = SAMPLE_RATE_HZ / 2
    out = samples
    if low_hz:
        out = sosfilt(butter(order, low_hz / nyquist_hz, "highpass", output="sos"), out)
    if high_hz and high_hz < nyquist_hz:
        out = sosfilt(butter(order, high_hz / nyquist_hz, "lowpass", output="sos"), out)
    return out.astype(np.float32)


def with_speed(samples, factor):
    """Played `factor` times as fast (pitch follows), to the nearest hundredth."""
    return resampled(samples, round(factor * 100), 100)


def with_room(samples, rng):
    """Convolved with a decaying-noise room: RT60 0.12-0.7 s, direct sound 0-18 dB over the reverberation."""
    rt60_secs = rng.uniform(0.12, 0.7)
    count = int(rt60_secs * SAMPLE_RATE_HZ)
    tail = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    tail[: int(rng.uniform(0.001, 0.02) * SAMPLE_RATE_HZ)] = 0
    tail = band_limited(tail.astype(np.float32), None, rng.uniform(2500, 7500), order=1)
    direct_db = rng.uniform(0, 18)
    tail *= 10 ** (-direct_db / 20) / max(np.sqrt(np.sum(tail**2)), 1e-6)
    tail[0] += 1.0
    return fftconvolve(samples, tail)[: len(samples)].astype(np.float32)


def coloured_noise(count, rng):
    """Noise whose spectrum falls by a random power of frequency (white to brown), sometimes band limited or hummed."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum /= np.maximum(np.arange(len(spectrum)), 8) ** rng.uniform(0, 1.3)
    noise = np.fft.irfft(spectrum, count).astype(np.float32)
    if rng.random() < 0.3:
        low_hz = rng.uniform(50, 800)
        noise = band_limited(noise, low_hz, rng.uniform(2 * low_hz, 7500), order=2)
    noise /= rms(noise)
    if rng.random() < 0.2:
        times = np.arange(count) / SAMPLE_RATE_HZ
        base_hz = rng.choice([50, 60, 100, 120])
        for harmonic in range(1, rng.integers(2, 9)):
            noise += rng.uniform(0, 1) * np.sin(2 * np.pi * base_hz * harmonic * times + rng.uniform(0, 6)) / harmonic
    if rng.random() < 0.3:
        times = np.arange(count) / SAMPLE_RATE_HZ
        noise *= 1 + rng.uniform(0.3, 0.9) * np.sin(2 * np.pi * rng.uniform(0.2, 3) * times + rng.uniform(0, 6))
    return noise.astype(np.float32)


def synthetic_music(count, rng):
    """A chord sequence of decaying harmonic tones with a beat: a stand-in for a music bed."""
    out = np.zeros(count, np.float32)
    beat = int(rng.uniform(0.2, 0.6) * SAMPLE_RATE_HZ)
    root_hz = rng.uniform(110, 300)
    for start in range(0, count, beat):
        length = min(2 * beat, count - start)
        times = np.arange(length) / SAMPLE_RATE_HZ
        for semitones in rng.choice([0, 3, 4, 7, 9, 12, 14, 19], size=rng.integers(1, 5)):
            pitch_hz = root_hz * 2 ** (semitones / 12)
            for harmonic in range(1, rng.integers(2, 7)):
                tone = np.sin(2 * np.pi * pitch_hz * harmonic * times + rng.uniform(0, 6))
                out[start : start + length] += tone * np.exp(-times * rng.uniform(1, 8)) / harmonic
        if rng.random() < 0.6:
            hit = rng.standard_normal(length) * np.exp(-times * rng.uniform(15, 60)) * rng.uniform(0.3, 2)
            out[start : start + length] += hit
    return out / rms(out)


def babble(count, rng, voices):
    """A sum of 3-7 of `voices` (list of sample arrays), each looped from a random start."""
    out = np.zeros(count, np.float32)
    for index in rng.choice(len(voices), size=rng.integers(3, 8), replace=False):
        voice = np.roll(voices[index], rng.integers(len(voices[index])))
        out += np.resize(voice / rms(voice), count)
    return out / rms(out)


def mixed(samples, noise, snr_db):
    """`noise` added at `snr_db` below the level of `samples`."""
    return (samples + noise * (rms(samples) / rms(noise) * 10 ** (-snr_db / 20))).astype(np.float32)


def with_noise(samples, rng, voices, snr_range_db):
    kind = rng.random()
    count = len(samples)
    if kind < 0.5:
        noise = coloured_noise(count, rng)
    elif kind < 0.8:
        noise = babble(count, rng, voices)
    else:
        noise = synthetic_music(count, rng)
    return mixed(samples, noise, rng.uniform(*snr_range_db))


def with_equaliser(samples, rng):
    """A smooth random response of up to about +-9 dB, applied in the frequency domain."""
    knots_hz = np.array([50, 150, 400, 1000, 2000, 3500, 5500, 8000])
    gains_db = rng.normal(0, 3, len(knots_hz)).clip(-9, 9) + rng.uniform(-4, 4) * np.linspace(-1, 1, len(knots_hz))
    spectrum = np.fft.rfft(samples)
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, len(spectrum))
    response = 10 ** (np.interp(np.log(bins_hz + 20), np.log(knots_hz + 20), gains_db) / 20)
    return np.fft.irfft(spectrum * response, len(samples)).astype(np.float32)


def _band_levels(samples):
    """Knot frequencies and the mean power (dB) of the louder half of 32 ms frames in third-octave bands."""
    window = 512
    count = max(len(samples) - window, 1) // 256 + 1
    padded = np.concatenate([samples, np.zeros(window, np.float32)])
    frames = padded[np.arange(count)[:, None] * 256 + np.arange(window)] * np.hanning(window)
    power = np.square(np.abs(np.fft.rfft(frames, axis=1)))
    total = power.sum(axis=1)
    mean = power[total >= np.median(total)].mean(axis=0) + 1e-9
    edges_hz = 100 * 2 ** (np.arange(20) / 3)
    bins = np.clip(np.round(edges_hz / SAMPLE_RATE_HZ * window).astype(int), 1, window // 2)
    levels = [mean[a : max(b, a + 1)].mean() for a, b in zip(bins[:-1], bins[1:])]
    return np.sqrt(edges_hz[:-1] * edges_hz[1:]), 10 * np.log10(levels)


def with_spectrum_of(samples, other, share):
    """Filtered so that the long-term spectrum moves by `share` of the way to that of `other`, by 15 dB at most."""
    knots_hz, own = _band_levels(samples)
    _, wanted = _band_levels(other)
    gains_db = wanted - own
    gains_db = (share * (gains_db - np.median(gains_db))).clip(-15, 15)
    spectrum = np.fft.rfft(samples)
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, len(spectrum))
    response = 10 ** (np.interp(np.log(bins_hz + 20), np.log(knots_hz + 20), gains_db) / 20)
    return at_peak(np.fft.irfft(spectrum * response, len(samples)).astype(np.float32), 0.9)


def with_gains(samples, shape, hop, lead, gains):
    """Samples [n] float32 whose spectrum [frames, bins] is multiplied by `gains` of it and put together again by overlap.

    `shape` [window] is applied before and after; the result carries the factor sum(shape^2) / hop. `lead` samples of
    silence are put before.
    """
    window = len(shape)
    padded = np.concatenate([np.zeros(lead, np.float32), samples, np.zeros(2 * window, np.float32)])
    starts = np.arange(0, len(padded) - window, hop)
    spectra = np.fft.rfft(padded[starts[:, None] + np.arange(window)] * shape, axis=1)
    frames = np.fft.irfft(spectra * gains(spectra), window, axis=1) * shape
    out = np.zeros(len(padded))
    for start, frame in zip(starts, frames):
        out[start : start + window] += frame
    return out[lead : lead + len(samples)]


def with_suppressed_noise(samples, rng):
    """Spectral subtraction of a floor estimated from the quietest tenth of frames, as recorders and calls apply."""

    def gains(spectra):
        power = np.square(np.abs(spectra))
        floor = np.quantile(power, 0.1, axis=0) * rng.uniform(1, 6)
        return np.maximum(1 - floor / (power + 1e-12), 10 ** (-rng.uniform(6, 30) / 10)) ** 0.5

    return (with_gains(samples, np.hanning(513)[:-1], 128, 512, gains) / 1.5).astype(np.float32)


def with_compressor(samples, rng):
    """Automatic gain: the envelope of 10-50 ms raised to a power of 0.3-0.8."""
    window = int(rng.uniform(0.01, 0.05) * SAMPLE_RATE_HZ)
    envelope = np.sqrt(np.convolve(samples**2, np.ones(window) / window, "same") + 1e-6)
    return at_peak((samples * envelope ** (rng.uniform(0.3, 0.8) - 1)).astype(np.float32), 0.9)


def with_clipping(samples, rng):
    level = np.quantile(np.abs(samples), rng.uniform(0.97, 0.999))
    return np.clip(samples, -level, level) if level > 0 else samples


def with_lost_packets(samples, rng, loss_ratio):
    """20 ms packets lost at `loss_ratio`; each is replaced by the last good one fading out, or by silence."""
    packet = SAMPLE_RATE_HZ // 50
    out = samples.copy()
    repeats = rng.random() < 0.7
    fade = 1.0
    for start in range(packet, len(out) - packet, packet):
        if rng.random() < loss_ratio:
            fade *= 0.6
            out[start : start + packet] = out[start - packet : start] * fade if repeats else 0
        else:
            fade = 1.0
    return out


def with_margins(samples, rng, longest_lead_secs, longest_tail_secs):
    """Random near-silence before and after, so that a clip's start says nothing and the chunk grid falls anywhere."""
    lead = int(rng.uniform(0, longest_lead_secs) * SAMPLE_RATE_HZ)
    tail = int(rng.uniform(0, longest_tail_secs) * SAMPLE_RATE_HZ)
    floor = rms(samples) * 10 ** (-rng.uniform(35, 90) / 20)
    if rng.random() < 0.3:
        floor = 0.0
    out = np.concatenate([np.zeros(lead, np.float32), samples, np.zeros(tail, np.float32)])
    noise = coloured_noise(len(out), rng) * floor
    noise[lead : lead + len(samples)] *= rng.random() < 0.5
    return (out + noise).astype(np.float32)


def with_random_cut(samples, rng, shortest_secs):
    """A random stretch of at least `shortest_secs` of the clip."""
    shortest = int(shortest_secs * SAMPLE_RATE_HZ)
    if len(samples) <= shortest:
        return samples
    count = rng.integers(shortest, len(samples) + 1)
    start = rng.integers(0, len(samples) - count + 1)
    return samples[start : start + count]
