"""Degraded copies of the corpus: 16-bit WAV files and one protocol CSV per condition, seeded by clip and condition.

Every condition treats genuine and synthetic clips alike. Conditions of `TRAIN` are random mixtures; those of `VAL`
are the fixed conditions of the headline tables; `UNHEARD` are val's clips through single codecs that training leaves out,
which `train.py` does not make. Run as `augment.py CORPUS OUT SPLIT CONDITION [WORKERS]`.
"""

import csv
import sys
import zlib
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import soundfile

import codecs_av
import denoisers
import effects
from corpus import SAMPLE_RATE_HZ, load_clips, read_samples

BABBLE_VOICES = 200


def generator_for(clip, condition):
    return np.random.default_rng(zlib.crc32(f"{condition}/{clip.path}".encode()))


def through_telephone(samples, rng):
    """300-3400 Hz or wider, 8 kHz, one or two narrow-band codecs, up to 5 % lost packets."""
    low_hz, high_hz = rng.uniform(80, 320), rng.uniform(3100, 3800)
    out = effects.at_peak(effects.band_limited(samples, low_hz, high_hz, order=6), rng.uniform(0.1, 0.95))
    names = list(codecs_av.TELEPHONE)
    for _ in range(1 + (rng.random() < 0.3)):
        out = codecs_av.round_trip(out, names[rng.integers(len(names))])
    if rng.random() < 0.3:
        out = effects.with_lost_packets(out, rng, rng.uniform(0.005, 0.05))
    return out


def through_media(samples, rng):
    """One or two media or wide-band call codecs."""
    names = list(codecs_av.MEDIA) + 3 * list(codecs_av.WIDEBAND_CALL)
    out = effects.at_peak(samples, rng.uniform(0.2, 0.95))
    for _ in range(1 + (rng.random() < 0.2)):
        out = codecs_av.round_trip(out, names[rng.integers(len(names))])
    return out


def _offset(samples, rng, _voices):
    out = samples
    if rng.random() < 0.5:
        out = effects.with_speed(out, rng.uniform(0.95, 1.05))
    out = effects.with_random_cut(out, rng, 1.5)
    if rng.random() < 0.3:
        out = effects.with_equaliser(out, rng)
    return effects.with_margins(out, rng, 3.0, 1.0)


def _speed(samples, rng, _voices):
    """Another voice: pitch and formants moved together by 5-16 %."""
    factor = rng.uniform(0.86, 0.95) if rng.random() < 0.5 else rng.uniform(1.05, 1.16)
    return effects.with_random_cut(effects.with_speed(samples, factor), rng, 2.5)


def _speed_phone(samples, rng, voices):
    return through_telephone(_speed(samples, rng, voices), rng)


def _phone(samples, rng, _voices):
    out = effects.with_speed(samples, rng.uniform(0.95, 1.05)) if rng.random() < 0.3 else samples
    out = effects.with_margins(out, rng, 2.0, 0.5) if rng.random() < 0.5 else out
    return through_telephone(out, rng)


def _media(samples, rng, voices):
    out = effects.with_margins(samples, rng, 2.0, 0.5) if rng.random() < 0.5 else samples
    if rng.random() < 0.25:
        out = effects.with_noise(out, rng, voices, (15, 35))
    if rng.random() < 0.25:
        out = effects.with_equaliser(out, rng)
    return through_media(out, rng)


def _channel(samples, rng, voices):
    """Another recording chain: the long-term spectrum of another clip, noise suppression, rooms, a faint floor."""
    out = effects.with_speed(samples, rng.uniform(0.93, 1.07)) if rng.random() < 0.5 else samples
    out = effects.with_margins(out, rng, 2.0, 0.5) if rng.random() < 0.5 else out
    if rng.random() < 0.3:
        out = effects.with_room(out, rng)
    if rng.random() < 0.75:
        out = effects.with_spectrum_of(out, voices[rng.integers(len(voices))], rng.uniform(0.4, 1.0))
    if rng.random() < 0.4:
        out = effects.mixed(out, effects.coloured_noise(len(out), rng), rng.uniform(20, 45))
    if rng.random() < 0.3:
        out = effects.with_suppressed_noise(out, rng)
    if rng.random() < 0.4:
        out = effects.band_limited(out, rng.uniform(30, 150), rng.uniform(5500, 8000), order=6)
    if rng.random() < 0.2:
        out = effects.with_compressor(out, rng)
    return through_media(out, rng) if rng.random() < 0.3 else out


