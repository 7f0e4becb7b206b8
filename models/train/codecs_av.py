"""Lossy round trips of a clip through real codecs, inside this process (PyAV), and GSM 06.10 through sox."""

import subprocess

import av
import numpy as np
from scipy.signal import resample_poly

from corpus import SAMPLE_RATE_HZ

av.logging.set_level(av.logging.PANIC)

# name of the round trip -> (encoder, decoder, sample rate in Hz, options)
TELEPHONE = {
    "mulaw": ("pcm_mulaw", "pcm_mulaw", 8000, {}),
    "alaw": ("pcm_alaw", "pcm_alaw", 8000, {}),
    "g726-32": ("g726", "g726", 8000, {"bit_rate": 32000}),
    "g726-24": ("g726", "g726", 8000, {"bit_rate": 24000}),
    "amr-12": ("libopencore_amrnb", "libopencore_amrnb", 8000, {"bit_rate": 12200}),
    "amr-7": ("libopencore_amrnb", "libopencore_amrnb", 8000, {"bit_rate": 7400}),
    "amr-5": ("libopencore_amrnb", "libopencore_amrnb", 8000, {"bit_rate": 5150}),
    "opus-nb-8": ("libopus", "opus", 8000, {"bit_rate": 8000, "application": "voip"}),
    "opus-nb-12": ("libopus", "opus", 8000, {"bit_rate": 12000, "application": "voip"}),
    "g723": ("g723_1", "g723_1", 8000, {"bit_rate": 6300}),
    "gsm": None,
}
WIDEBAND_CALL = {
    "g722": ("g722", "g722", 16000, {}),
    "opus-10": ("libopus", "opus", 16000, {"bit_rate": 10000, "application": "voip"}),
    "opus-16": ("libopus", "opus", 16000, {"bit_rate": 16000, "application": "voip"}),
    "opus-24": ("libopus", "opus", 16000, {"bit_rate": 24000, "application": "voip"}),
    "opus-32": ("libopus", "opus", 16000, {"bit_rate": 32000, "application": "audio"}),
}
MEDIA = {
    f"{name}-{rate_hz // 1000}k-{kbps}": (encoder, decoder, rate_hz, {"bit_rate": kbps * 1000})
    for name, encoder, decoder, rate_hz, bit_rates_kbps in (
        ("mp3", "libmp3lame", "mp3float", 16000, (16, 24, 32, 48, 64)),
        ("mp3", "libmp3lame", "mp3float", 24000, (32, 48, 64)),
        ("mp3", "libmp3lame", "mp3float", 44100, (48, 64, 96, 128)),
        ("aac", "aac", "aac", 16000, (24, 32, 48)),
        ("aac", "aac", "aac", 24000, (32, 48, 64)),
        ("aac", "aac", "aac", 44100, (48, 64, 96)),
        ("opus", "libopus", "opus", 48000, (24, 48, 64)),
        ("mp2", "mp2", "mp2", 24000, (32, 64)),
    )
    for kbps in bit_rates_kbps
}
UNHEARD = {  # that no training copy goes through
    "sbc-32k": ("sbc", "sbc", 16000, {"bit_rate": 32000}),
    "ac3-32k": ("ac3", "ac3", 32000, {"bit_rate": 32000}),
    "eac3-32k": ("eac3", "eac3", 32000, {"bit_rate": 32000}),
    "opus-8k": ("libopus", "opus", 16000, {"bit_rate": 8000, "application": "voip"}),
    "opus-6k": ("libopus", "opus", 16000, {"bit_rate": 6000, "application": "voip"}),
    "nellymoser": ("nellymoser", "nellymoser", 16000, {}),
    "adpcm-ms": ("adpcm_ms", "adpcm_ms", 16000, {}),
    "real-144": ("real_144", "real_144", 8000, {}),
}
# Likewise, for what PyAV has no encoder of: encoder and container of the command `ffmpeg`, sample rate in Hz, options.
UNHEARD_FFMPEG = {
    "speex-16k": ("libspeex", "ogg", 16000, ("-b:a", "20600")),
    "speex-8k": ("libspeex", "ogg", 8000, ("-b:a", "11000")),
    "vorbis-32k": ("libvorbis", "ogg", 22050, ("-b:a", "32k")),
    "wma-24k": ("wmav2", "asf", 16000, ("-b:a", "24k")),
    "codec2": ("libcodec2", "codec2", 8000, ("-mode", "3200")),
}
ALL = TELEPHONE | WIDEBAND_CALL | MEDIA | UNHEARD


