"""The front end of the program restated in NumPy: the oracle of its golden features. Training uses the program's own.

Frames of 400 samples every 160, periodic Hann window, 400-point FFT, squared magnitude, 80 Slaney mel bands from 0 to
8 kHz (area-normalised triangles, as librosa and Whisper use), log10 with a floor of 1e-10.
"""

import numpy as np

from corpus import SAMPLE_RATE_HZ

FRAME_SAMPLES = 400
HOP_SAMPLES = 160
MEL_BANDS = 80
LOG_FLOOR = -10.0


def _mel_to_hz(mel):
    # Slaney, Auditory Toolbox (1998): linear to 1 kHz (15 mel), then 27 logarithmic steps per factor of 6.4.
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def mel_filterbank():
    """Weights [bands, 201]."""
    top_mel = 15 + 27 * np.log(SAMPLE_RATE_HZ / 2 / 1000) / np.log(6.4)
    edges_hz = _mel_to_hz(np.linspace(0, top_mel, MEL_BANDS + 2))
    bins_hz = np.arange(FRAME_SAMPLES // 2 + 1) * SAMPLE_RATE_HZ / FRAME_SAMPLES
    rising = (bins_hz - edges_hz[:-2, None]) / (edges_hz[1:-1] - edges_hz[:-2])[:, None]
    falling = (edges_hz[2:, None] - bins_hz) / (edges_hz[2:] - edges_hz[1:-1])[:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return triangles * (2 / (edges_hz[2:] - edges_hz[:-2]))[:, None]


_FILTERBANK = mel_filterbank().astype(np.float32)
_WINDOW = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME_SAMPLES) / FRAME_SAMPLES)).astype(np.float32)


def complex_spectrum(samples):
    """[frames, 201] of complex64 from samples [samples]; frame t covers samples 160 t to 160 t + 400, no padding."""
    if len(samples) < FRAME_SAMPLES:
        return np.zeros((0, FRAME_SAMPLES // 2 + 1), np.complex64)
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME_SAMPLES)[::HOP_SAMPLES]
    return np.fft.rfft(frames * _WINDOW, axis=1).astype(np.complex64)


def log_mel(samples):
    """[frames, bands] of float32 from samples [samples], on the frames of `complex_spectrum`."""
    power = np.abs(complex_spectrum(samples)) ** 2
    return np.log10(np.maximum(power @ _FILTERBANK.T, 1e-10)).astype(np.float32)