def _denoised(samples, rng, voices):
    """Noise of 3-25 dB, sometimes in a room, taken away again by a neural denoiser."""
    out = effects.with_speed(samples, rng.uniform(0.95, 1.05)) if rng.random() < 0.3 else samples
    if rng.random() < 0.3:
        out = effects.with_room(out, rng)
    if rng.random() < 0.85:
        out = effects.with_noise(out, rng, voices, (3, 25))
    out = denoisers.denoised(effects.at_peak(out, rng.uniform(0.2, 0.9)), rng)
    return through_media(out, rng) if rng.random() < 0.3 else out


def _denoised_phone(samples, rng, voices):
    """A head-set's or softphone's noise suppression before the telephone chain."""
    return through_telephone(_denoised(samples, rng, voices), rng)


def _babble(samples, rng, voices):
    """Voices behind the speaker at 8-22 dB, half of them through a codec chain."""
    out = effects.with_speed(samples, rng.uniform(0.95, 1.05)) if rng.random() < 0.3 else samples
    if rng.random() < 0.3:
        out = effects.with_spectrum_of(out, voices[rng.integers(len(voices))], rng.uniform(0.3, 0.8))
    noise = effects.babble(len(out), rng, voices)
    if rng.random() < 0.3:
        noise = effects.with_room(noise, rng)
    out = effects.mixed(out, noise, rng.uniform(8, 22))
    chain = rng.random()
    if chain < 0.25:
        return through_telephone(out, rng)
    return through_media(out, rng) if chain < 0.5 else out


def _harsh(samples, rng, voices):
    """Rooms, noise, equalisers, gain and clipping, then any codec chain or none."""
    out = effects.with_speed(samples, rng.uniform(0.95, 1.05)) if rng.random() < 0.3 else samples
    out = effects.with_margins(out, rng, 2.0, 0.5) if rng.random() < 0.5 else out
    if rng.random() < 0.45:
        out = effects.with_room(out, rng)
    if rng.random() < 0.75:
        out = effects.with_noise(out, rng, voices, (5, 25))
    if rng.random() < 0.4:
        out = effects.with_equaliser(out, rng)
    if rng.random() < 0.25:
        out = effects.with_compressor(out, rng)
    if rng.random() < 0.15:
        out = effects.with_clipping(out, rng)
    chain = rng.random()
    if chain < 0.3:
        return through_telephone(out, rng)
    if chain < 0.6:
        return through_media(out, rng)
    return out


def through_val_telephone(samples, rng):
    """300-3400 Hz, then G.711, G.726 or GSM at 8 kHz; a quarter of the clips lose 3 % of their packets."""
    out = effects.at_peak(effects.band_limited(samples, 300, 3400, order=6), 0.7)
    out = codecs_av.round_trip(out, ("mulaw", "alaw", "g726-32", "gsm")[rng.integers(4)])
    return effects.with_lost_packets(out, rng, 0.03) if rng.random() < 0.25 else out


def _val_babble(samples, rng, voices):
    return effects.mixed(samples, effects.babble(len(samples), rng, voices), 15.0)