def resampled(samples, from_hz, to_hz):
    """Samples at another rate (polyphase, linear phase)."""
    if from_hz == to_hz:
        return samples
    divisor = np.gcd(from_hz, to_hz)
    return resample_poly(samples, to_hz // divisor, from_hz // divisor).astype(np.float32)


def _codec_context(name, mode, rate_hz, options):
    context = av.CodecContext.create(name, mode)
    context.sample_rate = rate_hz
    context.layout = "mono"
    if mode == "w":
        names = [item.name for item in context.codec.audio_formats]
        context.format = next((name for name in ("flt", "fltp") if name in names), names[0])
        extra = dict(options)
        if "bit_rate" in extra:
            context.bit_rate = extra.pop("bit_rate")
        context.options = {key: str(value) for key, value in extra.items()}
    return context


def _audio_frames(samples, context, rate_hz):
    """Frames of the size the encoder asks for, in its sample format."""
    step = context.frame_size or 320
    values = np.concatenate([samples, np.zeros(-len(samples) % step + 2 * step, np.float32)])
    kind = context.format.name
    if kind.startswith("s16"):
        values = np.clip(np.round(values * 32767), -32768, 32767).astype(np.int16)
    for index, start in enumerate(range(0, len(values), step)):
        frame = av.AudioFrame.from_ndarray(values[None, start : start + step], format=kind, layout="mono")
        frame.sample_rate = rate_hz
        frame.pts = index * step
        yield frame


def _decoded_samples(frame):
    values = frame.to_ndarray().reshape(-1)
    scale = {"i2": 32768.0, "i4": 2147483648.0}.get(values.dtype.str[1:], 1.0)
    return values.astype(np.float32) / scale


def _round_trip_av(samples, spec):
    """Through one encoder and decoder at the codec's own rate; returns samples and their rate in Hz."""
    encoder_name, decoder_name, rate_hz, options = spec
    encoder = _codec_context(encoder_name, "w", rate_hz, options)
    encoder.open()
    packets = [packet for frame in _audio_frames(samples, encoder, rate_hz) for packet in encoder.encode(frame)]
    packets += encoder.encode(None)
    decoder = _codec_context(decoder_name, "r", rate_hz, options)
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    if decoder_name == "g726":
        decoder.options = {"bits_per_coded_sample": str(options["bit_rate"] // 8000)}
    parts, decoded_hz = [], rate_hz
    for packet in packets + [None]:
        for frame in decoder.decode(packet):
            parts.append(_decoded_samples(frame))
            decoded_hz = frame.sample_rate
    return np.concatenate(parts), decoded_hz


def _round_trip_gsm(samples):
    raw = np.clip(np.round(samples * 32767), -32768, 32767).astype("<i2").tobytes()
    pcm = ["-t", "raw", "-r", "8000", "-c", "1", "-e", "signed", "-b", "16"]
    coded = subprocess.run(["sox", *pcm, "-", "-t", "gsm", "-"], input=raw, capture_output=True, check=True).stdout
    decoded = subprocess.run(["sox", "-t", "gsm", "-", *pcm, "-"], input=coded, capture_output=True, check=True).stdout
    return np.frombuffer(decoded, "<i2").astype(np.float32) / 32768.0


def _round_trip_ffmpeg(samples, spec):
    """Samples at 16 kHz through one encoder and decoder of `UNHEARD_FFMPEG`."""
    encoder, container, rate_hz, options = spec
    pcm = ["-f", "s16le", "-ar", str(SAMPLE_RATE_HZ), "-ac", "1"]
    raw = np.clip(np.round(samples * 32767), -32768, 32767).astype("<i2").tobytes()
    encode = [*pcm, "-i", "-", "-ar", str(rate_hz), "-c:a", encoder, *options, "-f", container, "-"]
    coded = subprocess.run(["ffmpeg", *encode], input=raw, capture_output=True, check=True).stdout
    decode = ["-f", container, "-i", "-", *pcm, "-"]
    decoded = subprocess.run(["ffmpeg", *decode], input=coded, capture_output=True, check=True).stdout
    return np.frombuffer(decoded, "<i2").astype(np.float32) / 32768.0


def round_trip(samples, name):
    """`samples` (16 kHz) through the codec called `name`, back at 16 kHz and the same length.

    `name` is a key of `ALL` or `UNHEARD_FFMPEG`.
    """
    if name in UNHEARD_FFMPEG:
        decoded, decoded_hz = _round_trip_ffmpeg(samples, UNHEARD_FFMPEG[name]), SAMPLE_RATE_HZ
    elif name == "gsm":
        rate_hz, decoded_hz = 8000, 8000
        decoded = _round_trip_gsm(resampled(samples, SAMPLE_RATE_HZ, rate_hz))
    else:
        spec = ALL[name]
        decoded, decoded_hz = _round_trip_av(resampled(samples, SAMPLE_RATE_HZ, spec[2]), spec)
    wide = resampled(decoded, decoded_hz, SAMPLE_RATE_HZ)
    wide = wide[: len(samples)]
    return np.concatenate([wide, np.zeros(len(samples) - len(wide), np.float32)])
