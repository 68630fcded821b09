"""Pictures, moving pictures and sounds of arrays as bytes of files, with no library but numpy."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from ._errors import InvalidError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# PNG's number of a colour type by channels: grey, grey with alpha, RGB, RGBA.
_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}


def array(values: Any) -> Any:
    """A numpy array of numpy's, torch's, JAX's or TensorFlow's values."""
    try:
        import numpy
    except ImportError as error:
        raise InvalidError("arrays need numpy; install it, or pass a file") from error
    for step in ("detach", "cpu"):
        values = getattr(values, step)() if hasattr(values, step) else values
    if hasattr(values, "dtype") and "bfloat16" in str(values.dtype) and hasattr(values, "float"):
        values = values.float()
    return numpy.asarray(values)


def pixels(values: Any, order: str = "HWC", *, scale: str = "range") -> Any:
    """Bytes of a picture, height × width × channels.

    order: what the dimensions are: letters of H, W and C.
    scale: how floats become bytes. "unit": 0 to 1 becomes 0 to 255. "range": so too, unless a value is over 1 or
        under 0; then values are bytes already.
    """
    import numpy

    image = array(values)
    order = order.upper()
    if image.ndim != len(order) or not set("HW") <= set(order) <= set("HWC"):
        raise InvalidError(f"a picture has the dimensions {order}, not {image.ndim}")
    if "C" in order:
        image = image.transpose([order.index(letter) for letter in "HWC"])
    else:
        image = image.transpose([order.index(letter) for letter in "HW"])[:, :, None]
    if image.shape[2] not in _COLOURS or 0 in image.shape:
        raise InvalidError(f"a picture has 1 to 4 channels and at least a pixel, not the shape {image.shape}")
    if image.dtype == bool:
        return image.astype(numpy.uint8) * 255
    if image.dtype.kind == "f":
        image = numpy.nan_to_num(image.astype(numpy.float64), posinf=numpy.inf, neginf=-numpy.inf)
        if scale == "unit" or (image.min() >= 0 and image.max() <= 1):
            image = image * 255
        # Truncated, as torch and W&B do.
        return image.clip(0, 255).astype(numpy.uint8)
    if image.dtype.kind not in "iu":
        raise InvalidError(f"a picture has numbers, not {image.dtype}")
    return image.clip(0, 255).astype(numpy.uint8)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _rows(image: Any) -> bytes:
    # Each row begins with its filter: none.
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in image), 6)


def _header(image: Any) -> bytes:
    height, width, channels = image.shape
    return _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0))


def png(image: Any) -> bytes:
    """A picture of `pixels` as PNG."""
    return _SIGNATURE + _header(image) + _chunk(b"IDAT", _rows(image)) + _chunk(b"IEND", b"")


def animated_png(frames: Sequence[Any], per_second: float) -> bytes:
    """Pictures of `pixels`, all of one size, as an animated PNG; browsers play it."""
    if not len(frames):
        raise InvalidError("a video has at least one frame")
    if len({frame.shape for frame in frames}) != 1:
        raise InvalidError("all frames of a video have one size")
    if not per_second > 0:
        raise InvalidError(f"a video has more than 0 frames a second, not {per_second}")
    height, width, _ = frames[0].shape
    delay = min(max(round(1000 / per_second), 1), 65535)
    parts = [_SIGNATURE, _header(frames[0]), _chunk(b"acTL", struct.pack(">II", len(frames), 0))]
    number = 0
    for at, frame in enumerate(frames):
        parts.append(_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, 0, 0, delay, 1000, 0, 0)))
        number += 1
        if at == 0:
            parts.append(_chunk(b"IDAT", _rows(frame)))
        else:
            parts.append(_chunk(b"fdAT", struct.pack(">I", number) + _rows(frame)))
            number += 1
    return b"".join([*parts, _chunk(b"IEND", b"")])


def wav(samples: Any, rate: int) -> bytes:
    """Samples from -1 to 1, or 16-bit integers, as WAV: one dimension, or samples × channels."""
    import wave

    import numpy

    sound = array(samples)
    if sound.ndim not in (1, 2) or not sound.size:
        raise InvalidError(f"a sound has one dimension, or samples × channels, not the shape {sound.shape}")
    if sound.dtype.kind == "f":
        sound = (numpy.nan_to_num(sound).clip(-1, 1) * 32767).astype("<i2")
    elif sound.dtype.kind in "iu":
        sound = sound.clip(-32768, 32767).astype("<i2")
    else:
        raise InvalidError(f"a sound has numbers, not {sound.dtype}")
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1 if sound.ndim == 1 else sound.shape[1])
        file.setsampwidth(2)
        file.setframerate(int(rate))
        file.writeframes(sound.tobytes())
    return data.getvalue()
