"""Statistics of the fine spectrum, of phase and of fast envelopes over speech, restated for the golden values alone.

The program computes them (`src/features/fine/`); training reads what `clonewatch features` wrote. Here they are of one
chunk at most 4 s long, without the sums by seconds.
"""

import numpy as np

from frontend import FRAME_SAMPLES, HOP_SAMPLES, complex_spectrum

BINS = FRAME_SAMPLES // 2 + 1
RANGE = 8.0  # log10 of power, under the maximum of the chunk
CEPSTRUM, ENVELOPE, CEPSTRUM_SCALE = 120, 20, 20.0
VARIANCE_FLOOR = 1e-6

# Bands of bins 1 to 200: eight of five, then forty of four.
BAND_STARTS = np.concatenate([1 + 5 * np.arange(8), 41 + 4 * np.arange(40)])
SEGMENT_FRAMES, SEGMENT_HOP = 128, 64
MODULATION_EDGES = (1, 2, 3, 4, 5, 8, 11, 15, 21, 29, 41, 57, 65)

SHORT_SAMPLES, SHORT_HOP, FIRST_SAMPLE, SHORT_BANDS = 64, 16, 96, 32
PER_FRAME = HOP_SAMPLES // SHORT_HOP
MEAN_REACH, LAG = 10, 2
SHORT_SEGMENT, SHORT_SEGMENT_SPEECH = 64, 45
SHORT_EDGES = (1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 28, 33)

DIMENSIONS = CEPSTRUM + 2 * (CEPSTRUM + BINS) + BINS + 2 * (BINS - 1) + 12 * len(BAND_STARTS)
DIMENSIONS += 6 * SHORT_BANDS + (SHORT_BANDS // 2) ** 2 + 12 * SHORT_BANDS


def _joined(power, edges):
    """Means of the rows of `power` [bins, ...] between `edges`."""
    return np.add.reduceat(power, edges[:-1], axis=0) / np.diff(edges).reshape(-1, *[1] * (power.ndim - 1))


def _spectrum(power, speech, follows):
    log_power = np.log10(power + 1e-10)
    log_power = np.maximum(log_power, log_power.max() - RANGE)
    cepstrum = np.fft.irfft(log_power, FRAME_SAMPLES, axis=1)
    kept = cepstrum.copy()
    kept[:, ENVELOPE : FRAME_SAMPLES - ENVELOPE + 1] = 0
    residue = log_power - np.fft.rfft(kept, axis=1).real
    values = np.concatenate([CEPSTRUM_SCALE * cepstrum[:, :CEPSTRUM], residue], axis=1)
    deviation = np.sqrt(np.maximum(values[speech].var(axis=0), VARIANCE_FLOOR))
    change = np.abs(values[follows] - values[follows - 1]).mean(axis=0)
    return [values[speech].mean(axis=0)[:CEPSTRUM], deviation, change]


def _phase(spectrum, middle):
    turns = np.round(np.angle(spectrum) * (256 / (2 * np.pi)))
    angle = turns * (2 * np.pi / 256)
    before, now, after = angle[middle - 1], angle[middle], angle[middle + 1]
    across = now[:, 1:] - now[:, :-1] - before[:, 1:] + before[:, :-1]
    return [row.mean(axis=0) for row in (np.cos(before + after - 2 * now), np.cos(across), np.sin(across))]


def _modulation(power, is_speech):
    energy = np.log10(np.add.reduceat(power[:, : BAND_STARTS[-1] + 4], BAND_STARTS, axis=1) + 1e-10)
    energy = np.maximum(energy, energy.max() - RANGE)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SEGMENT_FRAMES) / (SEGMENT_FRAMES - 1))
    total, weight = 0.0, 0
    for start in range(0, max(1, len(energy) - SEGMENT_FRAMES + 1), SEGMENT_HOP):
        part = energy[start : start + SEGMENT_FRAMES]
        part = np.pad(part - part.mean(axis=0), ((0, SEGMENT_FRAMES - len(part)), (0, 0)))
        speech = is_speech[start : start + SEGMENT_FRAMES].sum()
        total = total + speech * _joined(np.abs(np.fft.rfft(part * window[:, None], axis=0)) ** 2, MODULATION_EDGES)
        weight += speech
    return [np.log10(total / max(weight, 1) + 1e-4).ravel()]


def _envelope(samples, is_speech):
    count = PER_FRAME * len(is_speech)
    starts = FIRST_SAMPLE + SHORT_HOP * np.arange(count)[:, None]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SHORT_SAMPLES) / SHORT_SAMPLES)
    power = np.abs(np.fft.rfft(samples[starts + np.arange(SHORT_SAMPLES)] * window, axis=1)[:, 1:]) ** 2
    energy = np.log(power + 3e-9 * power.max() + 1e-20)
    slow = np.stack([energy[max(0, i - MEAN_REACH) : i + MEAN_REACH].mean(axis=0) for i in range(count)])
    fast = energy - slow
    mask = np.repeat(is_speech, PER_FRAME)
    speech = np.flatnonzero(mask)
    runs = speech[(speech >= LAG) & mask[speech - 1] & mask[speech - 2]]
    deviation = np.sqrt(np.maximum((fast[speech] ** 2).mean(axis=0), VARIANCE_FLOOR))
    scale = deviation + 1e-3
    is_loud = slow[speech] > slow[speech].mean(axis=0)
    loud = np.sqrt((fast[speech] ** 2 * is_loud).sum(axis=0) / np.maximum(is_loud.sum(axis=0), 1))
    moments = [(fast[speech] ** power).mean(axis=0) / scale**power for power in (3, 4)]
    change = np.abs(fast[runs] - fast[runs - 1]).mean(axis=0)
    bend = np.abs(fast[runs] - 2 * fast[runs - 1] + fast[runs - 2]).mean(axis=0)
    wide = fast.reshape(count, -1, 2).mean(axis=2)
    wide_scale = np.sqrt((wide[speech] ** 2).mean(axis=0)) + 1e-3
    even = runs[runs % LAG == 0]
    products = wide[even].T @ wide[even - LAG] / len(even) / np.outer(wide_scale, wide_scale)
    segments = [i for i in range(0, count - SHORT_SEGMENT + 1, SHORT_SEGMENT)]
    segments = [i for i in segments if mask[i : i + SHORT_SEGMENT].sum() >= SHORT_SEGMENT_SPEECH]
    spectra = [np.abs(np.fft.rfft(fast[i : i + SHORT_SEGMENT] * window[:, None], axis=0)) ** 2 for i in segments]
    modulation = np.log(_joined(np.mean(spectra, axis=0), SHORT_EDGES) + 1e-3)
    return [deviation, loud, *moments, change, bend, products.ravel(), modulation.ravel()]


def clip_statistics(samples, is_speech):
    """[2771] of samples and mask [frames] of bool; needs speech of some length."""
    spectrum = complex_spectrum(samples)
    power = np.abs(spectrum) ** 2
    speech = np.flatnonzero(is_speech)
    follows = speech[(speech > 0) & is_speech[speech - 1]]
    middle = follows[(follows < len(is_speech) - 1) & is_speech[np.minimum(follows + 1, len(is_speech) - 1)]]
    parts = _spectrum(power, speech, follows) + _phase(spectrum, middle)
    parts += _modulation(power, is_speech) + _envelope(samples, is_speech)
    return np.concatenate(parts).astype(np.float32)