# Copies of every clip by kind; the second and third are called phone2, phone3 and so on.
KINDS = {
    "phone": (_phone, 3),
    "channel": (_channel, 2),
    "offset": (_offset, 1),
    "media": (_media, 2),
    "denoised": (_denoised, 1),
    "denoised-phone": (_denoised_phone, 1),
    "speed": (_speed, 2),
    "speed-phone": (_speed_phone, 1),
    "harsh": (_harsh, 1),
    "babble": (_babble, 1),
}
TRAIN = {f"{name}{number}": kind for name, (kind, copies) in KINDS.items() for number in ("", 2, 3)[:copies]}
VAL = {
    "phone": lambda samples, rng, _voices: through_val_telephone(samples, rng),
    "mp3-48k": lambda samples, _rng, _voices: codecs_av.round_trip(samples, "mp3-16k-48"),
    "opus-16k": lambda samples, _rng, _voices: codecs_av.round_trip(samples, "opus-16"),
    "babble-15db": _val_babble,
    "first-2s": lambda samples, _rng, _voices: samples[: 2 * SAMPLE_RATE_HZ],
    "denoised": _denoised,
}
UNHEARD = {
    name: lambda samples, _rng, _voices, name=name: codecs_av.round_trip(samples, name)
    for name in (*codecs_av.UNHEARD, *codecs_av.UNHEARD_FFMPEG)
}


def _babble_voices(corpus_dir, clips):
    """Samples of `BABBLE_VOICES` genuine clips of as many speakers as possible, to make babble from."""
    by_speaker = {}
    for clip in clips:
        if clip.is_genuine:
            by_speaker.setdefault(clip.speaker, clip)
    chosen = sorted(by_speaker.values(), key=lambda clip: zlib.crc32(clip.path.encode()))[:BABBLE_VOICES]
    return [read_samples(corpus_dir, clip) for clip in chosen]


_worker = {}


def _start_worker(corpus_dir, out_dir, split, condition):
    clips = load_clips(corpus_dir, split)
    _worker.update(corpus_dir=corpus_dir, out_dir=Path(out_dir), split=split, condition=condition)
    _worker["voices"] = _babble_voices(corpus_dir, clips)


def _make_copy(clip):
    function = (TRAIN if _worker["split"] == "train" else VAL | UNHEARD)[_worker["condition"]]
    rng = generator_for(clip, _worker["condition"])
    samples = function(read_samples(_worker["corpus_dir"], clip), rng, _worker["voices"])
    peak = 0.9 if _worker["split"] == "val" else rng.uniform(0.1, 0.95)
    path = _worker["out_dir"] / f"{clip.stem}.wav"
    soundfile.write(path, effects.at_peak(samples, peak), SAMPLE_RATE_HZ, subtype="PCM_16")
    return path.name


def write_protocol(path, clips, file_names, condition):
    """Protocol CSV next to the copies: `path,label` and the columns that training and tables break down by."""
    columns = ("system", "family", "unseen", "speaker", "source", "language", "pair_id", "condition")
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", *columns))
        for clip, name in zip(clips, file_names):
            label = "bonafide" if clip.is_genuine else "spoof"
            unseen = "1" if clip.is_unseen else "0"
            values = (clip.system, clip.family, unseen, clip.speaker, clip.source, clip.language, clip.pair_id)
            writer.writerow((name, label, *values, condition))


def make_copies(corpus_dir, out_root, split, condition, workers):
    """All copies of one condition under `out_root/SPLIT-CONDITION`; does nothing if its protocol is already there."""
    out_dir = Path(out_root) / f"{split}-{condition}"
    protocol = out_dir / "protocol.csv"
    if protocol.exists():
        return
    out_dir.mkdir(parents=True, exist_ok=True)
    clips = load_clips(corpus_dir, split)
    if split == "train":
        clips = [clip for clip in clips if clip.is_core]
    if condition == "clean":
        names = [str((Path(corpus_dir) / clip.path).resolve()) for clip in clips]
    else:
        with Pool(workers, _start_worker, (corpus_dir, out_dir, split, condition)) as pool:
            names = pool.map(_make_copy, clips, chunksize=16)
    write_protocol(protocol, clips, names, condition)


if __name__ == "__main__":
    make_copies(*sys.argv[1:5], int(sys.argv[5]) if len(sys.argv) > 5 else 2)
